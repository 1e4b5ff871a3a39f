package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"muster/cluster"
)

// named returns the entry of a name, or nil.
func named[T any](list []T, name string, of func(*T) string) *T {
	for i := range list {
		if of(&list[i]) == name {
			return &list[i]
		}
	}
	return nil
}

// Node returns the node of a name, or nil.
func (f *File) Node(name string) *Node {
	return named(f.Nodes, name, func(n *Node) string { return n.Name })
}

// Check returns the check of a name, or nil.
func (f *File) Check(name string) *Check {
	return named(f.Checks, name, func(c *Check) string { return c.Name })
}

// Pool returns the pool of a name, or nil.
func (f *File) Pool(name string) *Pool {
	return named(f.Pools, name, func(p *Pool) string { return p.Name })
}

// Service returns the service of a name, or nil.
func (f *File) Service(name string) *Service {
	return named(f.Services, name, func(s *Service) string { return s.Name })
}

// NodeFor returns the node that has one of the addresses, those of this machine. It is an error when no node has, or
// more than one.
func (f *File) NodeFor(addrs []netip.Addr) (*Node, error) {
	var here []*Node
	var names []string
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if slices.ContainsFunc(n.Addresses, func(a netip.Addr) bool {
			return slices.ContainsFunc(addrs, func(b netip.Addr) bool { return a.WithZone("") == b.Unmap().WithZone("") })
		}) {
			here = append(here, n)
			names = append(names, n.Name)
		}
	}
	switch len(here) {
	case 0:
		return nil, fmt.Errorf("no node of cluster %s has an address of this machine: add the machine to nodes, or name the node", f.Cluster)
	case 1:
		return here[0], nil
	}
	return nil, fmt.Errorf("several nodes of cluster %s have an address of this machine (%s): name the node", f.Cluster, strings.Join(names, ", "))
}

// Directors returns the nodes with the role director, in the order of the file.
func (f *File) Directors() []*Node { return f.having(cluster.Director) }

// TrafficNodes returns the nodes with the role traffic, in the order of the file.
func (f *File) TrafficNodes() []*Node { return f.having(cluster.Traffic) }

func (f *File) having(r cluster.Role) []*Node {
	var list []*Node
	for i := range f.Nodes {
		if f.Nodes[i].Has(r) {
			list = append(list, &f.Nodes[i])
		}
	}
	return list
}

// PoolsOf returns the pools that the node may have to serve, in the order of the file: its own, and those that may
// borrow it through their zone.
func (f *File) PoolsOf(node string) []*Pool {
	var list []*Pool
	for i := range f.Pools {
		if f.Serves(node, &f.Pools[i]) {
			list = append(list, &f.Pools[i])
		}
	}
	return list
}

// Serves says whether the node may have to serve the pool.
func (f *File) Serves(node string, p *Pool) bool {
	return p.Has(node) || slices.Contains(f.Lent(p), node)
}

// Lent returns the nodes that the pool may borrow through its zone and does not have itself, in the order of its
// lenders.
func (f *File) Lent(p *Pool) []string {
	if p.Zone == nil {
		return nil
	}
	var list []string
	for _, from := range p.Zone.BorrowFrom {
		lender := f.Pool(from)
		if lender == nil || lender == p {
			continue
		}
		for _, n := range lender.Nodes {
			if !p.Has(n) && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

// Application returns what the node runs for the pool: its own override, or the pool's. Nil means that something else
// runs the application, or that there is no such pool.
func (f *File) Application(node, pool string) *Application {
	if n := f.Node(node); n != nil {
		if o := named(n.Applications, pool, func(o *Override) string { return o.Name }); o != nil {
			return &o.Application
		}
	}
	if p := f.Pool(pool); p != nil {
		return p.Application
	}
	return nil
}

// Has says whether the node is one of the pool's own.
func (p *Pool) Has(node string) bool { return slices.Contains(p.Nodes, node) }

// Address is where the pool's application listens on a node.
func (p *Pool) Address(n *Node) netip.AddrPort { return netip.AddrPortFrom(n.Addresses[0], p.Port) }

// Has says whether the node has the role.
func (n *Node) Has(r cluster.Role) bool { return slices.Contains(n.Roles, r) }

// Plain is the node in the words of the cluster.
func (n *Node) Plain() cluster.Node {
	return cluster.Node{Name: n.Name, Roles: slices.Clone(n.Roles), Addrs: slices.Clone(n.Addresses), Weight: n.Weight}
}

// ReportAddrs is where the node listens for load reports, one address per LAN.
func (n *Node) ReportAddrs() []netip.AddrPort { return n.at(n.Ports.Report) }

// AdminAddrs is where the node's API and metrics are, one address per LAN.
func (n *Node) AdminAddrs() []netip.AddrPort { return n.at(n.Ports.Admin) }

func (n *Node) at(port uint16) []netip.AddrPort {
	list := make([]netip.AddrPort, len(n.Addresses))
	for i, a := range n.Addresses {
		list[i] = netip.AddrPortFrom(a, port)
	}
	return list
}

// Entrances are the service's addresses as people read them: 10.0.0.100:80, and 10.0.0.100:all for every port.
func (s *Service) Entrances() []string {
	var list []string
	for _, a := range s.Addresses() {
		text := a.String()
		if a.Port() == 0 {
			text = strings.TrimSuffix(text, "0") + allPorts
		}
		list = append(list, text)
	}
	return list
}

// AddressFor is the node's address to which a director sends packets for the service's VIP, and whether there is one: of the
// VIP's family, or with a tunnel of another that both have.
func (f *File) AddressFor(director, n *Node, s *Service) (netip.Addr, bool) {
	for _, v4 := range []bool{s.VIP.Is4(), !s.VIP.Is4()} {
		if s.Dispatch == cluster.Tunnel && !director.hasFamily(v4) || s.Dispatch != cluster.Tunnel && v4 != s.VIP.Is4() {
			continue
		}
		if i := slices.IndexFunc(n.Addresses, func(a netip.Addr) bool { return a.Is4() == v4 }); i >= 0 {
			return n.Addresses[i], true
		}
	}
	return netip.Addr{}, false
}

// Addresses is where the service's clients come in: each port of its VIP, 0 for all, or what it listens on.
func (s *Service) Addresses() []netip.AddrPort {
	if !s.VIP.IsValid() {
		return slices.Clone(s.Listen)
	}
	list := make([]netip.AddrPort, len(s.Ports))
	for i, p := range s.Ports {
		list[i] = netip.AddrPortFrom(s.VIP, uint16(p))
	}
	return list
}
