package vip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

// unwrapped says what must become of a frame, put differently than the program does: byte by byte, from the RFCs.
func unwrapped(in []byte) (out []byte, fate Fate) {
	p := in[14:]
	var outer, src, dst []byte
	var proto, ecn byte
	switch kind := binary.BigEndian.Uint16(in[12:]); {
	case kind == 0x0800 && len(p) >= 20 && p[0]>>4 == 4 && p[0]&15 >= 5 && len(p) >= int(p[0]&15)*4:
		head := int(p[0]&15) * 4
		src, dst, proto, ecn = p[12:16], p[16:20], p[9], p[1]&3
		if sum(p[:head]) != 0 {
			return in, ""
		}
		if fragment := binary.BigEndian.Uint16(p[6:])&0x3fff != 0; fragment {
			if (proto == protoIP4 || proto == protoIP6) && is(src, director4) && is(dst, node4) {
				return in, "fragment"
			}
			return in, ""
		}
		outer = stretch(p, head, int(binary.BigEndian.Uint16(p[2:])))
	case kind == 0x86dd && len(p) >= 40 && p[0]>>4 == 6:
		src, dst, proto, ecn = p[8:24], p[24:40], p[6], p[1]>>4&3
		outer = stretch(p, 40, 40+int(binary.BigEndian.Uint16(p[4:])))
	default:
		return in, ""
	}
	if !is(dst, node4) && !is(dst, node6) {
		return in, ""
	}
	known := is(src, director4) || is(src, director6)
	behind := p[len(p)-len(rest(p, in)):]
	inner := outer
	switch proto {
	case protoIP4, protoIP6:
		if !known {
			return in, "not-from-a-director"
		}
	case protoUDP:
		u := behind
		if len(u) < 12 || binary.BigEndian.Uint16(u[2:]) != GUEPort {
			return in, ""
		}
		if !known {
			return in, "not-from-a-director"
		}
		length := int(binary.BigEndian.Uint16(u[4:]))
		if outer == nil || length < 12 || length > len(outer) {
			return nil, "malformed"
		}
		if u[8] != 0 || u[10] != 0 || u[11] != 0 || u[9] != protoIP4 && u[9] != protoIP6 {
			return nil, "strange"
		}
		inner, proto, behind = outer[12:length], u[9], u[12:]
	default:
		return in, ""
	}
	if outer == nil {
		return nil, "malformed"
	}
	return opened(in, inner, behind, proto, ecn)
}

// stretch is what stands between two places of a packet; nil if it does not have them.
func stretch(p []byte, from, to int) []byte {
	if to < from || to > len(p) {
		return nil
	}
	return p[from:to:to]
}

// rest is what follows the outer IP header.
func rest(p, in []byte) []byte {
	if binary.BigEndian.Uint16(in[12:]) == 0x0800 {
		return p[int(p[0]&15)*4:]
	}
	return p[40:]
}

func is(b []byte, a netip.Addr) bool { return bytes.Equal(b, a.AsSlice()) }

// opened is the frame with what was inside, which begins behind.
func opened(in, inner, behind []byte, proto, outer byte) (out []byte, fate Fate) {
	out = bytes.Clone(in[:14])
	var ecn byte
	var dst []byte
	if proto == protoIP4 {
		if len(inner) < 20 || inner[0]>>4 != 4 {
			return nil, "malformed"
		}
		head, length := int(inner[0]&15)*4, int(binary.BigEndian.Uint16(inner[2:]))
		if head < 20 || length < head || length > len(inner) {
			return nil, "malformed"
		}
		dst, ecn = inner[16:20], inner[1]&3
		out[12], out[13] = 0x08, 0x00
	} else {
		if len(inner) < 40 || inner[0]>>4 != 6 || 40+int(binary.BigEndian.Uint16(inner[4:])) > len(inner) {
			return nil, "malformed"
		}
		dst, ecn = inner[24:40], inner[1]>>4&3
		out[12], out[13] = 0x86, 0xdd
	}
	if !is(dst, vip4) && !is(dst, vip6) {
		return nil, "not-for-a-vip"
	}
	const ect1, ce = 1, 3
	becomes := ecn
	switch {
	case ecn == 0 && outer == ce:
		return nil, "congested"
	case ecn != 0 && (outer == ce || outer == ect1 && ecn != ce):
		becomes = outer
	}
	at := len(out)
	out = append(out, behind...)
	if becomes != ecn && proto == protoIP6 {
		out[at+1] = out[at+1]&^0x30 | becomes<<4
	}
	if becomes != ecn && proto == protoIP4 {
		// RFC 1624, equation 3.
		before := uint32(binary.BigEndian.Uint16(out[at:]))
		out[at+1] = out[at+1]&^3 | becomes
		s := uint32(^binary.BigEndian.Uint16(out[at+10:])) + (^before & 0xffff) + uint32(binary.BigEndian.Uint16(out[at:]))
		for s > 0xffff {
			s = s>>16 + s&0xffff
		}
		binary.BigEndian.PutUint16(out[at+10:], ^uint16(s))
	}
	return out, "unwrapped"
}

