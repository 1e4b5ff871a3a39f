package member

import (
	"context"
	"time"

	"muster/cluster"
)

// Run looks after what changes by itself: drains that finish and slow starts that go on. It also passes new loads on to the
// watchers, many reports at a time. It sleeps while there is nothing of the kind.
func (p *Picture) Run(ctx context.Context) error {
	timer := time.NewTimer(p.cfg.Tick)
	defer timer.Stop()
	running := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			if !running {
				timer.Reset(p.cfg.Tick)
				running = true
			}
		case <-timer.C:
			running = false
			p.update(p.tick) // wakes us again if there is more
		}
	}
}

func (p *Picture) tick(now time.Time) {
	for _, n := range p.nodes {
		for _, pl := range n.places {
			if !pl.ramp.IsZero() {
				p.changed = true // its share has grown
				if pl.ramped(now) == 1 {
					pl.ramp = time.Time{}
				}
			}
		}
		p.judge(n, now)
	}
	if p.loads {
		p.tell()
	}
}

// Restless says whether time alone will change something.
func (p *Picture) restless() bool {
	if p.loads {
		return true
	}
	for _, w := range p.pools {
		for _, pl := range w.places {
			if !pl.ramp.IsZero() || pl.state == cluster.InTransition {
				return true
			}
		}
	}
	return false
}

// Watch returns a channel that holds a token whenever something has changed since the last one was taken: a state, a wish
// or the configuration at once, loads and slow starts at the next tick. Stop ends it; the channel is never closed.
func (p *Picture) Watch() (changes <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchers[c] = true
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watchers, c)
	}
}

func (p *Picture) tell() {
	p.changed, p.loads = false, false
	for c := range p.watchers {
		select {
		case c <- struct{}{}:
		default: // it has not taken the last one yet
		}
	}
}
