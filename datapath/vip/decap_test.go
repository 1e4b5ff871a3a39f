package vip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Verdicts of tcx.
const (
	next = 1<<32 - 1
	drop = 2
)

const testMSS = 1400

// loaded are the programs, for a node that has both VIPs through tunnels.
func loaded(t testing.TB) *programs {
	t.Helper()
	p, err := loadPrograms("")
	if errors.Is(err, ErrRights) {
		t.Skip("not root: it loads a program into the kernel")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.close() }) // nothing is pinned
	err = p.fill(inside{
		own: []netip.Addr{node4, node6}, directors: []netip.Addr{director4, director6},
		vips: map[netip.Addr]uint16{vip4: testMSS, vip6: testMSS}, gue: []uint16{GUEPort},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// put runs a program on one frame, and says also what was counted.
func put(t testing.TB, p *programs, prog *ebpf.Program, in []byte) (verdict uint32, out []byte, counted []Fate) {
	t.Helper()
	before, _, err := p.figures()
	if err != nil {
		t.Fatal(err)
	}
	opts := ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+256), Repeat: 1}
	verdict, err = prog.Run(&opts)
	if err != nil {
		t.Fatalf("run it on %d bytes: %v", len(in), err)
	}
	after, _, err := p.figures()
	if err != nil {
		t.Fatal(err)
	}
	for f := range after {
		for range after[f] - before[f] {
			counted = append(counted, fates[f])
		}
	}
	return verdict, opts.DataOut, counted
}

