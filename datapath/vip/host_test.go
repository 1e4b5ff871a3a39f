package vip

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

// What somebody undoes is done again, and what a port loses when it goes is back when it is.
func TestRunKeepsItSo(t *testing.T) {
	defer goleak.VerifyNone(t)
	l := lan(t, routerOn, nodeOn)
	router, node := l[0], l[1]
	w := accepts(IPIP)
	w.Answer, w.Forward = []netip.Addr{netip.MustParseAddr("10.7.1.101"), netip.MustParseAddr("fd07:1::101")}, true
	var h *Host
	node.in(func() {
		h = node.host(Config{Probe: 3 * time.Millisecond, Announce: []time.Duration{0}, Every: 50 * time.Millisecond})
		must(t, h.Apply(w))
	})
	stop := node.run(h)
	so := func() bool { return h.Status().Problem == "" && len(h.Status().Answer) == 2 }
	node.until("all of it", so)
	node.in(func() {
		node.ip("addr del 10.7.1.100/32 dev lo")
		node.ip("addr del 10.7.1.101/32 dev eth0")
		node.set("ipv4/conf/all/arp_ignore", "0")
		node.set("ipv4/conf/eth0/forwarding", "0")
	})
	node.until("what was undone is done again", func() bool {
		list := node.ip("-o addr")
		return strings.Contains(list, "10.7.1.100/32") && strings.Contains(list, "10.7.1.101/32") &&
			node.sysctl("ipv4/conf/all/arp_ignore") == "1" && node.sysctl("ipv4/conf/eth0/forwarding") == "1"
	})
	twice := 0
	for _, s := range h.Status().Settings {
		if s.Times == 2 {
			twice++
		}
	}
	if twice != 4 {
		t.Errorf("%d settings were done twice, want 4", twice)
	}

	wire := router.tap()
	node.in(func() { node.ip("link set eth0 down") })
	node.until("it is known to be wrong", func() bool { return !so() })
	node.in(func() { node.ip("link set eth0 up") })
	for _, a := range w.Answer { // both are announced anew, the IPv4 one though it never went
		wire.until(t, "an announcement of "+a.String(), func(frame []byte) bool {
			from, whose, is := claim(frame)
			return is && whose == a && from == node.mac
		})
	}
	// IPv6 addresses go with their interface: the node's own has to be put back by who put it there.
	node.in(func() { node.ip("addr add fd07:1::21/64 dev eth0 nodad") })
	node.until("all of it, again", so)

	node.in(func() {
		l, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.LinkDel(l))
	})
	node.until("it is known that the port is gone", func() bool {
		return strings.Contains(h.Status().Problem, "no interface has the node's address")
	})
	stop()
	node.in(func() {
		if got := node.ip("addr show lo"); strings.Contains(got, vip4.String()) {
			t.Errorf("something is left: %s", got)
		}
	})
}

