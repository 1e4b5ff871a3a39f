package console

import (
	"slices"
	"sync"
	"time"
)

// eventLimit is how many events are kept.
const eventLimit = 256

// An Event is one change of state.
type Event struct {
	Number uint64    `json:"number"` // counts from 1; filled in by Add
	At     time.Time `json:"at"`     // by the node's clock; filled in by Add
	Kind   string    `json:"kind"`   // of what changed: node, wish, application, file, reports
	Name   string    `json:"name"`
	Change string    `json:"change"` // such as "active -> out"
	Reason string    `json:"reason,omitempty"`
}

// Events keeps the last 256 changes of state. The zero Events is ready for use, by any goroutine.
type Events struct {
	mu   sync.Mutex
	last uint64
	ring [eventLimit]Event // number n stands at n modulo its length
}

// Add notes a change.
func (e *Events) Add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	ev.Number, ev.At = e.last, time.Now()
	e.ring[e.last%eventLimit] = ev
}

// After returns the events with a number above n that are still kept, the oldest first.
func (e *Events) After(n uint64) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last > eventLimit {
		n = max(n, e.last-eventLimit)
	}
	list := []Event{}
	for n++; n <= e.last; n++ {
		list = append(list, e.ring[n%eventLimit])
	}
	return slices.Clip(list)
}
