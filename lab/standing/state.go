package standing

import (
	"context"
	"fmt"
	"time"

	"muster/config"
	"muster/console"
	"muster/lab/testbed"
)

// A State is what can be said of a standing lab.
type State struct {
	Name     string    `json:"name"`
	Since    time.Time `json:"since"`
	Owner    int       `json:"owner"` // the process that keeps it
	Dir      string    `json:"dir"`   // what it is made of, with the logs of the nodes
	File     string    `json:"file"`  // the cluster's
	Site     string    `json:"site"`  // the documents
	Services []Service `json:"services"`
	Machines []Machine `json:"machines"`
	Faults   []string  `json:"faults"`            // what is wrong with the network on purpose
	Problem  string    `json:"problem,omitempty"` // why no director can be asked
}

// A Service is one of the cluster.
type Service struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Dispatch  string   `json:"dispatch"`
	Schedule  string   `json:"schedule"`
	Addresses []string `json:"addresses"`
}

// A Machine is one of the lab.
type Machine struct {
	Name      string            `json:"name"`
	Role      testbed.Role      `json:"role"`
	Ports     []Port            `json:"ports"`
	On        bool              `json:"on"`
	Frozen    bool              `json:"frozen"`
	Node      *Node             `json:"node,omitempty"` // nil: none is to run there
	Processes []testbed.Process `json:"processes"`
	Cores     float64           `json:"cores"`       // of the processors' time that it may use; 0 is all
	CPU       float64           `json:"cpu_seconds"` // that it has used
	Log       string            `json:"log,omitempty"`
	Door      testbed.Door      `json:"door"`
}

// Machine finds a machine by its name.
func (s *State) Machine(name string) (*Machine, error) {
	var names []string
	for i := range s.Machines {
		if s.Machines[i].Name == name {
			return &s.Machines[i], nil
		}
		names = append(names, s.Machines[i].Name)
	}
	return nil, unknown(name, names)
}

// A Port is a network port of a machine.
type Port struct {
	Name string      `json:"name"`
	Net  testbed.Net `json:"net"`
	IPv4 string      `json:"ipv4"`
	IPv6 string      `json:"ipv6"`
	MAC  string      `json:"mac"`
}

// A Node is the muster node of a machine.
type Node struct {
	PID    int    `json:"pid"`    // as this machine numbers it; 0: it does not run
	State  string `json:"state"`  // what a director makes of it; empty if none can be asked
	Reason string `json:"reason"` // of that
}

// statusPatience is how long directors may take to say how the cluster is.
const statusPatience = time.Second

func (k *keep) state(ctx context.Context) (*State, error) {
	l := k.lab
	f := l.File()
	s := &State{
		Name: k.name, Since: k.since, Owner: k.pid, Dir: l.Paths.Dir, File: l.Path(), Site: l.Paths.Site,
		Services: services(f), Machines: []Machine{}, Faults: append([]string{}, l.Broken()...),
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	cluster, err := l.Status(ctx)
	if err != nil {
		s.Problem = err.Error()
	}
	running, err := l.Processes()
	if err != nil {
		return nil, fmt.Errorf("list what runs in lab %s: %w", k.name, err)
	}
	for _, m := range l.Machines() {
		used, err := m.Usage()
		if err != nil {
			return nil, err
		}
		out := Machine{
			Name: m.Name, Role: m.Role, On: m.PID() != 0, Frozen: m.Frozen(), Cores: m.Limit(), CPU: used.Seconds(),
			Processes: append([]testbed.Process{}, running[m.Name]...), Ports: []Port{}, Door: m.Door(),
		}
		for _, j := range m.Jacks {
			out.Ports = append(out.Ports, Port{j.Name, j.Net, j.IPv4.String(), j.IPv6.String(), j.MAC.String()})
		}
		if f.Node(m.Name) != nil {
			out.Node, out.Log = node(m, cluster), l.Log(m.Name)
		}
		s.Machines = append(s.Machines, out)
	}
	return s, nil
}

func node(m *testbed.Machine, cluster console.Status) *Node {
	n := &Node{}
	if runs(m) {
		n.PID = m.Node().PID()
	}
	if cluster.Director != nil {
		for _, c := range cluster.Director.Nodes {
			if c.Name == m.Name {
				n.State, n.Reason = c.State.String(), c.Reason
			}
		}
	}
	return n
}

func services(f *config.File) []Service {
	list := []Service{}
	for i := range f.Services {
		s := &f.Services[i]
		out := Service{Name: s.Name, Kind: string(s.Kind), Dispatch: string(s.Dispatch), Schedule: string(s.Schedule)}
		for _, a := range s.Listen {
			out.Addresses = append(out.Addresses, a.String())
		}
		for _, p := range s.Ports {
			host := s.VIP.String()
			if s.VIP.Is6() {
				host = "[" + host + "]"
			}
			out.Addresses = append(out.Addresses, host+":"+p.String())
		}
		list = append(list, out)
	}
	return list
}
