package packet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

// A hop is a next hop: an address on the LAN of an interface.
type hop struct {
	index int
	addr  netip.Addr
}

// keepWays keeps the next hop to every node resolved, so that the program, which cannot ask for a MAC address, always
// finds one.
func (f *Forwarder) keepWays(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		f.keepAll()
		select {
		case <-ctx.Done():
			if f.cfg.Pin == "" {
				f.leaveNeighbours()
			}
			return nil
		case <-f.look:
		case <-tick.C:
		}
	}
}

// keepAll looks at the way to every node.
func (f *Forwarder) keepAll() {
	f.mu.RLock()
	nodes := map[netip.Addr]*node{}
	for _, n := range f.nodes {
		if n != nil {
			nodes[n.at.Addr()] = n
		}
	}
	nat := slices.ContainsFunc(f.order, func(s *service) bool { return s.Dispatch == cluster.NAT })
	f.mu.RUnlock()
	own := ownAddresses()
	known, err := neighbours()
	if err != nil {
		f.log.Warn("neighbours cannot be listed", "error", err)
		return
	}
	hops, strays := map[hop]bool{}, map[netip.Addr]string{}
	mtus := map[netip.Addr]uint32{}
	for a := range nodes {
		if own[a] {
			continue
		}
		h, mtu, err := hopTo(a)
		if err != nil {
			strays[a] = err.Error()
			continue
		}
		mtus[a] = mtu
		hops[h] = true
	}
	if nat { // what comes back from nodes goes on to clients
		for _, h := range gateways() {
			hops[h] = true
		}
	}
	var fresh []hop
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return
	}
	for a, why := range strays {
		if f.strays[a] == "" {
			f.log.Error("node cannot be reached", "node", nodes[a].name, "address", a, "error", why)
		}
	}
	f.strays, f.own = strays, own
	for h := range hops {
		if _, kept := f.hops[h]; !kept {
			fresh = append(fresh, h)
		}
	}
	for h := range f.hops {
		if !hops[h] {
			f.leaveNeighbour(h)
		}
	}
	slices.SortFunc(fresh, func(a, b hop) int { return cmp.Or(cmp.Compare(a.index, b.index), a.addr.Compare(b.addr)) })
	for _, h := range fresh {
		f.keepNeighbour(h, known[h])
	}
	for h := range f.hops { // one that another has taken away
		if n := known[h]; hops[h] && !slices.Contains(fresh, h) && n.LinkIndex == 0 {
			f.keepNeighbour(h, n)
		}
	}
	for _, n := range f.nodes {
		if n != nil {
			f.refresh(n, mtus[n.at.Addr()])
		}
	}
}

// refresh tells the kernel what has changed of a node, apart from its table.
func (f *Forwarder) refresh(n *node, mtu uint32) {
	w := n.wire
	w.Mtu = mtu
	setFlag(&w, directorNodeFlagN_LOCAL, f.own[n.at.Addr()])
	if n.live != nil {
		w.Limit = limitOf(n.live)
	}
	if err := f.write(n, w); err != nil {
		f.log.Error("node cannot be changed", "error", err)
	}
}

// hopTo asks the kernel for the next hop to an address, and for the MTU on the way if that has one of its own.
func hopTo(a netip.Addr) (hop, uint32, error) {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil {
		return hop{}, 0, fmt.Errorf("no route to %s: connect this machine to its LAN, or add a route (%w)", a, err)
	}
	if len(routes) == 0 || routes[0].LinkIndex == 0 {
		return hop{}, 0, fmt.Errorf("no route to %s: connect this machine to its LAN, or add a route", a)
	}
	r := routes[0]
	h := hop{r.LinkIndex, a}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		h.addr = gw.Unmap()
	} else if via, ok := r.Via.(*netlink.Via); ok {
		if gw, ok := netip.AddrFromSlice(via.Addr); ok {
			h.addr = gw.Unmap()
		}
	}
	return h, uint32(max(r.MTU, 0)), nil
}

// gateways are the next hops of this machine's routes. Those to clients on its own LANs are resolved when they are missed.
func gateways() (list []hop) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil // a packet that misses one has it resolved
	}
	for _, r := range routes {
		ways := r.MultiPath
		if len(ways) == 0 {
			ways = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
		}
		for _, w := range ways {
			if gw, ok := netip.AddrFromSlice(w.Gw); ok && w.LinkIndex != 0 {
				list = append(list, hop{w.LinkIndex, gw.Unmap()})
			}
		}
	}
	return list
}

// neighbours are all that the kernel knows of.
func neighbours() (map[hop]netlink.Neigh, error) {
	all := map[hop]netlink.Neigh{}
	list, err := netlink.NeighList(0, 0)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	for _, n := range list {
		if a, ok := netip.AddrFromSlice(n.IP); ok {
			all[hop{n.LinkIndex, a.Unmap()}] = n
		}
	}
	return all, nil
}

// keepNeighbour has the kernel resolve a neighbour, and do so again whenever that is due. One that the operator has
// written down needs nothing.
func (f *Forwarder) keepNeighbour(h hop, known netlink.Neigh) {
	const written = netlink.NUD_PERMANENT | netlink.NUD_NOARP
	f.hops[h] = ""
	if known.State&written != 0 {
		return
	}
	n := netlink.Neigh{LinkIndex: h.index, IP: h.addr.AsSlice(), Family: familyOf(h.addr), FlagsExt: netlink.NTF_EXT_MANAGED}
	err := netlink.NeighSet(&n)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) { // Linux before 5.16: asked for once, and again each time that it is missing
		n.FlagsExt, n.Flags = 0, netlink.NTF_USE
		err = netlink.NeighSet(&n)
	}
	if err != nil {
		f.hops[h] = fmt.Sprintf("next hop %s cannot be resolved: %v", h.addr, err)
		f.log.Error("next hop cannot be resolved", "address", h.addr, "error", err)
		return
	}
	if f.cfg.Pin != "" && n.FlagsExt != 0 {
		place := uint32(0)
		for k := range f.kept {
			place = max(place, k+1)
		}
		if f.note(bookKey{bookNeighbour, place}, entry(uint64(h.index), netip.AddrPortFrom(h.addr, 0), "")) == nil {
			f.kept[place] = h
		}
	}
}

// resolve has a neighbour resolved that a packet has missed.
func (f *Forwarder) resolve(to netip.Addr) {
	h, _, err := hopTo(to)
	if err != nil {
		return // keepAll says so
	}
	// One that is managed is being asked for already; for the others, such as the way to clients, this is what asks.
	_ = netlink.NeighSet(&netlink.Neigh{LinkIndex: h.index, IP: h.addr.AsSlice(), Family: familyOf(h.addr), Flags: netlink.NTF_USE})
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// leaveNeighbour lets the kernel forget a neighbour in its own time.
func (f *Forwarder) leaveNeighbour(h hop) {
	delete(f.hops, h)
	forgetNeighbour(h)
	for place, other := range f.kept {
		if other == h {
			delete(f.kept, place)
			_ = f.kernel.book.Delete(bookKey{bookNeighbour, place}) // too much is forgotten at Detach
		}
	}
}

func forgetNeighbour(h hop) {
	// There may be none any more, and nothing depends on it.
	_ = netlink.NeighDel(&netlink.Neigh{LinkIndex: h.index, IP: h.addr.AsSlice(), Family: familyOf(h.addr)})
}

func (f *Forwarder) leaveNeighbours() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for h := range maps.Clone(f.hops) {
		f.leaveNeighbour(h)
	}
}