// pins mounts a BPF file system for the test's thread alone.
func pins(t *testing.T) string {
	t.Helper()
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	dir := t.TempDir()
	must(t, unix.Mount("bpf", dir, "bpf", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // it ends with the thread too
	return filepath.Join(dir, "vip")
}

// Packets go on while the daemon is away; the next one takes over what is there, and a machine that leaves is left clean.
func TestTheProcessEndsAndAnotherBegins(t *testing.T) {
	l := lan(t, routerOn, directorOn, nodeOn)
	router, director, node := l[0], l[1], l[2]
	node.bound("tcp", ":80")
	node.routed()
	cfg := Config{Pin: pins(t), Journal: filepath.Join(t.TempDir(), "network.json")}
	inner := syn(vip4, 0)
	wrapped := node.to(frame(ip4{src: director4, dst: node4, proto: protoIP4}.with(inner)))
	attached := func() (ids []int) {
		node.in(func() {
			for _, name := range []string{"in-eth0", "out-eth0"} {
				l, err := pinned(cfg.Pin, name)
				must(t, err)
				if l == nil {
					continue
				}
				info, err := l.Info()
				must(t, err)
				ids = append(ids, int(info.ID), int(info.Program))
				_ = l.Close() // it was only looked at
			}
		})
		return ids
	}

	var before string
	node.in(func() {
		before = node.picture()
		h := node.host(cfg)
		must(t, h.Apply(accepts(IPIP)))
		if _, err := New(cfg, h.log); !errors.Is(err, ErrBusy) {
			t.Errorf("a second process: %v, want %v", err, ErrBusy)
		}
		must(t, h.Close())
	})
	first := attached()
	if len(first) != 4 {
		t.Fatalf("links and programs: %v, want both of both", first)
	}
	answerTo(t, director, router, wrapped, vip4) // nobody is there

	var h *Host
	node.in(func() {
		h = node.host(cfg)
		must(t, h.Apply(accepts(IPIP)))
		for _, s := range h.Status().Settings {
			if s.Times > 0 || !s.Ours && !strings.Contains(s.What, "rp_filter") {
				t.Errorf("%+v, want it taken over and not done again", s)
			}
		}
	})
	second := attached()
	if len(second) != 4 || second[0] != first[0] || second[2] != first[2] || second[1] == first[1] || second[3] == first[3] {
		t.Errorf("links and programs: %v, then %v: want the same links and new programs", first, second)
	}
	answerTo(t, director, router, wrapped, vip4)
	if s := h.Status(); s.Tunnels.Packets != 1 {
		t.Errorf("%+v, want one packet", s.Tunnels)
	}
	h.Leave(true)
	node.run(h)()
	if third := attached(); !cmp.Equal(second, third) {
		t.Errorf("links and programs: %v, and once it was left %v", second, third)
	}
	node.in(func() {
		must(t, Undo(cfg, h.log))
		if diff := cmp.Diff(before, node.picture()); diff != "" {
			t.Errorf("something is left: %s", diff)
		}
	})
	if _, err := os.Stat(cfg.Pin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins are left: %v", err)
	}
}

// A service that changes from one dispatch to another changes only what differs.
func TestApplyTouchesOnlyDifferences(t *testing.T) {
	l := lan(t, nodeOn)
	node := l[0]
	node.in(func() {
		h := node.host(Config{})
		must(t, h.Apply(accepts(None)))
		must(t, h.Apply(accepts(GUE)))
		for _, s := range h.Status().Settings {
			if s.Times > 1 {
				t.Errorf("%s was done again, though only the tunnel is new", s.What)
			}
		}
		if h.Status().Tunnels == nil {
			t.Error("no tunnel is unpacked")
		}
		w4 := accepts(None)
		w4.Accept = w4.Accept[:1]
		must(t, h.Apply(w4))
		if got := node.ip("addr show lo"); strings.Contains(got, vip6.String()) || !strings.Contains(got, vip4.String()) {
			t.Errorf("want %s alone: %s", vip4, got)
		}
		if h.Status().Tunnels != nil {
			t.Error("tunnels are still unpacked")
		}
		// Of both roles, a machine that answers for a VIP has it on its port.
		w4.Answer, w4.Forward = []netip.Addr{vip4}, true
		h.cfg.Probe = -1
		must(t, h.Apply(w4))
		if got := node.ip("-o addr show to 10.7.1.100"); !strings.Contains(got, "eth0") || strings.Contains(got, "lo ") {
			t.Errorf("want %s on the port: %s", vip4, got)
		}
	})
}

func TestWhatNoNetworkCanBeLike(t *testing.T) {
	for _, w := range []Want{
		{Addresses: []netip.Addr{{}}},
		{Answer: []netip.Addr{netip.MustParseAddr("::ffff:10.7.1.100")}},
		{Accept: []Accept{{}}},
		{Return: []Return{{Addr: netip.AddrPortFrom(node4, 80), Proto: cluster.TCP, Via: vip6}}},
	} {
		h := &Host{}
		if err := h.Apply(w); !errors.Is(err, errWant) {
			t.Errorf("%+v: got %v", w, err)
		}
	}
}

func TestAMissingPort(t *testing.T) {
	l := lan(t, nodeOn)
	node := l[0]
	node.in(func() {
		h := node.host(Config{})
		w := accepts(IPIP)
		w.Addresses = []netip.Addr{stranger4}
		if err := h.Apply(w); err == nil || !strings.Contains(err.Error(), "no interface has the node's address 10.7.1.66") {
			t.Errorf("got %v", err)
		}
		if !bytes.Contains([]byte(node.ip("addr show lo")), []byte(vip4.String())) {
			t.Error("what can be done was not done")
		}
	})
}
