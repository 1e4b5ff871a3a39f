package packet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

func TestIdleFlowsExpireByTheirState(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	var mu sync.Mutex
	ended := map[netip.AddrPort]bool{}
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}, Happened: func(list []Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range list {
			if e.Kind == Ended {
				ended[e.Flow.Client] = true
			}
		}
	}})
	s := web(cluster.DR, "10.7.1.100", 80)
	s.Timeouts = Timeouts{SYN: 10 * time.Second, Established: 100 * time.Second, Closing: 20 * time.Second, UDP: 50 * time.Second}
	s.Fronts = append(s.Fronts, Front{s.Fronts[0].VIP, 80, UDP})
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11")
	fine(t, f.SetTable("web", table))
	var stay int
	for i, test := range []struct {
		proto Proto
		state FlowState
		idle  time.Duration
		stays bool
	}{
		{TCP, Unconfirmed, 9 * time.Second, true},
		{TCP, Unconfirmed, 11 * time.Second, false},
		{TCP, Established, 90 * time.Second, true},
		{TCP, Established, 101 * time.Second, false},
		{TCP, Closing, 15 * time.Second, true},
		{TCP, Closing, 21 * time.Second, false},
		{TCP, Closed, 21 * time.Second, false},
		{UDP, Unconfirmed, 40 * time.Second, true},
		{UDP, Unconfirmed, 51 * time.Second, false},
		{UDP, Established, 40 * time.Second, true},
		{UDP, Established, 51 * time.Second, false},
	} {
		flow := flowsTo(s, table, 0, i+1)[i]
		flow.Proto, flow.State, flow.Idle = test.proto, test.state, test.idle
		insertAll(t, f, []Flow{flow})
		if test.stays {
			stay++
		}
	}
	start(t, f)
	until(t, "those that are over are forgotten", func() bool { return f.Status().Expired == 6 })
	until(t, "the rest is counted", func() bool {
		st := f.Status()
		return st.Flows.Used+st.Unconfirmed.Used == stay && table.Shares[0].Live.Active.Load() == 2
	})
	until(t, "it is told of those that were established", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ended) == 2
	})
	want := map[string]int{"none": 0, "unconfirmed": 2, "established": 2, "closing": 1, "closed": 0}
	delete(want, "none")
	if diff := cmp.Diff(want, f.Status().States); diff != "" {
		t.Error(diff)
	}
}

func TestBothHalvesOfANATFlowLiveAndDieTogether(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	s := web(cluster.NAT, "10.7.1.100", 80, 0)
	s.Timeouts.Established = 100 * time.Second
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11")
	fine(t, f.SetTable("web", table))
	list := flowsTo(s, table, 0, 4)
	list[1].Idle = 200 * time.Second // and its reply too
	list[2].Idle = 200 * time.Second // but the node goes on sending
	list[3].VIP = netip.MustParseAddrPort("10.7.1.100:9999")
	insertAll(t, f, list)
	reply := func(flow Flow) (back directorFlowKey) {
		k := flowKey(flow.Proto, flow.Client, flow.VIP)
		v, ok := f.known(&k)
		if ok {
			back, ok = f.replyKey(&k, &v)
		}
		if !ok {
			t.Fatalf("%v has no reply", flow)
		}
		return back
	}
	back := reply(list[2])
	if got := fmt.Sprint(back.from(), back.to()); got != "10.7.1.11:8080 "+list[2].Client.String() {
		t.Errorf("got a reply from and to %s", got)
	}
	if got := reply(list[3]); got.from().Port() != 9999 {
		t.Errorf("got a reply from %s, want port 9999", got.from())
	}
	v := get[directorFlow](t, f.kernel.directorMaps.Flows, back)
	v.Seen = ktime()
	fine(t, f.kernel.directorMaps.Flows.Put(back, v))
	// One whose other half the kernel has dropped.
	lone := reply(list[0])
	v = get[directorFlow](t, f.kernel.directorMaps.Flows, lone)
	v.Seen -= uint64(5 * time.Second)
	lone.Dport++
	fine(t, f.kernel.directorMaps.Flows.Put(lone, v))

	start(t, f)
	until(t, "one flow is over, and the lone reply", func() bool { return f.Status().Expired == 1 && f.Status().Flows.Used == 6 })
	if n := len(all[directorFlowKey, directorFlow](t, f.kernel.directorMaps.Flows)); n != 6 {
		t.Errorf("got %d halves, want 6", n)
	}
	if diff := cmp.Diff([]Flow{list[0], list[2], list[3]}, flowsOf(f), exceptIdle); diff != "" {
		t.Error(diff)
	}
}

