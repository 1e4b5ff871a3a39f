package run

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// diary notes in which order tasks begin and end.
type diary struct {
	mu    sync.Mutex
	notes []string
	began chan string
}

func (d *diary) task(name string) Task {
	return Task{Name: name, Run: func(ctx context.Context) error {
		d.began <- name
		<-ctx.Done()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.notes = append(d.notes, name)
		return nil
	}}
}

func TestAGroupStopsFromItsTail(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := &diary{began: make(chan string, 4)}
	var g Group
	g.Start(d.task("a"))
	g.Start(d.task("never"))
	if err := g.Stop("never"); err != nil {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-d.began
	for _, name := range []string{"b", "c", "d"} {
		g.Start(d.task(name))
		<-d.began
	}
	if err := errors.Join(g.Stop("b"), g.Stop("nobody")); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	g.Start(d.task("late"))
	if diff := cmp.Diff([]string{"b", "d", "c", "a"}, d.notes); diff != "" {
		t.Errorf("order of the ends: %s", diff)
	}
	if slices.Contains(d.notes, "late") || len(d.began) > 0 {
		t.Error("a task began after the group's end")
	}
}

func TestATaskThatFailsEndsItsGroup(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := &diary{began: make(chan string, 1)}
	var g Group
	g.Start(d.task("a"))
	boom := errors.New("boom")
	g.Start(Task{Name: "b", Run: func(context.Context) error { return boom }})
	if err := g.Run(t.Context()); !errors.Is(err, boom) || err.Error() != "b: boom" {
		t.Errorf("got %v, want b: boom", err)
	}
	if diff := cmp.Diff([]string{"a"}, d.notes); diff != "" {
		t.Error(diff)
	}
}
