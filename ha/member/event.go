package member

import (
	"log/slog"
	"time"

	"muster/cluster"
)

// An Event is one change of state: of a node, or of a node in one pool where that is not the same.
type Event struct {
	Number   uint64 // 1 is the first one of this process
	At       time.Time
	Node     string
	Pool     string // empty: the node as a whole
	From, To cluster.State
	Reason   string
}

func (e Event) write(log *slog.Logger) {
	at := []any{"node", e.Node, "from", e.From, "to", e.To}
	if e.Pool != "" {
		at = append(at, "pool", e.Pool)
	}
	if e.Reason != "" {
		at = append(at, "reason", e.Reason)
	}
	if e.To == cluster.Out {
		log.Warn("node state", at...)
	} else {
		log.Info("node state", at...)
	}
}

// A ring keeps the newest events.
type ring struct {
	last [256]Event
	n    uint64
}

func (p *Picture) note(e Event) {
	p.events.n++
	e.Number = p.events.n
	p.events.last[e.Number%uint64(len(p.events.last))] = e
	p.unlogged = append(p.unlogged, e)
	p.changed = true
}

// Events returns the last 256 events, oldest first. The number of the last one is how many there have been.
func (p *Picture) Events() []Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := min(p.events.n, uint64(len(p.events.last)))
	list := make([]Event, 0, kept)
	for i := p.events.n - kept + 1; i <= p.events.n; i++ {
		list = append(list, p.events.last[i%uint64(len(p.events.last))])
	}
	return list
}
