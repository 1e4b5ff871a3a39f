package schedule

import (
	"muster/cluster"
)

// A turn order has about this many turns, or turnsPerNode for each node if that is more, and never more than a table of the
// kernel has slots.
const (
	turnsWanted  = 4096
	turnsPerNode = 64
	mostTurns    = 1 << 16
)

// Turns lays out the order of a table's turns: each node's turns in proportion to its weight, and spread as evenly as they
// can be, so that a heavy node does not get its requests in a burst. NGINX's smooth weighted round robin has the same aim;
// it takes a step through all nodes for every turn, where this takes one step a turn.
//
// The proportions are exact when the weights, divided by their greatest common divisor, sum to no more than the bound.
// Otherwise a node's number of turns is off by less than one, but for a node that would have none and gets one.
type turns struct {
	quota []uint32
	times []uint32
}

func (u *turns) order(shares []cluster.Share) []uint16 {
	length, nodes := u.quotas(shares)
	if length == 0 {
		return nil
	}
	// A counting sort by time: turn k of q is at (k + phase)/q of the order. The phases set the nodes apart, in the order of
	// the file, so that nodes of one weight take turns as they are listed.
	u.times = append(u.times[:0], make([]uint32, length+1)...)
	list := make([]uint16, length)
	for pass := range 2 {
		place := 0
		for i, q := range u.quota {
			if q == 0 {
				continue
			}
			phase := (float64(place) + 0.5) / float64(nodes)
			place++
			for k := range q {
				at := min(int((float64(k)+phase)/float64(q)*float64(length)), length-1)
				if pass == 0 {
					u.times[at+1]++
				} else {
					list[u.times[at]] = uint16(i)
					u.times[at]++
				}
			}
		}
		if pass == 0 {
			for i := range length {
				u.times[i+1] += u.times[i]
			}
		}
	}
	return list
}

// Quotas sets how many turns each share gets, and returns their sum and how many shares have any.
func (u *turns) quotas(shares []cluster.Share) (length, nodes int) {
	var sum, divisor uint64
	for i := range shares {
		if w := uint64(shares[i].Weight); w > 0 {
			sum, divisor, nodes = sum+w, gcd(divisor, w), nodes+1
		}
	}
	most := uint64(min(max(turnsWanted, turnsPerNode*nodes), mostTurns-nodes)) // rounding up gives each node one more at most
	u.quota = append(u.quota[:0], make([]uint32, len(shares))...)
	before := uint64(0)
	for i := range shares {
		w := uint64(shares[i].Weight)
		switch {
		case w == 0:
			continue
		case sum/divisor <= most:
			u.quota[i] = uint32(w / divisor)
		default: // what it adds to the rounded sum of those before it
			u.quota[i] = max(uint32((before+w)*most/sum-before*most/sum), 1)
		}
		before += w
		length += int(u.quota[i])
	}
	return length, nodes
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func byTurns(p *policy, t *cluster.Table, _ []cluster.Member) { t.Slots = p.turns.order(t.Shares) }
