package schedule

import "muster/cluster"

// The load index of HAS 3.22.6: CPU speed times free memory, as each node reports it.
//
// HAS sends a request to the head of the list sorted by index. The list is as old as the last report, and between two
// reports all requests would go to one node. So the nodes take turns in proportion to weight times index: the head of the
// list still gets the most, and a node without room the floor.
var has = kind{
	name:   "has",
	what:   "in turn, by the load index of HAS: CPU speed and free memory",
	weigh:  configured,
	index:  func(m cluster.Member) cluster.Index { return m.Index },
	slots:  byTurns,
	choose: byTurn,
}