func TestUnwrap(t *testing.T) {
	p := loaded(t)
	for _, inner := range [][]byte{syn(vip4, 0), syn(vip6, 0)} {
		proto := protoOf(inner)
		from4, from6 := ip4{src: director4, dst: node4, proto: proto}, ip6{src: director6, dst: node6, next: proto}
		udp4, udp6 := from4, from6
		udp4.proto, udp6.next = protoUDP, protoUDP
		wrong := func(change func(p *ip4)) []byte {
			p := from4
			change(&p)
			return frame(p.with(inner))
		}
		other := syn(netip.MustParseAddr("10.7.1.101"), 0)
		if proto == protoIP6 {
			other = syn(netip.MustParseAddr("fd07:1::101"), 0)
		}
		changed := func(at int, value byte) []byte {
			b := bytes.Clone(inner)
			b[at] = value
			return b
		}
		lengthAt := 3
		if proto == protoIP6 {
			lengthAt = 5
		}
		good := frame(inner)
		for _, c := range []struct {
			name    string
			in      []byte
			out     []byte // nil: as it came
			verdict uint32
			fate    Fate // empty: not even counted
		}{
			{"in IPv4", frame(from4.with(inner)), good, next, "unwrapped"},
			{"in IPv6", frame(from6.with(inner)), good, next, "unwrapped"},
			{"in IPv4 with options", wrong(func(p *ip4) { p.options = []byte{7, 7, 4, 0, 0, 0, 0, 0} }), good, next, "unwrapped"},
			{"in IPv4 that must not be fragmented", wrong(func(p *ip4) { p.frag = 0x4000 }), good, next, "unwrapped"},
			{"in IPv4 with padding behind", cat(frame(from4.with(inner)), make([]byte, 9)), cat(good, make([]byte, 9)), next, "unwrapped"},
			{"in GUE in IPv4", frame(udp4.with(udpTo(GUEPort, gue(proto, inner)))), good, next, "unwrapped"},
			{"in GUE in IPv6", frame(udp6.with(udpTo(GUEPort, gue(proto, inner)))), good, next, "unwrapped"},
			{"in GUE with more in the datagram", frame(udp4.with(udpTo(GUEPort, gue(proto, cat(inner, []byte("more")))))), cat(good, []byte("more")), next, "unwrapped"},

			{"not in a tunnel", good, nil, next, ""},
			{"from nobody we know", wrong(func(p *ip4) { p.src = stranger4 }), nil, next, "not-from-a-director"},
			{"from nobody we know, in IPv6", frame(ip6{src: stranger6, dst: node6, next: proto}.with(inner)), nil, next, "not-from-a-director"},
			{"from nobody we know, in GUE", frame(ip4{src: stranger4, dst: node4, proto: protoUDP}.with(udpTo(GUEPort, gue(proto, inner)))), nil, next, "not-from-a-director"},
			{"to another node", wrong(func(p *ip4) { p.dst = stranger4 }), nil, next, ""},
			{"to the VIP itself", wrong(func(p *ip4) { p.dst = vip4 }), nil, next, ""},
			{"to another port", frame(udp4.with(udpTo(6081, gue(proto, inner)))), nil, next, ""},
			{"another protocol", wrong(func(p *ip4) { p.proto = 47 }), nil, next, ""},
			{"a header's checksum is wrong", wrong(func(p *ip4) { p.broken = true }), nil, next, ""},
			{"options, and the checksum is wrong", wrong(func(p *ip4) { p.options, p.broken = []byte{1, 1, 1, 0}, true }), nil, next, ""},
			{"the first fragment", wrong(func(p *ip4) { p.frag = 0x2000 }), nil, next, "fragment"},
			{"a later fragment", wrong(func(p *ip4) { p.frag = 185 }), nil, next, "fragment"},
			{"a fragment from nobody we know", wrong(func(p *ip4) { p.src, p.frag = stranger4, 185 }), nil, next, ""},
			{"a fragment of GUE", frame(ip4{src: director4, dst: node4, proto: protoUDP, frag: 0x2000}.with(udpTo(GUEPort, gue(proto, inner)))), nil, next, ""},
			{"a fragment of IPv6", frame(ip6{src: director6, dst: node6, next: protoFrag}.with(cat([]byte{proto, 0, 0, 1, 0, 0, 0, 7}, inner))), nil, next, ""},

			{"for no VIP of ours", frame(from4.with(other)), nil, drop, "not-for-a-vip"},
			{"for no VIP of ours, in GUE", frame(udp6.with(udpTo(GUEPort, gue(proto, other)))), nil, drop, "not-for-a-vip"},
			{"cut short", frame(from4.with(inner))[:14+20+len(inner)-1], nil, drop, "malformed"},
			{"the outer length is too small", wrong(func(p *ip4) { p.short = 1 }), nil, drop, "malformed"},
			{"the outer length of IPv6 is too small", frame(ip6{src: director6, dst: node6, next: proto, short: 1}.with(inner)), nil, drop, "malformed"},
			{"nothing inside", frame(from4.with(nil)), nil, drop, "malformed"},
			{"the inner length is too large", frame(from4.with(changed(lengthAt, inner[lengthAt]+1))), nil, drop, "malformed"},
			{"the inner version is wrong", frame(from4.with(changed(0, 0x55))), nil, drop, "malformed"},
			{"the UDP length is too small", frame(udp4.with(shorter(udpTo(GUEPort, gue(proto, inner)), 1))), nil, drop, "malformed"},
			{"the UDP length is too large", frame(udp4.with(shorter(udpTo(GUEPort, gue(proto, inner)), -1))), nil, drop, "malformed"},
			{"the UDP length is less than its header", frame(udp4.with(shorter(udpTo(GUEPort, gue(proto, inner)), len(inner)+5))), nil, drop, "malformed"},
			{"GUE variant 1", frame(udp4.with(udpTo(GUEPort, inner))), nil, drop, "strange"},
			{"a GUE control message", frame(udp4.with(udpTo(GUEPort, cat([]byte{0x20, proto, 0, 0}, inner)))), nil, drop, "strange"},
			{"GUE with optional fields", frame(udp4.with(udpTo(GUEPort, cat([]byte{1, proto, 0, 1, 0, 0, 0, 0}, inner)))), nil, drop, "strange"},
			{"GUE with another protocol", frame(udp4.with(udpTo(GUEPort, gue(47, inner)))), nil, drop, "strange"},
		} {
			t.Run(fmt.Sprintf("IPv%d %s", inner[0]>>4, c.name), func(t *testing.T) {
				want := c.out
				if want == nil {
					want = c.in
				}
				verdict, out, counted := put(t, p, p.Unwrap, c.in)
				if verdict != c.verdict {
					t.Errorf("verdict %d, want %d", verdict, c.verdict)
				}
				if diff := cmp.Diff(want, out); diff != "" {
					t.Errorf("the packet: %s", diff)
				}
				var fates []Fate
				if c.fate != "" {
					fates = []Fate{c.fate}
				}
				if diff := cmp.Diff(fates, counted); diff != "" {
					t.Errorf("counted: %s", diff)
				}
			})
		}
	}
}

