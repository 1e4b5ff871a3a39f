package role

import (
	"time"

	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/datapath/request"
	"muster/ha/member"
	"muster/ha/supervise"
)

// Status is what the node knows of itself and of its cluster.
func (n *Node) Status() console.Status {
	n.mu.Lock()
	f, seen, detached := n.file, n.seen, n.detached
	n.mu.Unlock()
	self := f.Node(n.opts.Name)
	s := console.Status{
		Cluster: f.Cluster, Node: self.Name, Roles: self.Roles, Version: n.opts.Version, Since: n.began, File: seen,
	}
	if n.director != nil {
		s.Director = n.director.status(f)
	}
	if n.traffic != nil {
		s.Traffic = n.trafficStatus(f)
	}
	if v, ok := n.network.status(); ok {
		s.Network = networkStatus(v)
	}
	if detached.State != "" {
		s.Detached = &detached
	}
	return s
}

func (d *director) status(f *config.File) *console.Director {
	s := &console.Director{Nodes: []console.Node{}, Services: []console.Service{}, Datagrams: d.receiver.Status().Datagrams, LostLines: d.proxy.LostLines()}
	figures := map[string]request.Status{}
	for _, v := range d.proxy.Status() {
		figures[v.Service] = v
	}
	picture := d.picture.Snapshot()
	kernel, inKernel := d.packets.status()
	s.Packets = kernel
	for i := range f.Services {
		v := &f.Services[i]
		one := serviceStatus(v, figures[v.Name])
		if p, ok := inKernel[v.Name]; ok {
			one = packetStatus(v, p, picture)
		}
		if one.Problem = d.packets.problem(v); v.Dispatch.Kernel() && one.Packets == nil && one.Problem == "" {
			one.Members = d.membersOf(v.Name) // another director dispatches it
		}
		s.Services = append(s.Services, one)
	}
	for i := range f.Nodes {
		if state, ok := picture.Node(f.Nodes[i].Name); ok {
			s.Nodes = append(s.Nodes, nodeStatus(f, &f.Nodes[i], state))
		}
	}
	return s
}

func nodeStatus(f *config.File, n *config.Node, state member.NodeState) console.Node {
	s := console.Node{
		Name: n.Name, Roles: n.Roles, Addresses: texts(n.Addresses),
		State: state.State, Reason: state.Reason, Since: state.Since, Wish: state.Wish, WishReason: state.Why,
		Index: state.Load.Index, Room: state.Load.Room, Busy: state.Load.Busy,
	}
	for _, p := range f.Pools {
		if place, ok := state.Pools[p.Name]; ok {
			s.Connections += place.Active
			if place.Home == p.Name || place.State == cluster.Active {
				s.Pools = append(s.Pools, p.Name)
			}
		}
	}
	return s
}

func serviceStatus(s *config.Service, v request.Status) console.Service {
	to := console.Service{
		Name: s.Name, Kind: s.Kind, Dispatch: s.Dispatch, Schedule: string(s.Schedule), Pool: s.Pool, Addresses: s.Entrances(),
		Clients: v.Clients, Waiting: v.Waiting, Connections: v.Connections, Requests: v.Requests,
		BytesIn: v.BytesIn, BytesOut: v.BytesOut, Retries: v.Retries, Refused: v.BudgetSpent, Resumes: v.Resumes, Ended: v.Ended,
		Duration: &console.Histogram{Bounds: request.Buckets[:], Counts: v.Duration, Sum: v.DurationSum},
		Codes:    map[string]uint64{}, Members: []console.Member{},
	}
	if v.Duration == nil {
		to.Duration = nil // it has not begun
	}
	for i, class := range []string{"", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		if class != "" && v.Codes[i] > 0 {
			to.Codes[class] = v.Codes[i]
		}
	}
	for _, n := range v.Nodes {
		m := console.Member{
			Node: n.Node, Address: n.Address, Weight: n.Weight,
			Active: n.Active, Served: n.Served, Failed: n.Failed, TimeMS: ms(n.Time),
		}
		_ = m.State.UnmarshalText([]byte(n.State)) // it is a state's own name
		to.Members = append(to.Members, m)
	}
	return to
}

func (n *Node) trafficStatus(f *config.File) *console.Traffic {
	r, report := n.meter.Last(), n.reporter.Status()
	s := &console.Traffic{
		Index: r.Index, Room: r.Room, Busy: r.Busy, Muted: report.Muted,
		Terms: []console.Term{
			{Name: "processors", Value: r.BogoMIPS, Unit: "BogoMIPS"},
			{Name: "ram available", Value: float64(r.Available), Unit: "bytes"},
			{Name: "ram least in cluster", Value: float64(r.Least), Unit: "bytes"},
			{Name: "cpu use", Value: r.Use},
			{Name: "run queue", Value: r.Queue, Unit: "tasks per processor"},
			{Name: "cpu pressure", Value: r.CPUPressure},
			{Name: "memory pressure", Value: r.MemoryPressure},
			{Name: "bandwidth free", Value: r.Free, Unit: "bits per second"},
		},
		Applications: n.traffic.status(), Directors: []console.Hearing{}, Datagrams: report.Datagrams,
	}
	for _, d := range report.Directors {
		for lan, silent := range d.Silent {
			s.Directors = append(s.Directors, console.Hearing{
				Director: d.Director, LAN: lan, Heard: silent < f.Timings.Timeout, SilentMS: silent.Milliseconds(),
			})
		}
	}
	return s
}

func (t *traffic) status() []console.Application {
	t.mu.Lock()
	var running []*application
	for _, pool := range t.order {
		if a := t.applications[pool]; a != nil {
			running = append(running, a)
		}
	}
	direct, blocked := t.direct, t.blocked
	t.mu.Unlock()
	list := []console.Application{}
	for _, a := range running {
		s := a.status()
		if s.Check.Up && direct[s.Pool] && blocked != "" {
			s.Check.Up, s.Check.Reason = false, blocked // as the directors are told
		}
		list = append(list, s)
	}
	return list
}

func (a *application) status() console.Application {
	a.mu.Lock()
	s := console.Application{
		Pool: a.plan.Pool, Address: a.plan.Target.String(),
		Check: console.Check{Up: a.up, Reason: a.reason, Since: a.since},
	}
	check := a.check
	a.mu.Unlock()
	if check != nil {
		s.Check.TookMS = ms(check.Status().Took)
	}
	if a.keeper != nil {
		s.Process = processStatus(a.keeper.Status())
	}
	return s
}

func processStatus(p supervise.Status) *console.Process {
	return &console.Process{
		State: string(p.State), Since: p.Since, PID: p.PID, Restarts: p.Restarts, Exit: p.Exit, Lines: p.Lines,
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
