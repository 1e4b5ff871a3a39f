package testbed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// A Port is one end of a cable.
type Port struct {
	Space     *Space
	Name      string         // of the interface
	Addresses []netip.Prefix // with the length of the network's prefix, which is the route to the other end
}

// Cable joins two spaces by a veth pair, and brings it up.
func Cable(a, b Port) error {
	if a.Space == nil || b.Space == nil {
		return errors.New("lay a cable: it would have to be removed from this process's own network; name two spaces")
	}
	h, err := a.Space.handle()
	if err != nil {
		return fmt.Errorf("lay a cable: %w", err)
	}
	defer h.Close()
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: a.Name}, PeerName: b.Name, PeerNamespace: netlink.NsFd(b.Space.ns.Fd()),
	}
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("lay a cable, %s to %s: %w", a.Name, b.Name, err)
	}
	for _, p := range []Port{a, b} {
		if err := p.setUp(); err != nil {
			return fmt.Errorf("set up interface %s: %w", p.Name, err)
		}
	}
	return nil
}

func (p Port) setUp() error {
	h, err := p.Space.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(p.Name)
	if err != nil {
		return err
	}
	for _, a := range p.Addresses {
		ip := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	return up(h, p.Name)
}
