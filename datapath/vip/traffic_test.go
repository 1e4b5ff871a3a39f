package vip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

const etherAll = 0x0003

// tap listens to all frames of the machine's port.
func (m *machine) tap() (w *wire) {
	m.t.Helper()
	m.in(func() {
		var err error
		w, err = tap("eth0", etherAll)
		must(m.t, err)
	})
	m.t.Cleanup(w.close)
	return w
}

// frames gives the frames that come in, until one is what is looked for.
func (w *wire) until(t *testing.T, what string, is func(frame []byte) bool) []byte {
	t.Helper()
	b := make([]byte, 65536)
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 100); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		n, err := unix.Read(w.fd, b)
		if err == nil && mac(b[6:12]) != w.mac && is(b[:n]) {
			return bytes.Clone(b[:n])
		}
	}
	t.Fatalf("it never came: %s", what)
	return nil
}

// synAck says whether a frame is a SYN-ACK from an address, and where its TCP header begins.
func synAck(frame []byte, from netip.Addr) (at int, is bool) {
	p := frame[14:]
	switch {
	case from.Is4() && len(p) >= 40 && p[0]>>4 == 4 && p[9] == protoTCP:
		at, is = 14+20, bytes.Equal(p[12:16], from.AsSlice())
	case from.Is6() && len(p) >= 60 && p[0]>>4 == 6 && p[6] == protoTCP:
		at, is = 14+40, bytes.Equal(p[8:24], from.AsSlice())
	}
	return at, is && frame[at+13]&0x12 == 0x12
}

// answerTo sends a frame from one machine, and returns the SYN-ACK that another then gets, but for its Ethernet header.
func answerTo(t *testing.T, sender, catcher *machine, frame []byte, from netip.Addr) (answer []byte, mss int) {
	t.Helper()
	w := catcher.tap()
	must(t, sender.tap().send(frame))
	got := w.until(t, "a SYN-ACK from "+from.String(), func(frame []byte) bool {
		_, is := synAck(frame, from)
		return is && mac(frame[:6]) == catcher.mac
	})
	at, _ := synAck(got, from)
	segment := got[at:]
	head, client := int(segment[12]>>4)*4, client4
	if from.Is6() {
		client = client6
	}
	segment = segment[:head]
	if sum(pseudo(from, client, protoTCP, len(segment)), segment) != 0 {
		t.Errorf("the SYN-ACK's checksum is wrong: %x", got)
	}
	if i := mssAt(segment[20:head]); i >= 0 {
		mss = int(binary.BigEndian.Uint16(segment[20+i:]))
	}
	return got, mss
}

// to gives a frame the machine's address.
func (m *machine) to(frame []byte) []byte {
	b := bytes.Clone(frame)
	copy(b, m.mac[:])
	return b
}

// bound listens on the machine, at every address, and has its answers leave by the router.
func (m *machine) bound(network, at string) {
	m.t.Helper()
	m.in(func() {
		if network == "tcp" {
			l, err := net.Listen(network, at)
			must(m.t, err)
			m.t.Cleanup(func() { _ = l.Close() }) // nothing is accepted
			return
		}
		c, err := net.ListenPacket(network, at)
		must(m.t, err)
		go func() { // it answers everything, as a server does that does not care for its addresses
			b := make([]byte, 2048)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(b[:n], from) // the test waits for it
			}
		}()
		m.t.Cleanup(func() { _ = c.Close() }) // it ends the reading
	})
}

func (m *machine) routed() {
	m.in(func() {
		m.ip("route add default via 10.7.1.254")
		m.ip("-6 route add default via fd07:1::fe")
		m.set("ipv4/tcp_ecn", "0")
	})
}

func accepts(tunnel Tunnel) Want {
	return Want{
		Addresses: nodeAddrs, Directors: directorAddrs,
		Accept: []Accept{{VIP: vip4, Tunnel: tunnel}, {VIP: vip6, Tunnel: tunnel}},
	}
}

