package run

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A Group is a task made of tasks that its owner starts and stops while it runs. The zero Group is ready for use.
type Group struct {
	mu      sync.Mutex
	running bool
	over    bool
	members []*member // in the order in which they were started
	failed  chan error
}

// member is one task of a group.
type member struct {
	task Task
	stop context.CancelFunc
	done chan struct{}
	err  error // what it returned; valid once done is closed
}

// Start adds a task; it begins at once, or when Run does. In a group that has ended it does nothing. The task's end is
// the owner's to bring about: one that ends by itself ends the group.
func (g *Group) Start(t Task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	m := &member{task: t, done: make(chan struct{})}
	g.members = append(g.members, m)
	if g.running {
		g.begin(m)
	}
}

// begin runs a task. The caller holds mu.
func (g *Group) begin(m *member) {
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.done)
		m.err = m.task.Run(ctx)
		switch {
		case m.err != nil:
			m.err = fmt.Errorf("%s: %w", m.task.Name, m.err)
		case ctx.Err() == nil:
			m.err = fmt.Errorf("%s: ended by itself", m.task.Name)
		default:
			return
		}
		select {
		case g.failed <- m.err:
		default: // one is enough to end the group
		}
	}()
}

// Stop stops the task of that name, the newest if there are several, and waits until it has ended. It returns what the
// task returned; a name that the group does not have is no error.
func (g *Group) Stop(name string) error {
	g.mu.Lock()
	i := len(g.members) - 1
	for i >= 0 && g.members[i].task.Name != name {
		i--
	}
	if i < 0 {
		g.mu.Unlock()
		return nil
	}
	m := g.members[i]
	g.members = slices.Delete(g.members, i, i+1)
	running := g.running
	g.mu.Unlock()
	if !running {
		return nil
	}
	m.stop()
	<-m.done
	return m.err
}

// Run begins what has been started so far, and runs until the context ends or a task ends by itself. Then it stops all,
// the newest first.
func (g *Group) Run(ctx context.Context) error {
	g.mu.Lock()
	g.running, g.failed = true, make(chan error, 1)
	failed := g.failed
	for _, m := range g.members {
		g.begin(m)
	}
	g.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}

	g.mu.Lock()
	g.over = true
	members := g.members
	g.members = nil
	g.mu.Unlock()
	for _, m := range slices.Backward(members) {
		m.stop()
		<-m.done
		if err == nil {
			err = m.err
		}
	}
	return err
}
