package standing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"muster/internal/nearest"
	"muster/lab/testbed"
)

// An Action is something that is done to a standing lab.
type Action struct {
	Do     string         `json:"do"`               // one of Actions
	To     []string       `json:"to,omitempty"`     // names: machines, or links such as t1/a
	Fault  *testbed.Fault `json:"fault,omitempty"`  // of slow
	Groups [][]string     `json:"groups,omitempty"` // of part
}

// A deed is what an action does, and to what.
type deed struct {
	name    string
	links   func(*testbed.Lab, Action, []testbed.Link) error
	machine func(context.Context, *testbed.Machine) error
	lab     func(*testbed.Lab, Action) error
}

var deeds = []deed{
	{name: "cut", links: func(l *testbed.Lab, _ Action, links []testbed.Link) error { return l.Cut(links...) }},
	{name: "mend", links: func(l *testbed.Lab, _ Action, links []testbed.Link) error { return l.Mend(links...) }},
	{name: "slow", links: slow},
	{name: "part", lab: func(l *testbed.Lab, a Action) error { return l.Part(a.Groups...) }},
	{name: "deafen", lab: deafen},
	{name: "heal", lab: func(l *testbed.Lab, _ Action) error { return l.Heal() }},
	{name: "kill", machine: func(_ context.Context, m *testbed.Machine) error { return ending(m, m.Kill) }},
	{name: "stop", machine: func(_ context.Context, m *testbed.Machine) error { return ending(m, m.Stop) }},
	{name: "start", machine: start},
	{name: "restart", machine: func(ctx context.Context, m *testbed.Machine) error { m.Stop(); return start(ctx, m) }},
	{name: "freeze", machine: func(_ context.Context, m *testbed.Machine) error { return m.Freeze() }},
	{name: "thaw", machine: func(_ context.Context, m *testbed.Machine) error { return m.Thaw() }},
	{name: "off", machine: func(_ context.Context, m *testbed.Machine) error { return m.Off() }},
	{name: "on", machine: on},
}

func slow(l *testbed.Lab, a Action, links []testbed.Link) error {
	if a.Fault == nil {
		return errors.New("say how the link is to be slow")
	}
	var errs []error
	for _, link := range links {
		errs = append(errs, l.Slow(link, *a.Fault))
	}
	return errors.Join(errs...)
}

func deafen(l *testbed.Lab, a Action) error {
	if len(a.To) != 2 {
		return errors.New("name who is not heard, and who does not hear")
	}
	return l.Deafen(a.To[0], a.To[1])
}

// runs says whether the node of a machine does.
func runs(m *testbed.Machine) bool {
	p := m.Node()
	if p == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// start starts the node of a machine, if it is to have one and it does not run.
func start(ctx context.Context, m *testbed.Machine) error {
	if runs(m) {
		return fmt.Errorf("the node of %s runs", m.Name)
	}
	return m.Start(ctx)
}

func ending(m *testbed.Machine, end func()) error {
	if !runs(m) {
		return fmt.Errorf("no node runs on %s", m.Name)
	}
	end()
	return nil
}

// on gives power, and does what the machine does when it has booted.
func on(ctx context.Context, m *testbed.Machine) error {
	if m.PID() != 0 {
		return fmt.Errorf("%s is on", m.Name)
	}
	if err := m.On(ctx); err != nil || !m.Runs() {
		return err
	}
	return m.Start(ctx)
}

// do does it.
func (a Action) do(ctx context.Context, l *testbed.Lab) error {
	var names []string
	for _, d := range deeds {
		if d.name == a.Do {
			return d.do(ctx, l, a)
		}
		names = append(names, d.name)
	}
	return fmt.Errorf("a lab cannot %s; it can %s", a.Do, strings.Join(names, ", "))
}

func (d deed) do(ctx context.Context, l *testbed.Lab, a Action) error {
	switch {
	case d.lab != nil:
		return d.lab(l, a)
	case d.links != nil:
		var all []testbed.Link
		for _, text := range a.To {
			links, err := l.Layout.Link(text)
			if err != nil {
				return err
			}
			all = append(all, links...)
		}
		return d.links(l, a, all)
	}
	var machines []*testbed.Machine
	for _, name := range a.To {
		m := l.Machine(name)
		if m == nil {
			return unknown(name, l.Layout.Names())
		}
		machines = append(machines, m)
	}
	var errs []error
	for _, m := range machines {
		errs = append(errs, d.machine(ctx, m))
	}
	return errors.Join(errs...)
}

func unknown(name string, names []string) error {
	if near := nearest.Word(name, names); near != "" {
		return fmt.Errorf("the lab has no machine %s; did you mean %s?", name, near)
	}
	return fmt.Errorf("the lab has no machine %s; there are %s", name, strings.Join(names, " "))
}
