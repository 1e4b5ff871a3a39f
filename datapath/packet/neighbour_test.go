package packet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

func neighbour(t *testing.T, port, addr string) netlink.Neigh {
	t.Helper()
	l, err := netlink.LinkByName(port)
	if err != nil {
		t.Fatal(err)
	}
	all, err := neighbours()
	if err != nil {
		t.Fatal(err)
	}
	return all[hop{l.Attrs().Index, netip.MustParseAddr(addr)}]
}

func TestNextHopsAreKeptResolved(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24").do(func() {
		l, err := netlink.LinkByName("eth0")
		fine(t, err)
		a, err := netlink.ParseAddr("10.7.1.254/24")
		fine(t, err)
		fine(t, netlink.AddrAdd(l, a))
	})
	_, far, _ := net.ParseCIDR("10.7.3.0/24")
	fine(t, netlink.RouteAdd(&netlink.Route{Dst: far, Gw: net.ParseIP("10.7.1.254"), MTU: 1400}))
	l, err := netlink.LinkByName("dir0")
	fine(t, err)
	fine(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP("10.7.1.12"), HardwareAddr: l.Attrs().HardwareAddr}))
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	fine(t, f.Apply([]Service{web(cluster.Tunnel, "10.7.1.100", 80)}))
	fine(t, f.SetTable("web", tableOf("rr", "10.7.1.11", "10.7.1.12", "10.7.3.31", "10.66.0.1", "10.7.1.2")))
	stop := start(t, f)
	managed := func(addr string) bool {
		n := neighbour(t, "dir0", addr)
		return n.FlagsExt&netlink.NTF_EXT_MANAGED != 0 && n.State&netlink.NUD_REACHABLE != 0
	}
	until(t, "the node is resolved", func() bool { return managed("10.7.1.11") })
	until(t, "the router is resolved", func() bool { return managed("10.7.1.254") })
	if n := neighbour(t, "dir0", "10.7.1.12"); n.State != netlink.NUD_PERMANENT || n.FlagsExt != 0 {
		t.Errorf("got %+v, want what was written down left alone", n)
	}
	until(t, "the path's MTU is known", func() bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		n := f.services["web"].members[seat{"t3", netip.MustParseAddrPort("10.7.3.31:8080")}]
		return get[directorNode](t, f.kernel.Nodes, n.place).Mtu == 1400
	})
	st := f.Status()
	if !strings.Contains(strings.Join(st.Wrong, "\n"), "no route to 10.66.0.1: connect this machine") {
		t.Errorf("got %q, want the node that cannot be reached", st.Wrong)
	}
	if nodes := st.Services[0].Nodes; !nodes[4].Local || nodes[0].Local {
		t.Errorf("got %+v, want the last one to be here", nodes)
	}
	fine(t, f.SetTable("web", tableOf("rr", "10.7.1.11")))
	until(t, "nodes without flows are let go", func() bool { return neighbour(t, "dir0", "10.7.1.254").FlagsExt == 0 })
	fine(t, f.Apply([]Service{web(cluster.NAT, "10.7.1.100", 80)}))
	fine(t, f.SetTable("web", tableOf("rr", "10.7.1.11")))
	until(t, "with nat, the gateway by which replies go on is resolved", func() bool { return managed("10.7.1.254") })
	stop()
	if n := neighbour(t, "dir0", "10.7.1.11"); n.FlagsExt != 0 {
		t.Errorf("got %+v, want nothing kept after the end", n)
	}
}

func TestAClientHeedsAReset(t *testing.T) {
	m := newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	dress(t, "dir0", "fd07:1::2/64")
	m.do(func() { dress(t, "eth0", "fd07:1::11/64") })
	r, err := newResetter()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for _, addr := range []string{"10.7.1.2:0", "[fd07:1::2]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var client net.Conn
		m.do(func() { client, err = net.Dial("tcp", l.Addr().String()) })
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		_, err = server.Write([]byte("hello"))
		fine(t, err)
		_, err = io.ReadFull(client, make([]byte, 5))
		fine(t, err)
		from, to := netip.MustParseAddrPort(server.LocalAddr().String()), netip.MustParseAddrPort(server.RemoteAddr().String())
		seq := nextOf(t, server.(*net.TCPConn))
		fine(t, r.send(from, to, seq))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v, want a reset", addr, err)
		}
	}
}

// nextOf is the sequence number of what the connection would send next.
func nextOf(t *testing.T, c *net.TCPConn) (seq uint32) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fine(t, raw.Control(func(fd uintptr) {
		fine(t, unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR, 1))
		fine(t, unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, 2)) // what is sent
		v, err := unix.GetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
		fine(t, err)
		seq = uint32(v)
		fine(t, unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR, 0))
	}))
	return seq
}