// A traffic node takes what comes for the VIP, and nobody hears of it. Its own addresses are answered for, and so is, of
// an interface that is not told to be quiet, an IPv4 address on lo.
func TestNobodyHearsOfTheVIP(t *testing.T) {
	l := lan(t, routerOn, nodeOn)
	router, node := l[0], l[1]
	node.bound("tcp", ":80")
	node.routed()
	var before string
	node.in(func() {
		node.ip("addr add 10.7.1.99/32 dev lo")
		node.ip("-6 addr add fd07:1::99/128 dev lo nodad")
	})
	loud4, loud6 := netip.MustParseAddr("10.7.1.99"), netip.MustParseAddr("fd07:1::99")
	got := router.answers(vip4, vip6, node4, node6, loud4, loud6)
	if diff := cmp.Diff(map[netip.Addr]mac{node4: node.mac, node6: node.mac, loud4: node.mac}, got); diff != "" {
		t.Errorf("before: who answers: %s", diff)
	}

	var h *Host
	node.in(func() {
		node.set("ipv4/conf/eth0/rp_filter", "1")
		before = node.picture()
		h = node.host(Config{})
		w := accepts(None)
		must(t, h.Apply(w))
		fine(t, w.settings(h.ports, &tables{taken: tableTaken}))
		if got := node.sysctl("ipv4/conf/eth0/rp_filter"); got != "2" {
			t.Errorf("rp_filter is %s, want 2", got)
		}
	})
	got = router.answers(vip4, vip6, node4, node6, loud4, loud6)
	if diff := cmp.Diff(map[netip.Addr]mac{node4: node.mac, node6: node.mac}, got); diff != "" {
		t.Errorf("after: who answers: %s", diff)
	}
	for _, v := range []netip.Addr{vip4, vip6} {
		if _, mss := answerTo(t, router, router, node.to(frame(syn(v, 0))), v); mss < 1400 {
			t.Errorf("to %s, without a tunnel: MSS %d", v, mss)
		}
	}
	node.in(func() {
		must(t, h.Undo())
		if diff := cmp.Diff(before, node.picture()); diff != "" {
			t.Errorf("something is left: %s", diff)
		}
	})
}

// What a director has wrapped is answered straight, and the client told to send what still fits.
func TestTunnels(t *testing.T) {
	l := lan(t, routerOn, directorOn, nodeOn)
	router, director, node := l[0], l[1], l[2]
	node.bound("tcp", ":80")
	node.routed()
	for _, c := range []struct {
		tunnel Tunnel
		mss    map[netip.Addr]int // 1500, less both IP headers, TCP's, and what else there is
	}{
		{IPIP, map[netip.Addr]int{vip4: 1500 - 40 - 20 - 20, vip6: 1500 - 40 - 40 - 20}},
		{GUE, map[netip.Addr]int{vip4: 1500 - 40 - 12 - 20 - 20, vip6: 1500 - 40 - 12 - 40 - 20}},
	} {
		var h *Host
		node.in(func() {
			h = node.host(Config{})
			must(t, h.Apply(accepts(c.tunnel)))
		})
		for _, v := range []netip.Addr{vip4, vip6} {
			inner := syn(v, 0)
			proto, payload := protoOf(inner), inner
			outer4, outer6 := ip4{src: director4, dst: node4, proto: proto}, ip6{src: director6, dst: node6, next: proto}
			if c.tunnel == GUE {
				payload = udpTo(GUEPort, gue(proto, inner))
				outer4.proto, outer6.next = protoUDP, protoUDP
			}
			for _, packet := range [][]byte{outer4.with(payload), outer6.with(payload)} {
				_, mss := answerTo(t, director, router, node.to(frame(packet)), v)
				if mss != c.mss[v] {
					t.Errorf("tunnel %d, %s in IPv%d: MSS %d, want %d", c.tunnel, v, packet[0]>>4, mss, c.mss[v])
				}
			}
		}
		s := h.Status()
		if s.Tunnels == nil || s.Tunnels.Packets != 4 || s.Tunnels.Clamped < 4 || len(s.Tunnels.NotDone) != 0 ||
			!cmp.Equal(s.Tunnels.Ports, []string{"eth0"}) {
			t.Errorf("%+v, want 4 packets, all unpacked", s.Tunnels)
		}
		node.in(func() { must(t, h.Undo()) })
		if s := h.Status(); s.Tunnels != nil || len(s.Settings) > 0 {
			t.Errorf("%+v, want nothing", s)
		}
		must(t, h.Close())
	}
}

