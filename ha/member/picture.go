package member

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"muster/cluster"
)

// ErrNoNode says that the configuration has no node of a name.
var ErrNoNode = errors.New("the cluster has no node of that name")

// A Pool is what the picture must know of a pool.
type Pool struct {
	Name      string
	Nodes     []string      // its own
	Port      uint16        // where the application listens, on the first address of each node
	Limit     int           // most requests or connections at a time for each node; 0 means no limit
	SlowStart time.Duration // 0 means none
	From      []string      // the pools whose nodes may be lent to it
}

// Config says whose picture it is.
type Config struct {
	Self string        // the node that this process is; if it is a director, it needs no report to be active
	Tick time.Duration // how often ramps, drains and new loads are looked after, while there are any; 0 means 100ms
}

// A Picture holds the states of all nodes. Its methods may be called from any goroutine.
type Picture struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // tells Run that there is something to look after

	mu       sync.Mutex
	nodes    []*node // in the order of the file
	pools    []*pool
	byName   map[string]*node
	wishes   map[string]Wished
	watchers map[chan struct{}]bool
	loads    bool // loads are newer than what the watchers were told
	changed  bool // a state, a wish or the configuration is
	events   ring
	unlogged []Event
}

// A node is what is known of it.
type node struct {
	cluster.Node
	standing
	load   cluster.Load
	heard  time.Time // zero: never
	gone   string    // why it is not there; empty when it is
	from   string    // the pool that has lent it, and the one that has it; empty when it is where it belongs
	to     string
	places []*place
}

// A place is a node in one of the pools that it works for, or may be lent to.
type place struct {
	standing
	node *node
	pool *pool
	home string // of a node that may be lent: the pool that it belongs to; empty in its own
	live *cluster.Live
	ramp time.Time // when its slow start began; zero when it is over
}

type pool struct {
	Pool
	places []*place
	active int
	opened time.Time // when the first node became active while none was
}

// A standing is a state and how it came about.
type standing struct {
	state  cluster.State
	reason string
	since  time.Time
}

// NewPicture returns a picture without nodes. Each change of state is an event, and a line in the log.
func NewPicture(cfg Config, log *slog.Logger) *Picture {
	if cfg.Tick <= 0 {
		cfg.Tick = 100 * time.Millisecond
	}
	return &Picture{
		cfg: cfg, log: log.With("part", "member"), wake: make(chan struct{}, 1),
		byName: map[string]*node{}, wishes: map[string]Wished{}, watchers: map[chan struct{}]bool{},
	}
}

// Heard takes a node's report. It keeps what the load points to. A node that is not in the configuration is ignored.
func (p *Picture) Heard(l cluster.Load) {
	p.update(func(now time.Time) {
		if n := p.byName[l.Node]; n != nil {
			p.changed = p.changed || n.gone != "" || n.heard.IsZero() // it may be out as before, but is not gone any more
			n.load, n.heard, n.gone = l, now, ""
			p.loads = true
			p.judge(n, now)
		}
	})
}

// Silent notes that nothing has been heard of a node for so long that it is taken to be dead.
func (p *Picture) Silent(name string, silent time.Duration) {
	p.Gone(name, fmt.Sprintf("silent for %s", silent.Round(time.Millisecond)))
}

// Overdue notes that a node's report has not come when it should have, or that one has come since. That changes no state:
// the data path alone may act on it, where that cannot harm.
func (p *Picture) Overdue(name string, overdue bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.byName[name]; n != nil {
		for _, pl := range n.places {
			pl.live.Overdue.Store(overdue)
		}
	}
}

// Gone notes that a node is not there, and why: it has said that it stops, say.
func (p *Picture) Gone(name, why string) {
	p.update(func(now time.Time) {
		if n := p.byName[name]; n != nil {
			p.changed = p.changed || n.gone == "" // it may have been out before, but what it had is lost only now
			n.gone = why
			p.judge(n, now)
		}
	})
}

// SetWish notes what the operator wants of a node, and why, which may be empty. It returns ErrNoNode.
func (p *Picture) SetWish(name string, wish cluster.Wish, why string) (err error) {
	p.update(func(now time.Time) {
		n := p.byName[name]
		if n == nil {
			err = fmt.Errorf("node %q: %w", name, ErrNoNode)
			return
		}
		if old := p.wishes[name]; old.Wish == wish && old.Why == why {
			return
		}
		if delete(p.wishes, name); wish != cluster.Ready {
			p.wishes[name] = Wished{name, wish, why, now}
		}
		p.changed = true
		p.judge(n, now)
	})
	return err
}

// Move lends a node of one pool to another, or sends it home; see schedule.Zones. The pool that it leaves lets it finish
// what it has.
func (p *Picture) Move(name, from, to string) (err error) {
	p.update(func(now time.Time) {
		n := p.byName[name]
		if n == nil {
			err = fmt.Errorf("node %q: %w", name, ErrNoNode)
			return
		}
		a, b := n.place(from), n.place(to)
		switch {
		case a == nil || b == nil:
			err = fmt.Errorf("node %s from pool %q to pool %q: it has no place in both", name, from, to)
			return
		case n.to == from && n.from == to:
			n.from, n.to = "", ""
		case n.to == "" && b.home != "" && a.home == "":
			n.from, n.to = from, to
		default:
			err = fmt.Errorf("node %s from pool %q to pool %q: a node is lent by its own pool, and goes back there", name, from, to)
			return
		}
		p.changed = true
		p.judge(n, now)
	})
	return err
}

// Update runs f on the state, then logs and tells what came of it.
func (p *Picture) update(f func(now time.Time)) {
	p.mu.Lock()
	f(time.Now())
	if p.changed {
		p.tell()
	}
	wake, events := p.restless(), p.unlogged
	p.unlogged = nil
	p.mu.Unlock()
	if wake {
		select {
		case p.wake <- struct{}{}:
		default: // it is told already
		}
	}
	for _, e := range events { // a log may block; reports must not wait for it
		e.write(p.log)
	}
}
