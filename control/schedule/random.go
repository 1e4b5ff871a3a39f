package schedule

import "muster/cluster"

// At random, by weight (CSE's catalogue; HAProxy `random`). Directors need not agree on whose turn it is.
var random = kind{
	name:   "random",
	what:   "at random, by weight",
	weigh:  configured,
	slots:  byTurns, // drawn at random, they are nodes by weight
	choose: byChance,
}

func byChance(t *cluster.Table, ask *cluster.Ask) int {
	if len(t.Slots) == 0 {
		return -1
	}
	return next(t, ask, scaled(uint32(ask.Random>>32), len(t.Slots)))
}
