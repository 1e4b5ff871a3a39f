package schedule

import "muster/cluster"

// As has, by the second index that nodes report, which also counts run queue, pressure and free network bandwidth
// (HAS names bandwidth as future work; control/load has the formula).
var load = kind{
	name:   "load",
	what:   "in turn, by all of the room that nodes report: CPU, memory, run queue, pressure, bandwidth",
	weigh:  configured,
	index:  func(m cluster.Member) cluster.Index { return m.Room },
	slots:  byTurns,
	choose: byTurn,
}