// FuzzUnwrap compares the program with unwrapped, on frames that a director may send, changed at places.
func FuzzUnwrap(f *testing.F) {
	p := loaded(f)
	for _, v := range []netip.Addr{vip4, vip6} {
		for ecn := range byte(4) {
			inner := syn(v, ecn)
			proto := protoOf(inner)
			f.Add(ip4{src: director4, dst: node4, proto: proto, tos: ecn}.with(inner), []byte{})
			f.Add(ip4{src: director4, dst: node4, proto: proto, tos: 3 - ecn, options: []byte{1, 1, 1, 0}}.with(inner), []byte{20, 0x45})
			f.Add(ip6{src: director6, dst: node6, next: proto, ecn: 3 - ecn}.with(inner), []byte{41, 0, 45, 200})
			f.Add(ip4{src: director4, dst: node4, proto: protoUDP, tos: 1}.with(udpTo(GUEPort, gue(proto, inner))), []byte{28, 0x40})
			f.Add(ip6{src: director6, dst: node6, next: protoUDP, ecn: 1}.with(udpTo(GUEPort, gue(proto, inner))), []byte{45, 9})
		}
	}
	f.Fuzz(func(t *testing.T, packet, changes []byte) {
		if len(packet) == 0 || len(packet) > 3000 {
			return
		}
		in := frame(packet)
		for ; len(changes) >= 2; changes = changes[2:] {
			in[14+int(changes[0])%len(packet)] = changes[1]
		}
		mend(in)
		head := 20
		if in[12] == 0x86 {
			head = 40
		}
		if len(in) < 14+head {
			return // the kernel does not put such a frame before a program
		}
		want, fate := unwrapped(bytes.Clone(in))
		verdict, out, counted := put(t, p, p.Unwrap, in)
		wantVerdict := uint32(next)
		if want == nil {
			want, wantVerdict = in, drop
		}
		var wantCounted []Fate
		if fate != "" {
			wantCounted = []Fate{fate}
		}
		if verdict != wantVerdict || fmt.Sprint(counted) != fmt.Sprint(wantCounted) || !bytes.Equal(out, want) {
			t.Errorf("in   %x\ngot  %x, verdict %d, %v\nwant %x, verdict %d, %v", in, out, int32(verdict), counted, want, int32(wantVerdict), wantCounted)
		}
	})
}

// mend makes the checksum of the outer header right, but for one in 16: else little would come further.
func mend(in []byte) {
	p := in[14:]
	if in[12] != 0x08 || len(p) < 20 || p[0]>>4 != 4 || p[4]&15 == 15 {
		return
	}
	head := int(p[0]&15) * 4
	if head < 20 || head > len(p) {
		return
	}
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], sum(p[:head]))
}

// FuzzClamp looks at what must always be so: nothing but the MSS and the checksum changes, the one to less, the other to
// what fits.
func FuzzClamp(f *testing.F) {
	p := loaded(f)
	for _, options := range [][]byte{{2, 4, 5, 0xb4}, {1, 2, 4, 5, 0xb4, 1, 1, 0}, {4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 2, 4, 0x23, 0x28}, {3, 3, 7, 0}, {}} {
		f.Add(options, false, byte(0x12))
		f.Add(options, true, byte(0x52))
	}
	f.Fuzz(func(t *testing.T, options []byte, six bool, flags byte) {
		options = append(options, make([]byte, (4-len(options)%4)%4)...)
		options = options[:min(len(options), 40)]
		src, dst := vip4, client4
		if six {
			src, dst = vip6, client6
		}
		s := tcpSegment(src, dst, 80, 50000, 7, 8, flags, options, nil)
		in := frame(ip4{src: src, dst: dst, proto: protoTCP}.with(s))
		if six {
			in = frame(ip6{src: src, dst: dst, next: protoTCP}.with(s))
		}
		_, out, counted := put(t, p, p.Clamp, in)
		if len(out) != len(in) {
			t.Fatalf("%d bytes became %d", len(in), len(out))
		}
		at := len(in) - len(s)
		if sum(pseudo(src, dst, protoTCP, len(s)), out[at:]) != 0 {
			t.Errorf("the checksum is wrong: %x became %x", in, out)
		}
		if flags&0x12 != 0x12 && len(counted) > 0 {
			t.Errorf("flags %x: %v", flags, counted)
		}
		var places []int
		for i := range in {
			if in[i] != out[i] && i != at+16 && i != at+17 {
				places = append(places, i-at-20)
			}
		}
		if len(counted) == 0 && !bytes.Equal(in, out) || len(places) > 2 {
			t.Errorf("%x became %x, counted %v", in, out, counted)
		}
		for _, i := range places {
			value := mssAt(options)
			if value < 0 || i != value && i != value+1 {
				t.Errorf("byte %d of the options %x was changed", i, options)
			}
		}
	})
}

// mssAt is where the value of the MSS option is among options, or -1.
func mssAt(o []byte) int {
	for i := 0; i+4 <= len(o) && o[i] != 0; {
		switch {
		case o[i] == 1:
			i++
		case o[i] == 2 && o[i+1] == 4:
			return i + 2
		case o[i] == 2 || o[i+1] < 2:
			return -1
		default:
			i += int(o[i+1])
		}
	}
	return -1
}

func FuzzClaim(f *testing.F) {
	for _, a := range []netip.Addr{vip4, vip6} {
		f.Add(ask(mac{2}, a))
		for _, b := range tell(mac{2}, a, true) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, a, is := claim(b); is && (!a.IsValid() || len(b) < 42) {
			t.Errorf("%x has no address, but %s was found", b, a)
		}
	})
}

func FuzzNoteDown(f *testing.F) {
	f.Add(append([]byte{32, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}, 16, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		down := map[int]bool{}
		noteDown(b, down)
		if len(down) > len(b)/32 {
			t.Errorf("%x names %d interfaces", b, len(down))
		}
	})
}
