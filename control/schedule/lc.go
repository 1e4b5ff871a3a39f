package schedule

// Least connections: LVS `lc`. Weights do not count, but for 0; a slow start does.
var lc = kind{
	name:   "lc",
	what:   "the node with the fewest requests or connections under way",
	weigh:  equal,
	choose: least,
}
