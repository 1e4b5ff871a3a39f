package netset

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Address is one on an interface.
//
// An IPv6 one is valid at once, without duplicate detection: whoever sets it has asked the LAN, or does not answer for it.
// And it is deprecated, so that the machine does not choose it for what it has to say itself (RFC 6724 5, rule 3); an IPv4
// one stands behind the others of its interface and is not chosen for that.
type Address struct {
	Link  string     `json:"link"`
	Addr  netip.Addr `json:"addr"`            // with the whole length as its prefix
	Local bool       `json:"local,omitempty"` // IPv4: of no use outside this machine (scope host), so never a source of what it has to say
}

func (a Address) String() string { return "ip addr add " + a.words() }

// Undo is the command that takes it back.
func (a Address) Undo() string {
	return fmt.Sprintf("ip addr del %s/%d dev %s", a.Addr, a.Addr.BitLen(), a.Link)
}

func (a Address) words() string {
	s := fmt.Sprintf("%s/%d dev %s", a.Addr, a.Addr.BitLen(), a.Link)
	switch {
	case a.Addr.Is6():
		s += " nodad preferred_lft 0"
	case a.Local:
		s += " scope host"
	}
	return s
}

func (a Address) key() string  { return "address " + a.Addr.String() + " " + a.Link }
func (a Address) link() string { return a.Link }

func (a Address) valid() error {
	if !a.Addr.IsValid() || a.Link == "" {
		return errors.New("an address without interface or value")
	}
	return nil
}

func (a Address) look() (was string, fine bool, err error) {
	l, err := netlink.LinkByName(a.Link)
	if err != nil {
		return "", false, err
	}
	list, err := netlink.AddrList(l, familyOf(a.Addr))
	if err != nil {
		return "", false, fmt.Errorf("list the addresses of %s: %w", a.Link, err)
	}
	for _, one := range list {
		if ip, ok := netip.AddrFromSlice(one.IP); ok && ip.Unmap() == a.Addr {
			return "", true, nil
		}
	}
	return "", false, nil
}

func (a Address) netlink() *netlink.Addr {
	n := &netlink.Addr{IPNet: host(a.Addr)}
	switch {
	case a.Addr.Is6():
		n.Flags = unix.IFA_F_NODAD
		n.ValidLft = math.MaxUint32 // for ever, and preferred never
	case a.Local:
		n.Scope = unix.RT_SCOPE_HOST
	}
	return n
}

func (a Address) do() error {
	l, err := netlink.LinkByName(a.Link)
	if err != nil {
		return err
	}
	err = netlink.AddrAdd(l, a.netlink())
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if a.Addr.Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) && ipv6Off(a.Link) {
		return fmt.Errorf("IPv6 is off on %s: sysctl -w net/ipv6/conf/%s/disable_ipv6=0", a.Link, a.Link)
	}
	return err
}

func ipv6Off(link string) bool {
	v, err := Sysctl{Name: "net/ipv6/conf/" + link + "/disable_ipv6"}.read()
	return err == nil && v == "1"
}

func (a Address) undo(string) error {
	l, err := netlink.LinkByName(a.Link)
	if err != nil {
		return err
	}
	err = netlink.AddrDel(l, &netlink.Addr{IPNet: host(a.Addr)})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil // it is gone already
	}
	return err
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
