package schedule

import "muster/cluster"

// The power of two choices (Mitzenmacher, IEEE TPDS 2001): of two nodes taken at random, the one with less to do. It is
// nearly as even as a search of all, in constant time; and directors that do not know of each other's requests do not herd
// on the one node that looks least busy to all of them. NGINX: random two least_conn.
var p2c = kind{
	name:   "p2c",
	what:   "of two nodes drawn at random by weight, the one with less under way for its weight",
	weigh:  configured,
	slots:  byTurns, // drawn at random, they are nodes by weight
	choose: lessOfTwo,
}

func lessOfTwo(t *cluster.Table, ask *cluster.Ask) int {
	n := len(t.Slots)
	if n == 0 {
		return -1
	}
	first := next(t, ask, scaled(uint32(ask.Random>>32), n))
	if first < 0 {
		return -1
	}
	at := scaled(uint32(ask.Random), n)
	for range min(walk, n) {
		if i := int(t.Slots[at]); i != first && ask.May(t, i) {
			a, b := &t.Shares[first], &t.Shares[i]
			if under(b)*uint64(a.Weight) < under(a)*uint64(b.Weight) {
				return i
			}
			return first
		}
		if at++; at == n {
			at = 0
		}
	}
	return first
}
