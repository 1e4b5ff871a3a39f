package schedule

// Round robin: NCSA's server gave out the addresses of one name in turn (Katz, Butler, McGrath, 1994; RFC 1794); LVS `rr`.
// Weights do not count, but for 0; a slow start does.
var rr = kind{
	name:   "rr",
	what:   "each node in turn, whatever its weight",
	weigh:  equal,
	slots:  byTurns,
	choose: byTurn,
}
