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
	tallies       map[string]*tally         // of a service that is dispatched in the kernel, by node
}

func followersOf(f *config.File, self *config.Node) ([]*follower, error) {
	var list []*follower
	for _, s := range f.Services {
		p, err := schedule.New(string(s.Schedule), schedule.Config{Floor: float64(s.Floor)})
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		list = append(list, &follower{service: s.Name, pool: s.Pool, policy: p, at: packetAddrs(f, self, &s), tallies: map[string]*tally{}})
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

// place gives the members the addresses that packets are sent to, and what this service alone has there.
func (f *follower) place(members []cluster.Member) []cluster.Member {
	list := slices.Clone(members)
	named := map[string]bool{}
	for i := range list {
		m := &list[i]
		if a, ok := f.at[m.Node]; ok {
			m.Addr = a
		}
		named[m.Node] = true
		t := f.tallies[m.Node]
		if t == nil {
			t = &tally{live: new(cluster.Live)}
			f.tallies[m.Node] = t
		}
		if t.all != m.Live {
			t.release()
			t.all = m.Live
		}
		t.count()
		m.Live = t.live
	}
	for name, t := range f.tallies {
		if !named[name] {
			t.release()
			delete(f.tallies, name)
		}
	}
	return list
}

// release takes what the service has out of what its nodes have in all.
func (f *follower) release() {
	for _, t := range f.tallies {
		t.release()
	}
	clear(f.tallies)
}

// A tally is what one service that is dispatched in the kernel has at a node. A pool may have several, and proxied ones,
// which all count together in the pool's Live.
type tally struct {
	live *cluster.Live // the kernel's
	all  *cluster.Live // the pool's; nil before the first
	told int64         // how much of it is ours
}

// count takes what has changed over into the pool's count, and leaves the kernel what others leave of the node's limit.
func (t *tally) count() {
	now := t.live.Active.Load()
	all := t.all.Active.Add(now - t.told)
	t.told = now
	limit := t.all.Limit.Load()
	if limit > 0 {
		limit = max(limit-max(all-now, 0), 1)
	}
	if t.live.Limit.Load() != limit {
		t.live.Limit.Store(limit)
	}
}

func (t *tally) release() {
	if t.all != nil {
		t.all.Active.Add(-t.told)
	}
	t.all, t.told = nil, 0
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
