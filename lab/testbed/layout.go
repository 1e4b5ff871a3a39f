package testbed

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Net is one of the lab's networks.
type Net string

// The networks. Clients are in one of their own, behind the router; the cluster's machines are in both LANs.
const (
	LANA       Net = "a"       // 10.7.1.0/24, fd07:1::/64; the VIPs are here
	LANB       Net = "b"       // 10.7.2.0/24, fd07:2::/64
	ClientsNet Net = "clients" // 10.7.9.0/24, fd07:9::/64
)

// Nets are all networks.
var Nets = []Net{LANA, LANB, ClientsNet}

func (n Net) number() int {
	switch n {
	case LANA:
		return 1
	case LANB:
		return 2
	}
	return 9
}

// Addr4 is the network's address with that last number, 1..254.
func (n Net) Addr4(last int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 7, byte(n.number()), byte(last)})
}

// Addr6 is the network's IPv6 address that is written with the same last number: 10.7.1.21 is fd07:1::21.
func (n Net) Addr6(last int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd07:%d::%d", n.number(), last))
}

// Role is what a machine is in the lab.
type Role string

// The roles. Directors and traffic nodes run muster; so do storage nodes and monitors once there are such nodes: until then
// they are machines of the network with nothing on them.
const (
	Client   Role = "client"
	Router   Role = "router"
	Switch   Role = "switch" // both LANs and the clients' network; its ports are named after the machines
	Director Role = "director"
	Traffic  Role = "traffic"
	Storage  Role = "storage"
	Monitor  Role = "monitor"
)

// A kind is how machines of a role are named and numbered, and how many there can be.
type kind struct {
	role  Role
	name  string // before the number
	first int    // last number of the first one's addresses
	most  int
}

var kinds = []kind{
	{Client, "client", 11, 200},
	{Director, "d", 11, 8},
	{Traffic, "t", 21, 64},
	{Storage, "s", 121, 16},
	{Monitor, "m", 141, 8},
}

const (
	routerLast = 1   // of the router's addresses, in every network
	vipFirst   = 100 // of the first VIP, in LAN A
	vipMost    = 20
)

// VIP is the i-th VIP of the lab, from 0: 10.7.1.100 and on.
func VIP(i int) netip.Addr { return LANA.Addr4(vipFirst + i%vipMost) }

// VIP6 is the i-th IPv6 VIP of the lab, from 0: fd07:1::100 and on.
func VIP6(i int) netip.Addr { return LANA.Addr6(vipFirst + i%vipMost) }

// A Site is a machine as it is planned: what is known of it before there is one.
type Site struct {
	Name  string
	Role  Role
	Jacks []Jack  // its network ports, in the order of eth0, eth1...
	Cores float64 // of the processors' time that it may use; 0 means all
}

// A Jack is a machine's network port.
type Jack struct {
	Net  Net
	Name string // of the interface, on the machine
	IPv4 netip.Addr
	IPv6 netip.Addr
	MAC  net.HardwareAddr

	far string // its other end's name, on the switch
}

// Link is the cable of the port.
func (s *Site) Link(n Net) Link { return Link{s.Name, n} }

// Jack is the machine's port in the network, nil if it has none there.
func (s *Site) Jack(n Net) *Jack {
	for i := range s.Jacks {
		if s.Jacks[i].Net == n {
			return &s.Jacks[i]
		}
	}
	return nil
}

// Addr is the machine's first address.
func (s *Site) Addr() netip.Addr {
	if len(s.Jacks) == 0 {
		return netip.Addr{}
	}
	return s.Jacks[0].IPv4
}

// Runs says whether a node of the cluster runs there.
func (s *Site) Runs() bool { return s.Role == Director || s.Role == Traffic }

// A Link is the cable between a machine and a network.
type Link struct {
	Machine string
	Net     Net
}

func (l Link) String() string { return l.Machine + "/" + string(l.Net) }

// A Layout is every machine of a plan.
type Layout struct {
	Sites []Site // switch, router, clients, directors, traffic, storage, monitors
}

// Layout says what machines the plan has, and where they are. It needs no rights.
func (p Plan) Layout() (*Layout, error) {
	p = p.filled()
	l := &Layout{Sites: []Site{{Name: "switch", Role: Switch}, {Name: "router", Role: Router}}}
	for _, n := range Nets {
		l.Sites[1].plug(n, string(n), routerLast)
	}
	for i, k := range kinds {
		count := [...]int{p.Clients, p.Directors, p.Traffic, p.Storage, p.Monitors}[i]
		if count < 0 || count > k.most {
			return nil, fmt.Errorf("plan %d machines that are %s: a lab has 0 to %d", count, k.role, k.most)
		}
		for j := range count {
			s := Site{Name: fmt.Sprint(k.name, j+1), Role: k.role}
			nets := []Net{LANA, LANB}
			if k.role == Client {
				nets = []Net{ClientsNet}
			}
			for e, n := range nets {
				s.plug(n, fmt.Sprint("eth", e), k.first+j)
			}
			l.Sites = append(l.Sites, s)
		}
	}
	for name, cores := range p.Cores {
		s := l.Site(name)
		if s == nil {
			return nil, fmt.Errorf("plan the processor time of %s: there is no such machine; there are %s", name, strings.Join(l.Names(), " "))
		}
		if cores < 0 {
			return nil, fmt.Errorf("plan %v cores for %s: give 0, which is all, or more", cores, name)
		}
		s.Cores = cores
	}
	return l, nil
}

func (s *Site) plug(n Net, name string, last int) {
	s.Jacks = append(s.Jacks, Jack{
		Net: n, Name: name, IPv4: n.Addr4(last), IPv6: n.Addr6(last), far: s.Name + "-" + string(n[0]),
		MAC: net.HardwareAddr{2, 7, byte(n.number()), 0, 0, byte(last)}, // locally administered
	})
}

// Site is the machine of that name, nil if there is none.
func (l *Layout) Site(name string) *Site {
	if i := slices.IndexFunc(l.Sites, func(s Site) bool { return s.Name == name }); i >= 0 {
		return &l.Sites[i]
	}
	return nil
}

// Names are those of all machines.
func (l *Layout) Names() []string {
	var names []string
	for _, s := range l.Sites {
		names = append(names, s.Name)
	}
	return names
}

// With are the machines of a role.
func (l *Layout) With(r Role) []Site {
	var list []Site
	for _, s := range l.Sites {
		if s.Role == r {
			list = append(list, s)
		}
	}
	return list
}

// Link finds the link that is written so: t1/a, or t1 for all that a machine has.
func (l *Layout) Link(text string) ([]Link, error) {
	name, network, one := strings.Cut(text, "/")
	s := l.Site(name)
	if s == nil {
		return nil, fmt.Errorf("find the link %s: there is no machine %s; there are %s", text, name, strings.Join(l.Names(), " "))
	}
	var links []Link
	for _, j := range s.Jacks {
		if !one || string(j.Net) == network {
			links = append(links, s.Link(j.Net))
		}
	}
	if len(links) == 0 {
		return nil, fmt.Errorf("find the link %s: machine %s is not in that network", text, name)
	}
	return links, nil
}