// shorter lowers the length that a datagram says it has.
func shorter(udp []byte, by int) []byte {
	b := bytes.Clone(udp)
	binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])-uint16(by))
	return b
}

// RFC 6040, figure 4: what the mark becomes, by that of the outer header and that of the inner one. 9: dropped.
func TestCongestionMarks(t *testing.T) {
	p := loaded(t)
	const notECT, ect0, ect1, ce = 0, 2, 1, 3
	becomes := map[[2]byte]byte{
		{notECT, notECT}: notECT, {ect0, notECT}: ect0, {ect1, notECT}: ect1, {ce, notECT}: ce,
		{notECT, ect0}: notECT, {ect0, ect0}: ect0, {ect1, ect0}: ect1, {ce, ect0}: ce,
		{notECT, ect1}: notECT, {ect0, ect1}: ect1, {ect1, ect1}: ect1, {ce, ect1}: ce,
		{notECT, ce}: 9, {ect0, ce}: ce, {ect1, ce}: ce, {ce, ce}: ce,
	}
	for marks, want := range becomes {
		inner, outer := marks[0], marks[1]
		for _, v := range []netip.Addr{vip4, vip6} {
			packet := syn(v, inner)
			for _, in := range [][]byte{
				frame(ip4{src: director4, dst: node4, proto: protoOf(packet), tos: 0xb8 | outer}.with(packet)),
				frame(ip6{src: director6, dst: node6, next: protoOf(packet), ecn: outer}.with(packet)),
			} {
				verdict, out, counted := put(t, p, p.Unwrap, in)
				if want == 9 {
					if verdict != drop || len(counted) != 1 || counted[0] != "congested" {
						t.Errorf("%d in %d: verdict %d, %v: want it dropped", inner, outer, verdict, counted)
					}
					continue
				}
				if diff := cmp.Diff(frame(syn(v, want)), out); verdict != next || diff != "" {
					t.Errorf("%d in %d to %s: verdict %d, %s", inner, outer, v, verdict, diff)
				}
			}
		}
	}
}

