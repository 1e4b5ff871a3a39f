package vip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// A Port is an interface that packets for VIPs come in by.
type Port struct {
	Name  string
	Index int
	MTU   int
	Up    bool           // it can carry frames
	Addrs []netip.Addr   // the node's own, of those that it has
	Nets  []netip.Prefix // all its addresses with the networks that they are in
}

// Ports are the interfaces that a Want names, and those that have its addresses. The error tells of what is missing; the
// rest is there.
func (w Want) Ports() ([]Port, error) { return w.ports(nil) }

// ports is Ports. before is what it found the last time: an address that is gone for a moment does not make its interface
// another's.
func (w Want) ports(before []Port) ([]Port, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	at := map[netip.Addr]int{}
	nets := map[int][]netip.Prefix{}
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
	var list []Port
	add := func(is func(*netlink.LinkAttrs) bool) *Port {
		for _, one := range links {
			l := one.Attrs()
			if !is(l) {
				continue
			}
			i := slices.IndexFunc(list, func(p Port) bool { return p.Index == l.Index })
			if i < 0 {
				i = len(list)
				list = append(list, Port{Name: l.Name, Index: l.Index, MTU: l.MTU, Up: carries(l), Nets: nets[l.Index]})
			}
			return &list[i]
		}
		return nil
	}
	var errs []error
	for _, name := range w.Interfaces {
		if add(func(l *netlink.LinkAttrs) bool { return l.Name == name }) == nil {
			errs = append(errs, fmt.Errorf("there is no interface %s: correct the node's interfaces in the file, or ip link add it", name))
		}
	}
	for _, a := range w.Addresses {
		index, there := at[a]
		if !there {
			index = was(before, a)
		}
		p := add(func(l *netlink.LinkAttrs) bool { return l.Index == index })
		if p == nil {
			errs = append(errs, fmt.Errorf("no interface has the node's address %s: ip addr add it, or correct the node's addresses in the file", a))
			continue
		}
		p.Addrs = append(p.Addrs, a)
	}
	return list, errors.Join(errs...)
}

// carries says whether the interface can carry frames. Whether it is meant to changes at once, what it operates as a
// little later.
func carries(l *netlink.LinkAttrs) bool {
	return l.Flags&net.FlagUp != 0 && (l.OperState == netlink.OperUp || l.OperState == netlink.OperUnknown)
}

// was is the number of the interface that had the address; 0 is none's.
func was(before []Port, a netip.Addr) int {
	for _, p := range before {
		if slices.Contains(p.Addrs, a) {
			return p.Index
		}
	}
	return 0
}

// has says whether the port has an address of the family that others can reach.
func (p Port) has(v6 bool) bool {
	return slices.ContainsFunc(p.Addrs, func(a netip.Addr) bool { return a.Is6() == v6 }) ||
		slices.ContainsFunc(p.Nets, func(n netip.Prefix) bool { return n.Addr().Is6() == v6 && !n.Addr().IsLinkLocalUnicast() })
}

// PortOf is the port that a VIP belongs to: the one in whose network it is, else the first one of its family, else the
// first.
func PortOf(list []Port, vip netip.Addr) (Port, bool) {
	for _, p := range list {
		for _, n := range p.Nets {
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
		return Port{}, false
	}
	return list[0], true
}