func TestCountersAreMendedAfterEvictions(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11", "10.7.1.12")
	fine(t, f.SetTable("web", table))
	list := append(flowsTo(s, table, 0, 10), flowsTo(s, table, 1, 10)...)
	insertAll(t, f, list)
	for _, flow := range list[:7] { // as the kernel does for want of room
		k := flowKey(flow.Proto, flow.Client, flow.VIP)
		fine(t, f.kernel.directorMaps.Flows.Delete(&k))
	}
	f.kernel.addActive(f.services["web"].members[seat{"t2", table.Shares[1].Addr}].place, -4)
	start(t, f)
	until(t, "the counters are right", func() bool {
		return table.Shares[0].Live.Active.Load() == 3 && table.Shares[1].Live.Active.Load() == 10
	})
	if n := f.Status().Mended; n != 7 {
		t.Errorf("got %d mended, want 7", n)
	}
}

func TestANodeIsForgottenWithItsLastFlow(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	s := web(cluster.NAT, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11", "10.7.1.12")
	fine(t, f.SetTable("web", table))
	list := flowsTo(s, table, 1, 1)
	insertAll(t, f, list)
	fine(t, f.SetTable("web", tableOf("rr", "10.7.1.11")))
	start(t, f)
	until(t, "the flow was seen", func() bool { return f.Status().States["established"] == 1 })
	if n := f.Status().Nodes.Used; n != 2 {
		t.Errorf("got %d nodes, want the retired one too", n)
	}
	f.mu.RLock()
	k := flowKey(TCP, list[0].Client, list[0].VIP)
	f.end(f.kernel.directorMaps.Flows, &k, 1<<64-1)
	f.mu.RUnlock()
	until(t, "the node is forgotten", func() bool { return f.Status().Nodes.Used == 1 })
}

func TestInsertedFlowsGiveWayToNewerOnes(t *testing.T) {
	f := newForwarder(t, Config{})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	table := tableOf("rr", "10.7.1.11", "10.7.1.12")
	fine(t, f.SetTable("web", table))
	flow := flowsTo(s, table, 0, 1)[0]
	flow.Idle = 10 * time.Second
	insertAll(t, f, []Flow{flow})
	other := flow
	other.Node, other.At, other.Idle = "t2", table.Shares[1].Addr, 20*time.Second
	if n, err := f.Insert([]Flow{other}); n != 0 || err != nil {
		t.Errorf("got %d, %v; want an older flow left out", n, err)
	}
	other.Idle = time.Second
	insertAll(t, f, []Flow{other})
	if diff := cmp.Diff([]Flow{other}, flowsOf(f), exceptIdle); diff != "" {
		t.Error(diff)
	}
	t1, t2 := f.services["web"].members[seat{"t1", flow.At}].place, f.services["web"].members[seat{"t2", other.At}].place
	if f.kernel.active(t1) != 0 || f.kernel.active(t2) != 1 {
		t.Errorf("got %d and %d active, want 0 and 1", f.kernel.active(t1), f.kernel.active(t2))
	}
	strange := []Flow{{Service: "shop"}, flow, flow, flow}
	strange[1].Node = "t9"
	strange[2].VIP = netip.MustParseAddrPort("10.7.1.100:81")
	strange[3].State = 9
	if n, err := f.Insert(strange); n != 0 || err != nil {
		t.Errorf("got %d, %v; want what does not fit left out", n, err)
	}
}

// world is a director between a client and two nodes, which have the VIP.
type world struct {
	f      *Forwarder
	web    Service
	client *far
	nodes  [2]*far
	table  *cluster.Table
	stop   func()
}

func newWorld(t *testing.T, lost Lost) *world {
	t.Helper()
	return newWorldWith(t, lost, Config{})
}

func newWorldWith(t *testing.T, lost Lost, cfg Config) *world {
	t.Helper()
	w := &world{client: newFar(t, "dir9", "10.7.9.1/24", "10.7.9.2/24")}
	w.nodes[0] = newFar(t, "dir1", "10.7.1.1/24", "10.7.1.11/24")
	w.nodes[1] = newFar(t, "dir2", "10.7.2.1/24", "10.7.2.11/24")
	for _, port := range []string{"dir9", "dir1", "dir2"} {
		fine(t, os.WriteFile("/proc/sys/net/ipv4/conf/"+port+"/forwarding", []byte("1"), 0))
	}
	cfg.Interfaces = []string{"dir9", "dir1", "dir2"}
	w.f = newForwarder(t, cfg)
	// Frames that are redirected natively reach the other end only when that polls.
	for _, m := range append([]*far{w.client}, w.nodes[:]...) {
		m.do(func() { passAll(t); noOffload(t) })
	}
	for _, m := range w.nodes {
		m.do(func() {
			lo, err := netlink.LinkByName("lo")
			fine(t, err)
			a, err := netlink.ParseAddr("10.7.1.100/32")
			fine(t, err)
			fine(t, netlink.AddrAdd(lo, a))
			serve(t)
		})
	}
	w.web, w.table = web(cluster.DR, "10.7.1.100", 80), tableOf("rr", "10.7.1.11", "10.7.2.11")
	w.web.Lost = lost
	fine(t, w.f.Apply([]Service{w.web}))
	fine(t, w.f.SetTable("web", w.table))
	w.stop = start(t, w.f)
	until(t, "all next hops are known", func() bool {
		list, err := neighbours()
		fine(t, err)
		n := 0
		for _, e := range list {
			if e.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE) != 0 && e.IP.To4() != nil {
				n++
			}
		}
		return n >= 2 && w.f.attached()
	})
	return w
}

