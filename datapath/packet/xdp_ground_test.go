package packet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A place is a party of the tests' network, by the name that frames call it.
type place struct {
	mac       [6]byte
	four, six netip.Addr
}

func placed(last byte, four, six string) place {
	return place{[6]byte{2, 0, 0, 0, 0, last}, netip.MustParseAddr(four), netip.MustParseAddr(six)}
}

// places: a director with one port on LAN A, one on LAN B, and VLAN 5 on the former; clients and one node behind the
// router of LAN A, where packets may have 1,400 bytes to that node.
var places = map[string]place{
	"me":      placed(1, "10.7.1.2", "fd07:1::2"),
	"me2":     placed(2, "10.7.2.2", "fd07:2::2"),
	"me5":     placed(1, "10.7.5.2", "fd07:5::2"),
	"vip":     placed(0, "10.7.1.100", "fd07:1::100"),
	"vip2":    placed(0, "10.7.1.101", "fd07:1::101"),
	"router":  placed(9, "10.7.1.254", "fd07:1::fe"),
	"a":       placed(11, "10.7.1.11", "fd07:1::11"),
	"b":       placed(12, "10.7.1.12", "fd07:1::12"),
	"c":       placed(13, "10.7.1.13", "fd07:1::13"),
	"f":       placed(14, "10.7.1.14", "fd07:1::14"),
	"d":       placed(21, "10.7.2.21", "fd07:2::21"), // LAN B
	"e":       placed(51, "10.7.5.51", "fd07:5::51"), // VLAN 5
	"far":     placed(9, "10.7.3.31", "fd07:3::31"),
	"mute":    placed(0, "10.7.1.66", "fd07:1::66"), // its MAC address is not known
	"nowhere": placed(0, "10.66.0.1", "fd66::1"),    // there is no way to it
	"client":  placed(9, "10.7.9.2", "fd07:9::2"),
	"other":   placed(9, "10.7.9.3", "fd07:9::3"),
	"slow":    placed(9, "10.7.8.2", "fd07:8::2"), // a client behind a way with an MTU of 1,300
	"hop":     placed(9, "10.8.0.1", "fd08::1"),   // a router on the way to the client
}

const vlan5 = 5 // the tag of VLAN 5

// A ground is the program in a network of its own.
type ground struct {
	directorObjects
	firsts *firsts
	ports  map[string]uint32 // interface indexes by the names that frames call the ends: me, me2, me5
	events *ringbuf.Reader
	marks  *ebpf.Map   // of a program that was instrumented
	words  []string    // of enum reason
	epoch  uint32      // of the settings
	calls  chan func() // to the thread that is in the network
}

// newGround makes the network and loads the program. change, if not nil, may change what is loaded. Both are gone with the
// test.
func newGround(t testing.TB, change func(*ebpf.CollectionSpec)) *ground {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root: the program can neither be loaded nor have a network of its own")
	}
	g := &ground{ports: map[string]uint32{}, calls: make(chan func())}
	ready := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked: the thread, and with it the network, ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = g.build()
		}
		ready <- err
		if err == nil {
			for call := range g.calls {
				call()
			}
		}
	}()
	if err := <-ready; err != nil {
		<-ended
		t.Fatalf("make a network: %v", err)
	}
	t.Cleanup(func() {
		close(g.calls)
		<-ended
	})
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := loadDirector()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(spec)
	}
	if g.words, err = reasonWords(spec); err != nil {
		t.Fatal(err)
	}
	whole, err := ebpf.NewCollection(spec)
	var refused *ebpf.VerifierError
	if errors.As(err, &refused) {
		t.Fatalf("%+v", refused)
	}
	if err == nil {
		defer whole.Close()
		g.marks = whole.DetachMap(marksMap)
		err = whole.Assign(&g.directorObjects)
	}
	if err == nil {
		g.firsts, err = newFirsts(&g.directorObjects)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.firsts.close()
		_ = g.directorObjects.Close() // nothing is written any more
		if g.marks != nil {
			_ = g.marks.Close()
		}
	})
	if g.events, err = ringbuf.NewReader(g.Events); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.events.Close() })
	return g
}

// reasonWords are the reasons as the program calls them, R_NO_NODE as no_node.
func reasonWords(spec *ebpf.CollectionSpec) ([]string, error) {
	var reason *btf.Enum
	if err := spec.Types.TypeByName("reason", &reason); err != nil {
		return nil, err
	}
	var words []string
	for _, v := range reason.Values {
		if name, ok := strings.CutPrefix(v.Name, "R_"); ok {
			words = append(words, strings.ToLower(name))
		}
	}
	return words, nil
}

