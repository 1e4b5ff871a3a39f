package demo

import (
	"context"
	"fmt"
	"time"

	"muster/console"
)

// Follow tells says of each change of state that the director sees, until the context ends.
func (d *Demo) Follow(ctx context.Context, says func(string)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last uint64
	var since time.Time // when the director's process began: a new one counts its events anew
	for first := true; ; first = false {
		if s, err := d.Status(ctx); err == nil {
			if !s.Since.Equal(since) {
				since, last = s.Since, 0
			}
			events, _ := d.Client(s.Node).Events(ctx, last) // asked again soon
			for _, e := range events {
				last = e.Number
				if !first { // what led to where all is well
					says(line(e))
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func line(e console.Event) string {
	s := fmt.Sprintf("%s: %s", e.Name, e.Change)
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}
