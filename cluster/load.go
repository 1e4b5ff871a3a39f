package cluster

// An Index says how much room a node has: larger is more, 0 is none (HAS 3.22.6).
type Index uint64

// A Load is what a traffic node says of itself, once each report interval.
type Load struct {
	Node  string
	Index Index  // as HAS 3.22.6 computes it
	Room  Index  // the index `load`: also run queue, pressure and free bandwidth; see control/load
	Busy  uint16 // how much of the node is in use, in per mille: 0 idle, 1000 full
	Apps  []App  // one for each pool that the node serves
	Hears []Hearing
}

// App says whether a node's application for one pool answers its check.
type App struct {
	Pool   string
	Up     bool
	Reason string // why it is not up; empty when it is
}

// A Hearing says of one director whether the node hears it, and on which LAN.
type Hearing struct {
	Director string
	LAN      uint8
	Silent   uint32 // milliseconds since the node last heard it there
}

// App returns what the load says of the application for a pool; a pool that it does not name is not up.
func (l Load) App(pool string) App {
	for _, a := range l.Apps {
		if a.Pool == pool {
			return a
		}
	}
	return App{Pool: pool, Reason: "the node does not report this pool"}
}
