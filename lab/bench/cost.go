package bench

import (
	"context"
	"fmt"
	"time"

	"muster/lab/load"
	"muster/lab/testbed"
	"muster/lab/usage"
)

// A Cost says where the processor time of a request went, in microseconds. Only Processes and Programs are what a
// director of metal would spend as well; the rest has in it what veth pairs cost in place of network cards.
type Cost struct {
	Processes float64 `json:"process_us"` // user and system time of the director's processes
	Programs  float64 `json:"bpf_us"`     // run time of the BPF programs on its ports
	Runs      float64 `json:"bpf_runs"`   // how often they ran
	Packets   float64 `json:"softirq_us"` // the kernel's work on packets that came to it, programs included, in whosever time
	Whole     float64 `json:"whole_us"`   // of its processes and for its packets, each once
	Nodes     float64 `json:"nodes_us"`   // the same of all nodes together
	Machine   float64 `json:"machine_us"` // of the whole machine: clients, network, director and nodes

	Busy float64 `json:"-"` // part of the account's processors
}

func (c *Cost) parts() []*float64 {
	return []*float64{&c.Processes, &c.Programs, &c.Runs, &c.Packets, &c.Whole, &c.Nodes, &c.Machine, &c.Busy}
}

// A gauge is processor time used so far.
type gauge func() (time.Duration, error)

// processes reads those of a server, as it has them now.
func processes(s Server) (gauge, error) {
	pids, err := s.PIDs()
	return func() (time.Duration, error) {
		t, err := usage.Of(pids...)
		return t.Total, err
	}, err
}

// A charged is a machine of the testbed, as an account sees it.
type charged struct {
	network usage.Network
	spent   gauge // by its processes
}

// charge finds the machine's network.
func charge(m *testbed.Machine) (c charged, err error) {
	c.spent = m.Usage
	err = m.Do(func() (err error) {
		c.network, err = usage.Here()
		return err
	})
	return c, err
}

// whole is the machine's time, with each packet charged to the machine that it came to.
func (c charged) whole(m *usage.Meter) gauge {
	return func() (time.Duration, error) {
		t, err := c.spent()
		if err != nil {
			return 0, err
		}
		p, err := m.Read()
		return t + p.Borrowed(c.network), err
	}
}

// An account finds out where the processor time of a request goes. BPF programs must be counted (usage.CountPrograms).
type account struct {
	director *charged       // nil: there is none
	nodes    []charged      // none, and no director: packets are not measured
	programs usage.Programs // on the director's ports

	processors []int // of Machine; none means all
}

// plain are gauges that disturb nothing: programs, machine.
func (a *account) plain() []gauge {
	if a == nil {
		return nil
	}
	programs := func() (time.Duration, error) {
		r, err := a.programs.Read()
		return r.Time, err
	}
	runs := func() (time.Duration, error) { // a microsecond for each
		r, err := a.programs.Read()
		return time.Duration(r.Times) * time.Microsecond, err
	}
	busy := func() (time.Duration, error) { return usage.Busy(a.processors...) }
	return []gauge{programs, runs, busy}
}

// account adds to what the processes and the plain gauges have spent what must be measured packet by packet, in a further
// run of half the length: it makes every packet cost more.
func (c *contest) account(ctx context.Context, o contender, cfg load.Config, spent []float64) (Cost, error) {
	out := Cost{Processes: spent[0], Programs: spent[1], Runs: spent[2], Machine: spent[3]}
	if o.account.director == nil && o.account.nodes == nil {
		return out, nil
	}
	m, err := usage.NewMeter()
	if err != nil {
		return out, err
	}
	defer m.Close()
	none := func() (time.Duration, error) { return 0, nil }
	gauges := []gauge{none, none}
	if d := o.account.director; d != nil {
		gauges[0] = func() (time.Duration, error) {
			p, err := m.Read()
			return p.Of(d.network), err
		}
		used, err := processes(o.server)
		if err != nil {
			return out, err
		}
		gauges[1] = charged{d.network, used}.whole(m)
	}
	for _, n := range o.account.nodes {
		gauges = append(gauges, n.whole(m))
	}
	cfg.Duration = c.Round / 2
	r, spent, err := c.between(ctx, cfg, gauges)
	if err != nil {
		return out, err
	}
	if r.Failed > 0 {
		return out, fmt.Errorf("%s, while packets were measured: %d of %d requests failed: %v", o.name, r.Failed, r.Requests, r.Failures)
	}
	out.Packets, out.Whole = spent[0], spent[1]
	for _, us := range spent[2:] {
		out.Nodes += us
	}
	return out, nil
}
