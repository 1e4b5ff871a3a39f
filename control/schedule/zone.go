package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Zone is a pool that borrows nodes of other pools while it has too much to do (HAS names nodes that migrate between
// zones by load as future work).
type Zone struct {
	Pool  string
	From  []string      // the pools that it may borrow from, the first that can spare a node first
	Above uint16        // it borrows when its nodes are busier than this, in per mille of all they can do
	Below uint16        // it gives back when they are less busy than this
	Keep  int           // how many active nodes a pool that it borrows from is left with at least
	Hold  time.Duration // how long a pool must be above or below, and how long after each move none follows
}

// A Seat is a node that is active in a pool: as its own, or lent to it.
type Seat struct {
	Node string
	Home string // the pool that it is a node of
	In   string // the pool that it works for
	Busy uint16 // in per mille
}

// A Move is one node that should work for another pool from now on.
type Move struct {
	Node, From, To string
	Why            string
}

// Zones decides which node moves next. It has no clock and does nothing itself: Step is told the time and who works where,
// and what it returns is done, or not, by the caller. One goroutine at a time may use it.
type Zones struct {
	zones []watch
}

// A watch is a zone and since when it has been above and below, and needed at home what it has lent. Each time is 0 while
// it is not so.
type watch struct {
	Zone
	above, below, moved span
	called              map[string]span // by lender
}

// A span is a time on the caller's clock that may be unset.
type span struct {
	at  time.Duration
	set bool
}

// Since starts the span when yes becomes true, ends it when it is not, and says whether it has lasted.
func (s *span) since(now time.Duration, yes bool, hold time.Duration) bool {
	if !yes {
		*s = span{}
	} else if !s.set {
		*s = span{now, true}
	}
	return s.set && now-s.at >= hold
}

// NewZones returns the logic for the zones. Names are the caller's to check.
func NewZones(zones []Zone) *Zones {
	z := new(Zones)
	for _, zone := range zones {
		z.zones = append(z.zones, watch{Zone: zone, called: map[string]span{}})
	}
	return z
}

// Step takes the time, on any clock that only goes forward, and every active seat, and returns the moves to make now: at
// most one for each zone, and none of a node twice. The rules, for each zone in turn:
//
//   - Above its upper threshold for as long as it must hold, it borrows the least busy node of the first pool that
//     keeps enough nodes, and would not be above the threshold itself without that one.
//   - Below its lower threshold for as long, it gives back the least busy node that it has borrowed, if the others would
//     stay below the upper one without it.
//   - A pool that has lent a node and is above the threshold itself for as long gets it back, unless the zone is too.
func (z *Zones) Step(now time.Duration, seats []Seat) []Move {
	seats = slices.Clone(seats)
	slices.SortStableFunc(seats, func(a, b Seat) int { return cmp.Compare(a.Busy, b.Busy) })
	var moves []Move
	for i := range z.zones {
		m, ok := z.zones[i].step(now, seats)
		if !ok {
			continue
		}
		moves = append(moves, m)
		z.zones[i].moved = span{now, true}
		// The zones after this one see the move as made.
		at := slices.IndexFunc(seats, func(s Seat) bool { return s.Node == m.Node && s.In == m.From })
		seats[at].In = m.To
	}
	return moves
}

func (w *watch) step(now time.Duration, seats []Seat) (Move, bool) {
	here := use(seats, w.Pool)
	high := w.above.since(now, here.busy() > int(w.Above), w.Hold)
	low := w.below.since(now, here.busy() < int(w.Below), w.Hold)
	called := ""
	for _, pool := range w.From {
		s := w.called[pool]
		if s.since(now, use(seats, pool).busy() > int(w.Above), w.Hold) && called == "" {
			called = pool
		}
		w.called[pool] = s
	}
	if w.moved.set && now-w.moved.at < w.Hold {
		return Move{}, false
	}
	switch {
	case high:
		return w.borrow(seats, here)
	case called != "":
		return w.giveBack(seats, here, called, fmt.Sprintf("pool %s needs it: %s", called, use(seats, called)))
	case low:
		return w.giveBack(seats, here, "", fmt.Sprintf("pool %s: %s", w.Pool, here))
	}
	return Move{}, false
}

func (w *watch) borrow(seats []Seat, here usage) (Move, bool) {
	for _, from := range w.From {
		there := use(seats, from)
		if there.nodes <= w.Keep || there.without(1) > int(w.Above) {
			continue
		}
		for _, s := range seats {
			if s.In == from && s.Home == from {
				return Move{s.Node, from, w.Pool, fmt.Sprintf("pool %s: %s, pool %s: %s", w.Pool, here, from, there)}, true
			}
		}
	}
	return Move{}, false
}

func (w *watch) giveBack(seats []Seat, here usage, home, why string) (Move, bool) {
	if here.without(1) > int(w.Above) {
		return Move{}, false
	}
	for _, s := range seats {
		if s.In == w.Pool && s.Home != w.Pool && (home == "" || s.Home == home) {
			return Move{s.Node, w.Pool, s.Home, why}, true
		}
	}
	return Move{}, false
}

// Usage is how many nodes work for a pool, and how busy they are together.
type usage struct{ nodes, sum int }

func use(seats []Seat, pool string) (u usage) {
	for _, s := range seats {
		if s.In == pool {
			u.nodes, u.sum = u.nodes+1, u.sum+int(s.Busy)
		}
	}
	return u
}

// Busy is the mean of the nodes. A pool without any has more to do than it can.
func (u usage) busy() int { return u.without(0) }

// Without is how busy the others would be if some nodes went and left their work to them.
func (u usage) without(nodes int) int {
	if u.nodes <= nodes {
		return 1 << 16
	}
	return u.sum / (u.nodes - nodes)
}

func (u usage) String() string {
	if u.nodes == 0 {
		return "no active node"
	}
	return fmt.Sprintf("%d.%d %%", u.busy()/10, u.busy()%10)
}
