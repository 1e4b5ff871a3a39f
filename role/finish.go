package role

import (
	"context"
	"slices"
	"sync"
	"time"

	"muster/console"
)

// finish waits until the directors send no more work to applications that have said to be down, and have none under way
// there. The caller holds changing.
//
// A built-in server finishes its requests itself. A program is told by a signal, at which many drop what they are at:
// nginx does at TERM. So nothing must be under way then, and only the directors know. Of connections whose packets come
// straight from the clients nobody else knows either when their last packet has gone; a built-in server is stopped for them
// to end, while the directors still hear that the node is there.
func (t *traffic) finish(pools []string) {
	time.Sleep(t.heard())
	t.mu.Lock()
	direct := t.direct
	t.mu.Unlock()
	var servers sync.WaitGroup
	defer servers.Wait()
	var told []string
	for _, pool := range pools {
		a := t.applications[pool]
		if a.server != nil && direct[pool] {
			servers.Go(func() {
				if err := t.tasks.Stop(pool); err != nil {
					t.log.Error("application ended badly", "pool", pool, "error", err)
				}
			})
		}
		if a.keeper != nil || direct[pool] {
			told = append(told, pool)
		}
	}
	t.quiet(told)
}

// quiet waits until the directors have nothing under way for these pools here, but not for longer than the drain time.
func (t *traffic) quiet(pools []string) {
	if len(pools) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.drain)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for t.underWay(ctx, pools) > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.log.Warn("requests are cut: they did not finish within the drain time", "drain", t.drain)
			return
		}
	}
}

// underWay is how many requests and connections the directors that answer have at this node's applications.
func (t *traffic) underWay(ctx context.Context, pools []string) (n int64) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, d := range t.directors {
		status, err := d.Status(ctx)
		if err != nil || status.Director == nil {
			continue // who does not answer sends nothing either, or is another's trouble
		}
		for _, s := range status.Director.Services {
			n += active(s, t.self, pools)
		}
	}
	return n
}

func active(s console.Service, node string, pools []string) (n int64) {
	if !slices.Contains(pools, s.Pool) {
		return 0
	}
	for _, m := range s.Members {
		if m.Node == node {
			n += m.Active
		}
	}
	return n
}
