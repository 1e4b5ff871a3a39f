package schedule

import (
	"muster/cluster"
	"muster/control/share"
)

// Maglev hashing (Eisenbud et al., NSDI 2016): LVS `mh` with its flag mh-port. The client's port counts too, so the
// connections of one address, which may be a proxy with thousands of people behind it, are spread; each one leads to the
// same node on whatever director.
var mh = kind{
	name:   "mh",
	what:   "by the client's address and port: connections are spread, and any director sends one to the same node",
	weigh:  configured,
	slots:  bySource,
	choose: byConnection,
}

func byConnection(t *cluster.Table, ask *cluster.Ask) int {
	if len(t.Slots) == 0 {
		return -1
	}
	// An odd factor maps ports to different bits all over the key, and port 0 to none.
	return next(t, ask, share.Slot(ask.Key^uint64(ask.Port)*0x9e3779b97f4a7c15, len(t.Slots)))
}
