package vip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/internal/netset"
)

func answersFor(vips ...netip.Addr) Want {
	return Want{Addresses: directorAddrs, Forward: true, Answer: vips}
}

// A director that takes VIPs is known at once to who knew another under them, and gives everything back.
func TestADirectorAnswers(t *testing.T) {
	l := lan(t, routerOn, directorOn)
	router, director := l[0], l[1]
	router.in(func() { // it has known another machine
		router.ip("neigh add 10.7.1.100 lladdr 02:00:00:00:00:99 dev eth0 nud reachable")
		router.ip("neigh add fd07:1::100 lladdr 02:00:00:00:00:99 dev eth0 nud reachable")
	})
	w := answersFor(vip4, vip6)
	var before string
	var h *Host
	director.in(func() {
		director.set("ipv4/conf/eth0/forwarding", "0")
		before = director.picture()
		h = director.host(Config{Probe: 30 * time.Millisecond, Announce: []time.Duration{0, time.Millisecond}})
		must(t, h.Apply(w))
		fine(t, w.settings(h.ports, &tables{taken: tableTaken}))
		if got := director.sysctl("ipv6/conf/eth0/accept_ra"); got != "2" {
			t.Errorf("accept_ra is %s, want 2, or routers are forgotten", got)
		}
		for _, all := range []string{"ipv4/conf/lo/forwarding", "ipv6/conf/all/forwarding"} {
			if got := director.sysctl(all); got != "0" {
				t.Errorf("%s is %s, want 0: it is not ours to set", all, got)
			}
		}
	})
	stop := director.run(h)
	router.until("the new place of both VIPs", func() bool {
		return strings.Count(router.ip("neigh show dev eth0"), director.text()) >= 2 &&
			!strings.Contains(router.ip("neigh show dev eth0"), "02:00:00:00:00:99")
	})
	got := router.answers(vip4, vip6)
	if diff := cmp.Diff(map[netip.Addr]mac{vip4: director.mac, vip6: director.mac}, got); diff != "" {
		t.Errorf("who answers: %s", diff)
	}
	if got := h.Status(); !cmp.Equal(got.Answer, []netip.Addr{vip4, vip6}, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) || got.Problem != "" {
		t.Errorf("%+v, want both answered for", got)
	}
	// A deprecated address is no source for what the director says itself.
	director.in(func() {
		if got := director.ip("-6 route get fd07:1::fe"); !strings.Contains(got, "src fd07:1::1 ") {
			t.Errorf("the director speaks as %s", got)
		}
	})
	stop()
	director.in(func() {
		if diff := cmp.Diff(before, director.picture()); diff != "" {
			t.Errorf("something is left: %s", diff)
		}
	})
}

func (m *machine) text() string {
	var text string
	m.in(func() {
		text = m.ip("link show eth0")
		_, text, _ = strings.Cut(text, "link/ether ")
		text, _, _ = strings.Cut(text, " ")
	})
	return text
}

// A VIP that another machine has stays with it until it gives it up.
func TestAnotherMachineHasTheVIP(t *testing.T) {
	l := lan(t, routerOn, directorOn)
	other, director := l[0], l[1]
	other.in(func() {
		other.ip("addr add 10.7.1.100/32 dev eth0")
		other.ip("-6 addr add fd07:1::100/128 dev eth0 nodad")
	})
	var h *Host
	free := netip.MustParseAddr("10.7.1.101")
	director.in(func() {
		h = director.host(Config{Probe: 300 * time.Millisecond, Every: 10 * time.Millisecond})
		err := h.Apply(answersFor(vip4, vip6, free))
		if !errors.Is(err, ErrTaken) || strings.Count(err.Error(), other.text()) != 2 {
			t.Errorf("got %v, want it to name %s for both VIPs", err, other.text())
		}
		if got := director.ip("addr show eth0"); strings.Contains(got, "10.7.1.100/") || strings.Contains(got, "fd07:1::100/") || !strings.Contains(got, free.String()) {
			t.Errorf("want %s alone: %s", free, got)
		}
	})
	if got := h.Status(); len(got.Answer) != 1 || !strings.Contains(got.Problem, vip6.String()) {
		t.Errorf("%+v", got)
	}
	director.run(h)
	other.in(func() {
		other.ip("addr del 10.7.1.100/32 dev eth0")
		other.ip("-6 addr del fd07:1::100/128 dev eth0")
	})
	director.until("both VIPs", func() bool { return len(h.Status().Answer) == 3 })
}

func TestThePortOfAVIP(t *testing.T) {
	list := []Port{
		{Name: "a", Addrs: []netip.Addr{node6}, Nets: []netip.Prefix{netip.MustParsePrefix("fd07:1::21/64")}},
		{Name: "b", Addrs: []netip.Addr{node4}, Nets: []netip.Prefix{netip.MustParsePrefix("10.7.1.21/24"), netip.MustParsePrefix("10.9.0.1/32")}},
		{Name: "c", Addrs: []netip.Addr{netip.MustParseAddr("10.7.2.21")}, Nets: []netip.Prefix{netip.MustParsePrefix("10.7.2.21/24")}},
	}
	for vip, want := range map[string]string{
		"10.7.1.100": "b", "10.7.2.100": "c", "fd07:1::100": "a", "10.9.0.1": "b", "192.0.2.1": "b", "2001:db8::1": "a",
	} {
		if got, ok := PortOf(list, netip.MustParseAddr(vip)); !ok || got.Name != want {
			t.Errorf("%s: port %s, want %s", vip, got.Name, want)
		}
	}
	if _, ok := PortOf(nil, vip4); ok {
		t.Error("a VIP has a port, though there is none")
	}
}

// What is for somebody else is passed on by the kernel, by the ports alone that are told to.
func TestADirectorForwards(t *testing.T) {
	l := lan(t, routerOn, directorOn, nodeOn)
	router, director, node := l[0], l[1], l[2]
	var h *Host
	director.in(func() {
		h = director.host(Config{})
		must(t, h.Apply(answersFor()))
		if s := h.Status(); s.Problem != "" || len(s.Settings) == 0 {
			t.Errorf("%+v", s)
		}
	})
	for _, packet := range [][]byte{
		ip4{src: client4, dst: node4, proto: protoUDP}.with(udpTo(9, []byte("hello"))),
		ip6{src: client6, dst: node6, next: protoUDP}.with(udpTo(9, []byte("hello"))),
	} {
		if packet[0]>>4 == 6 && !forces(director) {
			t.Log("this kernel forwards IPv6 by all ports or by none")
			continue
		}
		w := node.tap()
		must(t, router.tap().send(director.to(frame(packet))))
		w.until(t, "the packet", func(frame []byte) bool {
			return mac(frame[:6]) == node.mac && mac(frame[6:12]) == director.mac && strings.HasSuffix(string(frame), "hello")
		})
	}
}

func forces(m *machine) (exists bool) {
	m.in(func() { exists = netset.Conf("ipv6", "eth0", "force_forwarding", 1, netset.Always).Exists() })
	return exists
}
