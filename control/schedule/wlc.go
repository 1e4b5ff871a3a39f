package schedule

import "muster/cluster"

// Weighted least connections: LVS `wlc`.
var wlc = kind{
	name:   "wlc",
	what:   "the node with the fewest requests or connections under way for its weight",
	weigh:  configured,
	choose: least,
}

// Least finds the share with the least (active+1)/weight: what it would be after the request, so that an idle cluster
// prefers the heavier node. The search begins at another share each turn, so equals take turns.
func least(t *cluster.Table, ask *cluster.Ask) int {
	n := len(t.Shares)
	if n == 0 {
		return -1
	}
	best, active, weight := -1, uint64(1), uint64(0)
	at := int(ask.Turn % uint64(n))
	for range n {
		s := &t.Shares[at]
		if a, w := under(s), uint64(s.Weight); best < 0 || a*weight < active*w {
			if ask.May(t, at) {
				best, active, weight = at, a, w
			}
		}
		if at++; at == n {
			at = 0
		}
	}
	return best
}

// Under is what the share would have under way with one request more. It fits in 32 bits, so that its product with a
// weight fits in 64.
func under(s *cluster.Share) uint64 { return uint64(min(max(s.Live.Active.Load(), 0)+1, 1<<32-1)) }
