package vip

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// A port is an interface with an address of the node's.
type port struct {
	name  string
	index int
	mtu   int
	up    bool           // it can carry frames
	addrs []netip.Addr   // the node's own that are wanted, of those it has
	nets  []netip.Prefix // of all its addresses
}

// ports finds the interfaces that have the addresses. before is what it found the last time: an address that is gone for
// a moment does not make its interface another's.
func ports(addrs []netip.Addr, before []port) (list []port, missing error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	at := map[netip.Addr]int{}
	nets := map[int][]netip.Prefix{}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	for _, a := range all {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		bits, _ := a.Mask.Size()
		if _, twice := at[ip]; !twice {
			at[ip] = a.LinkIndex
		}
		nets[a.LinkIndex] = append(nets[a.LinkIndex], netip.PrefixFrom(ip, bits))
	}
	for _, a := range addrs {
		index, there := at[a]
		if !there {
			index = was(before, a)
		}
		i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().Index == index })
		if i < 0 {
			missing = fmt.Errorf("no interface has the node's address %s: ip addr add it, or correct the node's addresses in the file", a)
			continue
		}
		l := links[i].Attrs()
		at := slices.IndexFunc(list, func(p port) bool { return p.index == index })
		if at < 0 {
			// Whether it is meant to be up changes at once, what it operates as a little later.
			up := l.Flags&net.FlagUp != 0 && (l.OperState == netlink.OperUp || l.OperState == netlink.OperUnknown)
			list = append(list, port{name: l.Name, index: index, mtu: l.MTU, up: up, nets: nets[index]})
			at = len(list) - 1
		}
		list[at].addrs = append(list[at].addrs, a)
	}
	return list, missing
}

// was is the number of the interface that had the address; 0 is none's.
func was(before []port, a netip.Addr) int {
	for _, p := range before {
		if slices.Contains(p.addrs, a) {
			return p.index
		}
	}
	return 0
}

// has says whether the port has an address of the family.
func (p port) has(v6 bool) bool {
	return slices.ContainsFunc(p.addrs, func(a netip.Addr) bool { return a.Is6() == v6 })
}

// of is the port that a VIP belongs to: the one in whose network it is, else the first one of its family, else the first.
func of(list []port, vip netip.Addr) (port, bool) {
	for _, p := range list {
		for _, n := range p.nets {
			if n.Bits() < n.Addr().BitLen() && n.Contains(vip) {
				return p, true
			}
		}
	}
	for _, p := range list {
		if p.has(vip.Is6()) {
			return p, true
		}
	}
	if len(list) == 0 {
		return port{}, false
	}
	return list[0], true
}
