package schedule

import (
	"muster/cluster"
	"muster/control/share"
)

// Source hashing: LVS `sh`. A client's address leads to the same node as long as that one is active, whatever director it
// comes through. LVS hashes into a plain table; ours is Maglev's, so that nodes come and go without moving the others'
// clients.
var sh = kind{
	name:   "sh",
	what:   "by the client's address: a client stays with its node",
	weigh:  configured,
	slots:  bySource,
	choose: byAddress,
}

func byAddress(t *cluster.Table, ask *cluster.Ask) int {
	if len(t.Slots) == 0 {
		return -1
	}
	return next(t, ask, share.Slot(ask.Key, len(t.Slots)))
}

// BySource lays out the Maglev table. What the members would weigh if all were active are the nominal weights: a node that
// is not active, or in its slow start, gives up its slots, or some, and no other slot moves.
func bySource(p *policy, t *cluster.Table, members []cluster.Member) {
	p.names, p.nominal, p.weights, p.parts = p.names[:0], p.nominal[:0], p.weights[:0], p.parts[:0]
	for _, m := range members {
		p.parts = append(p.parts, p.weigh(m))
	}
	raise(p.parts, p.cfg.Floor/100)
	for i, m := range members {
		p.names = append(p.names, m.Node)
		p.nominal = append(p.nominal, points(p.parts[i]))
		p.weights = append(p.weights, t.Shares[i].Weight)
	}
	t.Slots = p.builder.Rebuild(p.names, p.nominal, p.weights, share.Size)
}