// do runs f in the network.
func (g *ground) do(f func()) {
	done := make(chan struct{})
	g.calls <- func() {
		f()
		close(done)
	}
	<-done
}

// build lays the cables. It runs in the network.
func (g *ground) build() error {
	for _, p := range []struct{ name, place string }{{"port0", "me"}, {"port1", "me2"}, {"port0.5", "me5"}} {
		if err := g.lay(p.name, p.place); err != nil {
			return err
		}
	}
	for _, s := range []string{"ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+s, []byte("1"), 0o644); err != nil {
			return err
		}
	}
	for name, port := range map[string]string{"router": "me", "a": "me", "b": "me", "c": "me", "f": "me", "d": "me2", "e": "me5"} {
		p := places[name]
		for _, a := range []netip.Addr{p.four, p.six} {
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: int(g.ports[port]), State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: p.mac[:],
			})
			if err != nil {
				return err
			}
		}
	}
	router := places["router"]
	for _, r := range []struct {
		to, via netip.Addr
		bits    int
		mtu     int
	}{
		{places["client"].four, router.four, 0, 0},
		{places["client"].six, router.six, 0, 0},
		{places["far"].four, router.four, 24, 1400},
		{places["far"].six, router.six, 64, 1400},
		{places["slow"].four, router.four, 24, 1300},
		{places["slow"].six, router.six, 64, 1300},
	} {
		err := netlink.RouteAdd(&netlink.Route{
			Dst: wide(r.to, r.bits), Gw: r.via.AsSlice(), LinkIndex: int(g.ports["me"]), MTU: r.mtu, MTULock: r.mtu != 0, // forwarding heeds no other
		})
		if err != nil {
			return err
		}
	}
	for _, a := range []netip.Addr{places["nowhere"].four, places["nowhere"].six} {
		if err := netlink.RouteAdd(&netlink.Route{Dst: wide(a, 16), Type: unix.RTN_UNREACHABLE}); err != nil {
			return err
		}
	}
	return nil
}

// lay makes one port of the director and what it leads to.
func (g *ground) lay(name, place string) error {
	p := places[place]
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: p.mac[:]}, PeerName: "to-" + name,
	})
	if err != nil {
		return err
	}
	for _, n := range []string{name, "to-" + name} {
		link, err := netlink.LinkByName(n)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	g.ports[place] = uint32(link.Attrs().Index)
	for _, a := range []netip.Addr{p.four, p.six} {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		n := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			return err
		}
	}
	return nil
}

// wide is the address's prefix of that length.
func wide(a netip.Addr, bits int) *net.IPNet {
	p := netip.PrefixFrom(a, bits).Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}

// A verdict is what the program says is to be done with a frame.
type verdict uint32

// The verdicts (linux/bpf.h).
const (
	aborted verdict = iota
	dropped
	passed
	sent       // by the port that it came in by
	redirected // by another
)

func (v verdict) String() string {
	return [...]string{"aborted", "drop", "pass", "tx", "redirect"}[v]
}

// origin is struct xdp_md: where a frame came in.
type origin struct{ Data, End, Meta, Ingress, Queue, Egress uint32 }

// run has the program see one frame that came in by the port, and returns what it says and what it left of the frame.
func (g *ground) run(t testing.TB, port string, frame []byte) (verdict, []byte) {
	t.Helper()
	out := make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{
		Data: frame, DataOut: out, Context: origin{End: uint32(len(frame)), Ingress: g.ports[port]}, Repeat: 1,
	}
	var v uint32
	var err error
	g.do(func() { v, err = g.Director.Run(&opts) })
	if err != nil {
		t.Fatalf("run %d bytes: %v", len(frame), err)
	}
	return verdict(v), opts.DataOut
}

// drain reads the events that have been told so far.
func (g *ground) drain(t testing.TB) []directorEvent {
	t.Helper()
	var list []directorEvent
	g.events.SetDeadline(time.Unix(1, 0)) // what is there comes all the same
	for {
		r, err := g.events.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		var e directorEvent
		if err := decode(r.RawSample, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
}

// monotonic is the clock of the program (ktime), in nanoseconds.
func monotonic(t testing.TB) uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return uint64(now.Nano())
}
