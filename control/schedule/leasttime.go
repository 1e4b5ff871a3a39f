package schedule

import "muster/cluster"

// Least time: the fastest response (CSE's catalogue; NGINX `least_time header`), by the moving average of the time to the
// first byte, times what is under way, for the weight.
//
// A time must be measured to be known. A node without one is asked first when it has nothing under way, and last while it
// has: one request at a time explores it. One request in explore goes by turn, or a node that was slow once would never be
// asked again.
var leastTime = kind{
	name:   "least-time",
	what:   "the node that answers soonest, by its response time and what it has under way",
	weigh:  configured,
	slots:  byTurns, // for those that explore
	choose: soonest,
}

const explore = 64

func soonest(t *cluster.Table, ask *cluster.Ask) int {
	n := len(t.Shares)
	if n == 0 {
		return -1
	}
	if ask.Turn%explore == explore-1 {
		turn := *ask
		turn.Turn /= explore
		return byTurn(t, &turn)
	}
	best, class, score := -1, 0, 0.0
	at := int(ask.Turn % uint64(n))
	for range n {
		s := &t.Shares[at]
		time, c := s.Live.Time.Load(), 1
		if time <= 0 {
			time, c = 1, 2
			if s.Live.Active.Load() <= 0 {
				c = 0
			}
		}
		if v := float64(time) * float64(under(s)) / float64(s.Weight); best < 0 || c < class || c == class && v < score {
			if ask.May(t, at) {
				best, class, score = at, c, v
			}
		}
		if at++; at == n {
			at = 0
		}
	}
	return best
}
