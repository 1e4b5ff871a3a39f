package vip

import (
	"net/netip"
	"slices"
	"testing"

	"muster/internal/netset"
)

// TestTheWayBackLeavesByAGatewayOfThePort has the kernel accept it: a VIP of one LAN is no gateway in another.
func TestTheWayBackLeavesByAGatewayOfThePort(t *testing.T) {
	a, b := netip.MustParsePrefix("10.7.1.21/24"), netip.MustParsePrefix("10.7.2.21/24")
	vip, dirA, dirB := netip.MustParseAddr("10.7.1.100"), netip.MustParseAddr("10.7.1.11"), netip.MustParseAddr("10.7.2.11")
	ports := []Port{
		{Name: "eth0", Addrs: []netip.Addr{a.Addr()}, Nets: []netip.Prefix{a}},
		{Name: "eth1", Addrs: []netip.Addr{b.Addr()}, Nets: []netip.Prefix{b}},
	}
	w := Want{Addresses: []netip.Addr{a.Addr(), b.Addr()}, Directors: []netip.Addr{dirA, dirB}}
	far := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		at        netip.Prefix
		via, want netip.Addr
	}{{a, vip, vip}, {b, vip, dirB}, {a, far, dirA}} {
		w.Return = []Return{{Addr: netip.AddrPortFrom(c.at.Addr(), 80), Via: c.via}}
		list := w.returns(ports, &tables{taken: func(int) bool { return false }})
		i := slices.IndexFunc(list, func(s netset.Setting) bool { _, is := s.(netset.Route); return is })
		if i < 0 {
			t.Fatalf("from %s by %s: no route among %v", c.at, c.via, list)
		}
		if got := list[i].(netset.Route).Via; got != c.want {
			t.Errorf("from %s by %s: the way back leads through %s, want %s", c.at, c.via, got, c.want)
		}
	}
}
