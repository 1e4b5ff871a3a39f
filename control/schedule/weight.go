package schedule

import (
	"math"

	"muster/cluster"
)

// A table's weights are in hundredths of the file's: a node of weight 100 that nothing diminishes has 10,000 points. Only
// their proportions count.
const pointsPerWeight = 100

// Points rounds a weight; above 0 it is at least one.
func points(w float64) uint32 {
	if w <= 0 {
		return 0
	}
	return uint32(min(max(math.Round(w*pointsPerWeight), 1), math.MaxUint32))
}

// Configured weighs a node as the file does.
func configured(m cluster.Member) float64 { return float64(m.Weight) }

// Equal weighs all nodes alike that have any weight.
func equal(m cluster.Member) float64 {
	if m.Weight > 0 {
		return 100
	}
	return 0
}

// WeighAll sets each member's part: its weight, times its slow start (a ramp of 0 is none), times its index where the policy has one; at least
// the floor. What is not active has none.
//
// An index only says how the nodes stand beside each other, so the parts are brought back to the sum of the weights. Where
// no node has an index above 0, the weights alone decide.
func (p *policy) weighAll(members []cluster.Member) {
	p.parts = p.parts[:0]
	var weights, indexed float64
	for _, m := range members {
		w := 0.0
		if m.State == cluster.Active {
			w = p.weigh(m)
			if m.Ramp > 0 {
				w *= min(m.Ramp, 1)
			}
		}
		p.parts = append(p.parts, w)
		weights += w
		if p.index != nil {
			indexed += w * float64(p.index(m))
		}
	}
	if indexed > 0 {
		for i, m := range members {
			// A hair above 0, so that the floor and the one point at least are its too.
			p.parts[i] *= max(float64(p.index(m))*weights/indexed, 1e-9)
		}
	}
	raise(p.parts, p.cfg.Floor/100)
}

// Raise brings every part above 0 to at least the floor, a fraction of the mean of those parts; the others give it up in
// proportion, which may bring more of them to the floor.
func raise(parts []float64, floor float64) {
	sum, n := 0.0, 0.0
	for _, w := range parts {
		if w > 0 {
			sum, n = sum+w, n+1
		}
	}
	if floor == 0 || n == 0 {
		return
	}
	least := floor * sum / n
	for {
		low, rest, more := 0.0, 0.0, false
		for _, w := range parts {
			if w > least {
				rest += w
			} else if w > 0 {
				low++
				more = more || w < least
			}
		}
		if !more {
			return
		}
		scale := 1.0
		if rest > 0 {
			scale = (sum - low*least) / rest
		}
		for i, w := range parts {
			if w > least {
				parts[i] = w * scale
			} else if w > 0 {
				parts[i] = least
			}
		}
	}
}

// Worth says whether a new table differs enough from the one in use to take its place. Any change of nodes, states or
// static weights does; weights that follow an index must have changed a node's part by more than 3 %, or the data path
// would get a new table with every report.
func Worth(old, now *cluster.Table) bool {
	if old == nil || old.Pool != now.Pool || old.Schedule != now.Schedule || len(old.Shares) != len(now.Shares) {
		return true
	}
	slack := 0.0
	for _, k := range kinds {
		if k.name == now.Schedule && k.index != nil {
			slack = 0.03
		}
	}
	var a, b float64
	for i := range now.Shares {
		a += float64(old.Shares[i].Weight)
		b += float64(now.Shares[i].Weight)
	}
	for i := range now.Shares {
		o, n := old.Shares[i], now.Shares[i]
		was, is := float64(o.Weight)*b, float64(n.Weight)*a
		if (was == 0) != (is == 0) || math.Abs(is-was) > slack*was {
			return true
		}
		o.Weight = n.Weight
		if o != n {
			return true
		}
	}
	return false
}
