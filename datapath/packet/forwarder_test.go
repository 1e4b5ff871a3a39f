package packet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

// A far is another machine's network, at the other end of a port of this one.
type far struct {
	t    testing.TB
	ns   netns.NsHandle
	port string // of this machine
}

// newFar makes a port with an address here, and a machine with another one at its end, which sends everything this way.
func newFar(t testing.TB, port, here, there string) *far {
	t.Helper()
	needRoot(t)
	m := &far{t: t, port: port}
	ended := make(chan error)
	go onThread(func() {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			m.ns, err = netns.Get()
		}
		ended <- err
	})
	if err := <-ended; err != nil {
		t.Fatalf("make a network: %v", err)
	}
	t.Cleanup(func() { m.ns.Close() })
	up(t, "lo")
	fine(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: "eth0", PeerNamespace: netlink.NsFd(m.ns)}))
	t.Cleanup(func() { // a test may have removed it
		if l, err := netlink.LinkByName(port); err == nil {
			fine(t, netlink.LinkDel(l))
		}
	})
	dress(t, port, here)
	m.do(func() {
		up(t, "lo")
		dress(t, "eth0", there)
		for family, all := range map[string]string{here: "0.0.0.0/0", "fd" + here: "::/0"} {
			gw, _, err := net.ParseCIDR(family)
			if err != nil {
				continue
			}
			_, to, _ := net.ParseCIDR(all)
			fine(t, netlink.RouteAdd(&netlink.Route{Dst: to, Gw: gw}))
		}
	})
	return m
}

// do runs f in the machine's network.
func (m *far) do(f func()) {
	m.t.Helper()
	done := make(chan error)
	go onThread(func() {
		err := netns.Set(m.ns)
		if err == nil {
			f()
		}
		done <- err
	})
	fine(m.t, <-done)
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func()) {
	runtime.LockOSThread() // and never unlocked
	f()
}

func fine(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func up(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	fine(t, err)
	fine(t, netlink.LinkSetUp(l))
	return l
}

// dress gives a port an address, and takes from it what spoils packets that never see a wire.
func dress(t testing.TB, name, addr string) {
	t.Helper()
	a, err := netlink.ParseAddr(addr)
	fine(t, err)
	a.Flags = unix.IFA_F_NODAD
	l, err := netlink.LinkByName(name)
	fine(t, err)
	fine(t, netlink.AddrAdd(l, a))
	up(t, name)
}

// log is a logger that writes to the test's log.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// small bounds keep tests quick.
func small(c Config) Config {
	c.Flows, c.Unconfirmed, c.Sources = 4096, 1024, 1024
	return c
}

func newForwarder(t testing.TB, c Config) *Forwarder {
	t.Helper()
	needRoot(t)
	f, err := New(small(c), testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fine(t, f.Close()) })
	return f
}

// start runs a Forwarder until the function that it returns is called.
func start(t testing.TB, f *Forwarder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		fine(t, <-ended)
	}
	t.Cleanup(stop)
	return stop
}

// until waits for something that is bound to come.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: it never came", what)
		case <-tick.C:
		}
	}
}

// web is a service on one address.
func web(d cluster.Dispatch, vip string, ports ...uint16) Service {
	s := Service{Name: "web", Dispatch: d}
	for _, p := range ports {
		s.Fronts = append(s.Fronts, Front{netip.MustParseAddr(vip), p, TCP})
	}
	return s
}

// tableOf shares a service out evenly, by turns.
func tableOf(schedule string, nodes ...string) *cluster.Table {
	t := &cluster.Table{Schedule: schedule}
	for i, n := range nodes {
		t.Shares = append(t.Shares, cluster.Share{
			Node: fmt.Sprintf("t%d", i+1), Addr: netip.AddrPortFrom(netip.MustParseAddr(n), 8080), State: cluster.Active, Weight: 100, Live: &cluster.Live{},
		})
		t.Slots = append(t.Slots, uint16(i))
	}
	return t
}

// flowsTo are established flows from as many clients to the first front of a service's node.
func flowsTo(s Service, t *cluster.Table, node, n int) (list []Flow) {
	for i := range n {
		list = append(list, Flow{
			Service: s.Name, Node: t.Shares[node].Node, At: t.Shares[node].Addr, Proto: TCP,
			Client: netip.AddrPortFrom(netip.MustParseAddr("10.7.9.2"), uint16(20000+1000*node+i)),
			VIP:    netip.AddrPortFrom(s.Fronts[0].VIP, s.Fronts[0].Port), State: Established, Ack: 7000,
		})
	}
	return list
}

func insertAll(t testing.TB, f *Forwarder, list []Flow) {
	t.Helper()
	if n, err := f.Insert(list); err != nil || n != len(list) {
		t.Fatalf("inserted %d, %v; want %d", n, err, len(list))
	}
}

func flowsOf(f *Forwarder) (list []Flow) {
	for flow := range f.Flows {
		list = append(list, flow)
	}
	slices.SortFunc(list, func(a, b Flow) int { return a.Client.Compare(b.Client) })
	return list
}

func TestAForwarderRunsAndStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11")
	fine(t, f.SetTable("web", table))
	stop := start(t, f)
	until(t, "the port dispatches", f.attached)
	insertAll(t, f, flowsTo(s, table, 0, 3))
	until(t, "the flows are counted", func() bool { return table.Shares[0].Live.Active.Load() == 3 && f.Status().States["established"] == 3 })
	st := f.Status()
	if p := st.Ports[0]; p.Mode != "native" || p.Driver != "veth" || !p.Up || p.Pinned || p.Program == 0 {
		t.Errorf("got port %+v, want it native and up", p)
	}
	stop()
	if l, err := netlink.LinkByName("dir0"); err != nil || l.Attrs().Xdp.Attached {
		t.Errorf("got %+v, %v; want nothing attached after the end", l.Attrs().Xdp, err)
	}
}