// Answers of an application that got packets by nat go back through the director; all others go as before.
func TestReturnThroughTheDirector(t *testing.T) {
	l := lan(t, routerOn, directorOn, nodeOn)
	router, director, node := l[0], l[1], l[2]
	node.bound("tcp", ":8080")
	node.bound("tcp", ":8081")
	node.bound("udp", ":5353")
	node.routed()
	director.in(func() {
		must(t, director.host(Config{Probe: -1, Announce: []time.Duration{}}).Apply(Want{Addresses: directorAddrs, Forward: true, Answer: []netip.Addr{vip4, vip6}}))
	})
	var before string
	var h *Host
	accepted4, accepted6 := netip.MustParseAddr("10.7.1.101"), netip.MustParseAddr("fd07:1::101")
	w := Want{
		Addresses: nodeAddrs, Directors: directorAddrs,
		Accept: []Accept{{VIP: accepted4}, {VIP: accepted6}}, // of another service, by dr
		Return: []Return{
			{Addr: netip.AddrPortFrom(node4, 8080), Proto: cluster.TCP, Via: vip4},
			{Addr: netip.AddrPortFrom(node6, 8080), Proto: cluster.TCP, Via: vip6},
			{Addr: netip.AddrPortFrom(node4, 5353), Proto: cluster.UDP, Via: vip4},
			{Addr: netip.AddrPortFrom(node6, 5353), Proto: cluster.UDP, Via: vip6},
		},
	}
	node.in(func() {
		node.set("ipv4/conf/eth0/rp_filter", "1")
		before = node.picture()
		h = node.host(Config{})
		must(t, h.Apply(w))
	})

	from, wires := director.tap(), []*wire{router.tap(), director.tap()}
	// answered says which machine gets the answer to what the director passes on to the node.
	answered := func(src, dst netip.Addr, dport uint16, udp bool) mac {
		t.Helper()
		proto := byte(protoTCP)
		payload := tcpSegment(src, dst, 50000, dport, 1, 0, 2, []byte{2, 4, 5, 0xb4}, nil)
		if udp {
			proto, payload = protoUDP, udpTo(dport, []byte("hello"))
			at := payload[6:]
			binary.BigEndian.PutUint16(at, sum(pseudo(src, dst, protoUDP, len(payload)), payload))
		}
		packet := ip4{src: src, dst: dst, proto: proto}.with(payload)
		if src.Is6() {
			packet = ip6{src: src, dst: dst, next: proto}.with(payload)
		}
		b := make([]byte, 2048)
		end := time.Now().Add(20 * time.Second)
		var sent time.Time
		for time.Now().Before(end) {
			if time.Since(sent) > time.Second { // a datagram may be lost while neighbours are looked for
				sent = time.Now()
				must(t, from.send(node.to(frame(packet))))
			}
			poll := []unix.PollFd{{Fd: int32(wires[0].fd), Events: unix.POLLIN}, {Fd: int32(wires[1].fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(poll, 100); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
			for i, m := range []*machine{router, director} {
				n, err := unix.Read(wires[i].fd, b[:cap(b)])
				if err != nil {
					continue
				}
				b := b[:n]
				head, ends := 14+20, b[min(26, n):min(34, n)]
				if src.Is6() {
					head, ends = 14+40, b[min(22, n):min(54, n)]
				}
				if len(b) >= head+4 && mac(b[6:12]) == node.mac && mac(b[:6]) == m.mac && bytes.Equal(ends, cat(dst.AsSlice(), src.AsSlice())) && binary.BigEndian.Uint16(b[head:]) == dport {
					return m.mac
				}
			}
		}
		t.Fatalf("no answer from %s to %s, port %d", dst, src, dport)
		return mac{}
	}
	for _, c := range []struct {
		name     string
		src, dst [2]netip.Addr
		port     uint16
		udp      bool
		want     *machine
	}{
		{"a client's", [2]netip.Addr{client4, client6}, [2]netip.Addr{node4, node6}, 8080, false, director},
		{"a client's datagram", [2]netip.Addr{client4, client6}, [2]netip.Addr{node4, node6}, 5353, true, director},
		{"one of the same LAN", [2]netip.Addr{netip.MustParseAddr("10.7.1.254"), netip.MustParseAddr("fd07:1::fe")}, [2]netip.Addr{node4, node6}, 8080, false, director},
		{"of another port", [2]netip.Addr{client4, client6}, [2]netip.Addr{node4, node6}, 8081, false, router},
		{"to a VIP, by dr", [2]netip.Addr{client4, client6}, [2]netip.Addr{accepted4, accepted6}, 8080, false, router},
	} {
		for i := range c.src {
			if got := answered(c.src[i], c.dst[i], c.port, c.udp); got != c.want.mac {
				t.Errorf("%s from %s: answered by %x, want %x", c.name, c.src[i], got, c.want.mac)
			}
		}
	}
	node.in(func() {
		if got := node.ip("route get 10.7.1.1 from 10.7.1.21 ipproto tcp sport 8080"); bytes.Contains([]byte(got), []byte("via")) {
			t.Errorf("to a director: %s: want it straight", got)
		}
		w.Return = w.Return[2:]
		must(t, h.Apply(w)) // the tables of what stays stay
		if got := node.ip("rule"); bytes.Contains([]byte(got), []byte("sport 8080")) || !bytes.Contains([]byte(got), []byte("sport 5353")) {
			t.Errorf("rules: %s", got)
		}
		must(t, h.Undo())
		if diff := cmp.Diff(before, node.picture()); diff != "" {
			t.Errorf("something is left: %s", diff)
		}
	})
}