// passAll puts a program on the far end that lets everything pass.
func passAll(t *testing.T) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: passing})
	if err != nil {
		t.Error(err)
		return
	}
	l, err := netlink.LinkByName("eth0")
	fine(t, err)
	fine(t, netlink.LinkSetXdpFdWithFlags(l, p.FD(), unix.XDP_FLAGS_DRV_MODE))
	fine(t, p.Close())
}

// noOffload has a port fill in checksums itself (ethtool -K eth0 tx off).
func noOffload(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	fine(t, err)
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data *struct{ command, data uint32 }
		_    [16]byte
	}{data: &value}
	copy(request.name[:], "eth0")
	if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); no != 0 {
		t.Errorf("ethtool: %v", no)
	}
}

// serve answers connections to the VIP in the calling thread's network: it echoes.
func serve(t *testing.T) {
	l, err := net.Listen("tcp4", "10.7.1.100:80")
	if err != nil {
		t.Error(err)
		return
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer context.AfterFunc(t.Context(), func() { _ = c.Close() })() // what ends first ends the other
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
}

// dial connects from the client, and has what it says echoed.
func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	var c net.Conn
	w.client.do(func() {
		var err error
		var d net.Dialer
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		if c, err = d.DialContext(ctx, "tcp4", "10.7.1.100:80"); err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	t.Cleanup(func() { _ = c.Close() })
	say(t, c)
	return c
}

func say(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionsOfANodeThatIsGoneAreResetAtOnce(t *testing.T) {
	w := newWorld(t, Reset)
	a, b := w.dial(t), w.dial(t)
	until(t, "each node has one", func() bool {
		return w.table.Shares[0].Live.Active.Load() == 1 && w.table.Shares[1].Live.Active.Load() == 1
	})
	nodeOf := map[string]string{}
	for flow := range w.f.Flows {
		nodeOf[flow.Client.String()] = flow.Node
	}
	if nodeOf[a.LocalAddr().String()] != "t1" {
		a, b = b, a
	}
	gone := tableOf("rr", "10.7.1.11", "10.7.2.11")
	gone.Shares[0].Gone, gone.Shares[0].Weight, gone.Shares[0].State = true, 0, cluster.Out
	fine(t, w.f.SetTable("web", gone))
	// The client of the node that is gone says nothing, and is told all the same; the other one goes on.
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	say(t, b)
	say(t, w.dial(t))
	until(t, "it is counted", func() bool { return w.f.Status().Resets == 1 })
	if st := w.f.Status().Services[0]; st.Nodes[1].Active != 2 || !st.Nodes[0].Gone || st.Nodes[0].Active != 0 || st.Flows != 3 {
		t.Errorf("got %+v, want two connections on t2, of three", st)
	}
	if way := w.f.Status().Services[0].Nodes[1].Way; !strings.HasPrefix(way, "dir2 ") {
		t.Errorf("got way %q, want one by dir2", way)
	}
}

// A client that waits for its answer has nothing to say by itself, and would wait for ever.
func TestAClientThatOnlyWaitsIsAskedToMove(t *testing.T) {
	w := newWorld(t, Move)
	a, b := w.dial(t), w.dial(t)
	nodeOf := map[string]string{}
	until(t, "both are known", func() bool {
		for flow := range w.f.Flows {
			nodeOf[flow.Client.String()] = flow.Node
		}
		return len(nodeOf) == 2
	})
	if nodeOf[a.LocalAddr().String()] != "t1" {
		a, b = b, a
	}
	gone := tableOf("rr", "10.7.1.11", "10.7.2.11")
	gone.Shares[0].Gone, gone.Shares[0].Weight, gone.Shares[0].State = true, 0, cluster.Out
	fine(t, w.f.SetTable("web", gone))
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want the reset of the node that it was moved to", err)
	}
	say(t, b)
}

func TestAChangeOfTheServicesLeavesConnectionsAlone(t *testing.T) {
	w := newWorld(t, Move)
	a, b := w.dial(t), w.dial(t)
	w.web.Timeouts.Closing, w.web.Rate = time.Second, 1000
	shop := web(cluster.DR, "10.7.1.101", 80)
	shop.Name = "shop"
	fine(t, w.f.Apply([]Service{shop, w.web}))
	fine(t, w.f.SetTable("web", tableOf("wlc", "10.7.2.11")))
	say(t, a)
	say(t, b)
	fine(t, w.f.Apply([]Service{w.web}))
	say(t, a)
	say(t, b)
}

func TestConnectionsOutliveTheProcess(t *testing.T) {
	pin := filepath.Join(bpffs, t.Name())
	t.Cleanup(func() { fine(t, Detach(pin)) })
	w := newWorldWith(t, Move, Config{Pin: pin})
	a, b := w.dial(t), w.dial(t)
	for i, flows := range []int{4096, 4096, 8192} { // the last one cannot take the maps over
		w.stop()
		say(t, a)
		say(t, b)
		cfg := w.f.cfg
		cfg.Flows = flows
		f, err := New(cfg, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		say(t, a)
		fine(t, f.Apply([]Service{w.web}))
		say(t, b)
		w.f, w.stop = f, start(t, f)
		say(t, a)
		fine(t, f.SetTable("web", w.table))
		until(t, "the next one has them all", func() bool {
			return w.table.Shares[0].Live.Active.Load()+w.table.Shares[1].Live.Active.Load() == int64(2+i) && f.attached()
		})
		say(t, a)
		say(t, b)
		say(t, w.dial(t))
		w.table = tableOf("rr", "10.7.1.11", "10.7.2.11")
	}
}

func TestEventsTellOfFlows(t *testing.T) {
	told := make(chan Event, 64)
	w := newWorldWith(t, Move, Config{Happened: func(list []Event) {
		for _, e := range list {
			told <- e
		}
	}})
	c := w.dial(t)
	fine(t, c.Close())
	for _, want := range []EventKind{Began, Confirmed, Ended} {
		e := <-told
		if e.Kind != want || e.Flow.Service != "web" || e.Flow.Client.String() != c.LocalAddr().String() || e.Flow.VIP.String() != "10.7.1.100:80" {
			t.Errorf("got %+v, want event %d of %s", e, want, c.LocalAddr())
		}
	}
}

func TestAResetIsWhole(t *testing.T) {
	for _, test := range []struct{ from, to string }{
		{"10.7.1.100:80", "10.7.9.2:40000"}, {"[fd07:1::100]:80", "[fd07:9::2]:40000"},
	} {
		from, to := netip.MustParseAddrPort(test.from), netip.MustParseAddrPort(test.to)
		b := appendSegment(nil, from, to, 0xfffffffe, flagRST)
		kind := gopacket.Decoder(layers.LayerTypeIPv4)
		if from.Addr().Is6() {
			kind = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(b, kind, gopacket.Default)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok || p.ErrorLayer() != nil {
			t.Fatalf("%x: got %s", b, p)
		}
		if !tcp.RST || tcp.ACK || tcp.SYN || tcp.Seq != 0xfffffffe || tcp.SrcPort != 80 || tcp.DstPort != 40000 {
			t.Errorf("got %+v", tcp)
		}
		if src, dst := p.NetworkLayer().NetworkFlow().Endpoints(); src.String() != from.Addr().String() || dst.String() != to.Addr().String() {
			t.Errorf("got %s to %s", src, dst)
		}
		sum := tcp.Checksum
		fine(t, tcp.SetNetworkLayerForChecksum(p.NetworkLayer()))
		buf := gopacket.NewSerializeBuffer()
		fine(t, tcp.SerializeTo(buf, gopacket.SerializeOptions{ComputeChecksums: true}))
		if tcp.Checksum != sum {
			t.Errorf("got checksum %04x, want %04x", sum, tcp.Checksum)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(memoryOf(&directorEvent{Kind: 1}))
	f.Add([]byte{1})
	fw := &Forwarder{serviceAt: make([]*service, 4), nodes: make([]*node, 4), cfg: Config{Happened: func([]Event) {}}}
	fw.serviceAt[1], fw.nodes[1] = &service{}, &node{}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := decodeEvent(b)
		if ok && e.Kind != uint32(directorEventKindE_NO_NEIGHBOUR) {
			for _, event := range fw.hear(e, nil, nil) {
				_, _ = event.Flow.State.MarshalText()
			}
		}
	})
}

func FuzzSpans(f *testing.F) {
	f.Add("seen:0:8 node:8:4 ", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add("seen:9223372036854775807:8", []byte{1})
	f.Fuzz(func(t *testing.T, theirs string, from []byte) {
		var v directorFlow
		convert(spans(theirs, fields(v)), from, memoryOf(&v))
	})
}
