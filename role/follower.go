package role

import (
	"fmt"
	"net/netip"
	"slices"

	"muster/cluster"
	"muster/config"
	"muster/control/schedule"
)

// A follower turns the members of a service's pool into the tables that its requests follow, and only into such as say
// something new: each report moves every index a little, and the data path is not to get another table for that.
type follower struct {
	service, pool string
	policy        schedule.Policy
	at            map[string]netip.AddrPort // of a service that is dispatched in the kernel: where packets are sent, by node
	seen          []cluster.Member          // those of the newest table made
	table         *cluster.Table            // the newest one returned
	placed        bool                      // it has the addresses of at
}

func followersOf(f *config.File, self *config.Node) ([]*follower, error) {
	var list []*follower
	for _, s := range f.Services {
		p, err := schedule.New(string(s.Schedule), schedule.Config{Floor: float64(s.Floor)})
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		list = append(list, &follower{service: s.Name, pool: s.Pool, policy: p, at: packetAddrs(f, self, &s)})
	}
	return list, nil
}

// packetAddrs are where packets of the service are sent, by node; nil if it is proxied.
func packetAddrs(f *config.File, self *config.Node, s *config.Service) map[string]netip.AddrPort {
	if !s.Dispatch.Kernel() {
		return nil
	}
	list := map[string]netip.AddrPort{}
	p := f.Pool(s.Pool)
	for _, name := range slices.Concat(p.Nodes, f.Lent(p)) {
		if a, ok := f.AddressFor(self, f.Node(name), s); ok {
			list[name] = packetsTo(s, p, a)
		}
	}
	return list
}

// packetsTo is where packets of a service are sent on a node with that address. With a port of 0 they keep theirs.
func packetsTo(s *config.Service, p *config.Pool, a netip.Addr) netip.AddrPort {
	if s.Dispatch == cluster.NAT && !slices.Contains(s.Ports, config.AllPorts) {
		return netip.AddrPortFrom(a, p.Port)
	}
	return netip.AddrPortFrom(a, 0)
}

// place gives the members the addresses that packets are sent to.
func (f *follower) place(members []cluster.Member) []cluster.Member {
	list := slices.Clone(members)
	for i := range list {
		if a, ok := f.at[list[i].Node]; ok {
			list[i].Addr = a
		}
	}
	return list
}

// again has next return a table though nothing is new.
func (f *follower) again() { f.table, f.seen = nil, nil }

// next returns the table that is to be followed from now on, nil if that is the one it returned before.
func (f *follower) next(members []cluster.Member) *cluster.Table {
	if f.table != nil && slices.Equal(f.seen, members) {
		return nil
	}
	f.seen = members
	t := f.policy.Table(f.pool, members)
	if !schedule.Worth(f.table, t) {
		return nil
	}
	f.table = t
	return t
}