func TestClamp(t *testing.T) {
	p := loaded(t)
	const syn, synAck, ack = 0x02, 0x12, 0x10
	mss := func(n uint16) []byte { return append([]byte{2, 4}, byte(n>>8), byte(n)) }
	segment := func(src, dst netip.Addr, flags byte, options []byte) []byte {
		s := tcpSegment(src, dst, 80, 50000, 7, 8, flags, options, nil)
		if src.Is4() {
			return frame(ip4{src: src, dst: dst, proto: protoTCP, frag: 0x4000}.with(s))
		}
		return frame(ip6{src: src, dst: dst, next: protoTCP}.with(s))
	}
	for _, c := range []struct {
		name      string
		flags     byte
		options   []byte
		becomes   []byte // nil: it stays
		elsewhere bool   // from an address that is no VIP
	}{
		{"too large", synAck, mss(1460), mss(testMSS), false},
		{"just right", synAck, mss(testMSS), nil, false},
		{"small", synAck, mss(536), nil, false},
		{"behind others", synAck, cat([]byte{4, 2, 1, 3, 3, 7, 1, 1}, mss(1460)), cat([]byte{4, 2, 1, 3, 3, 7, 1, 1}, mss(testMSS)), false},
		{"at an odd place", synAck, cat([]byte{1}, mss(1460), []byte{1, 1, 0}), cat([]byte{1}, mss(testMSS), []byte{1, 1, 0}), false},
		{"at an odd place behind others", synAck, cat([]byte{3, 3, 7}, mss(9000), []byte{0}), cat([]byte{3, 3, 7}, mss(testMSS), []byte{0}), false},
		{"the last of many", synAck, cat(bytes.Repeat([]byte{1}, 36), mss(1460)), cat(bytes.Repeat([]byte{1}, 36), mss(testMSS)), false},
		{"with ECN", synAck | 0x40, mss(1460), mss(testMSS), false},
		{"none", synAck, nil, nil, false},
		{"behind the end", synAck, cat([]byte{0, 0, 0, 0}, mss(1460)), nil, false},
		{"an option without length", synAck, cat([]byte{5, 0, 0, 0}, mss(1460)), nil, false},
		{"an option that is too long", synAck, cat([]byte{5, 60, 0, 0}, mss(1460)), nil, false},
		{"an MSS of another length", synAck, []byte{2, 3, 9, 9}, nil, false},
		{"a SYN of our own", syn, mss(1460), nil, false},
		{"an ACK", ack, mss(1460), nil, false},
		{"not from a VIP", synAck, mss(1460), nil, true},
	} {
		for _, a := range [][3]netip.Addr{{vip4, node4, client4}, {vip6, node6, client6}} {
			t.Run(fmt.Sprintf("%s %s", c.name, a[0]), func(t *testing.T) {
				src := a[0]
				if c.elsewhere {
					src = a[1]
				}
				in := segment(src, a[2], c.flags, c.options)
				want, fates := in, []Fate(nil)
				if c.becomes != nil {
					want, fates = segment(src, a[2], c.flags, c.becomes), []Fate{"clamped"}
				}
				verdict, out, counted := put(t, p, p.Clamp, in)
				if verdict != next {
					t.Errorf("verdict %d, want %d", int32(verdict), -1)
				}
				if diff := cmp.Diff(want, out); diff != "" {
					t.Errorf("the packet: %s", diff)
				}
				if diff := cmp.Diff(fates, counted); diff != "" {
					t.Errorf("counted: %s", diff)
				}
			})
		}
	}
}

func TestClampLeavesTheRest(t *testing.T) {
	p := loaded(t)
	s := tcpSegment(vip4, client4, 80, 50000, 7, 8, 0x12, []byte{2, 4, 5, 0xb4}, nil)
	for name, in := range map[string][]byte{
		"UDP":              frame(ip4{src: vip4, dst: client4, proto: protoUDP}.with(udpTo(50000, make([]byte, 40)))),
		"UDP in IPv6":      frame(ip6{src: vip6, dst: client6, next: protoUDP}.with(udpTo(50000, make([]byte, 40)))),
		"a later fragment": frame(ip4{src: vip4, dst: client4, proto: protoTCP, frag: 100}.with(s)),
		"ARP":              arp(arpRequest, mac{2}, vip4, mac{}, client4),
	} {
		verdict, out, counted := put(t, p, p.Clamp, in)
		if verdict != next || counted != nil || !bytes.Equal(in, out) {
			t.Errorf("%s: verdict %d, counted %v, changed %v", name, int32(verdict), counted, !bytes.Equal(in, out))
		}
	}
}

func TestFillReplaces(t *testing.T) {
	p := loaded(t)
	in := frame(ip4{src: director4, dst: node4, proto: protoIP4}.with(syn(vip4, 0)))
	if _, _, counted := put(t, p, p.Unwrap, in); counted[0] != "unwrapped" {
		t.Fatal(counted)
	}
	err := p.fill(inside{own: []netip.Addr{node4}, directors: []netip.Addr{stranger4}, vips: map[netip.Addr]uint16{vip4: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, counted := put(t, p, p.Unwrap, in); counted[0] != "not-from-a-director" {
		t.Errorf("a director that is none any more: %v", counted)
	}
}

func TestWithoutRights(t *testing.T) {
	if err := explain(unix.EPERM); !errors.Is(err, ErrRights) {
		t.Error(err)
	}
}
