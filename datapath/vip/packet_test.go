package vip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Packets are put together here by hand: what is tested is whether each byte is right.

const (
	protoIP4  = 4
	protoTCP  = 6
	protoUDP  = 17
	protoIP6  = 41
	protoFrag = 44
)

var (
	director4, director6 = netip.MustParseAddr("10.7.1.1"), netip.MustParseAddr("fd07:1::1")
	node4, node6         = netip.MustParseAddr("10.7.1.21"), netip.MustParseAddr("fd07:1::21")
	vip4, vip6           = netip.MustParseAddr("10.7.1.100"), netip.MustParseAddr("fd07:1::100")
	client4, client6     = netip.MustParseAddr("10.7.9.9"), netip.MustParseAddr("fd07:9::9")
	stranger4, stranger6 = netip.MustParseAddr("10.7.1.66"), netip.MustParseAddr("fd07:1::66")
)

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// sum is the Internet checksum (RFC 1071).
func sum(parts ...[]byte) uint16 {
	b := cat(parts...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// frame puts an Ethernet header before a packet.
func frame(packet []byte) []byte {
	kind := []byte{0x08, 0x00}
	if len(packet) > 0 && packet[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	return cat([]byte{2, 0, 0, 0, 0, 0x21}, []byte{2, 0, 0, 0, 0, 0x01}, kind, packet)
}

// ip4 is an IPv4 packet.
type ip4 struct {
	src, dst netip.Addr
	proto    byte
	tos      byte
	frag     uint16 // flags and offset
	options  []byte // a multiple of 4
	short    int    // by how much the length is too small
	broken   bool   // the checksum is wrong
}

func (p ip4) with(payload []byte) []byte {
	b := make([]byte, 20, 60)
	b[0] = 0x40 | byte(5+len(p.options)/4)
	b[1] = p.tos
	b = append(b, p.options...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)-p.short))
	binary.BigEndian.PutUint16(b[4:], 0x1234)
	binary.BigEndian.PutUint16(b[6:], p.frag)
	b[8], b[9] = 64, p.proto
	copy(b[12:], p.src.AsSlice())
	copy(b[16:], p.dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], sum(b))
	if p.broken {
		b[10] ^= 0x55
	}
	return cat(b, payload)
}

// ip6 is an IPv6 packet.
type ip6 struct {
	src, dst netip.Addr
	next     byte
	ecn      byte
	short    int
}

func (p ip6) with(payload []byte) []byte {
	b := []byte{0x60 | 0xb8>>4, 0x80 | p.ecn<<4 | 0xa, 0xbc, 0xde, 0, 0, p.next, 64} // DSCP 46, some flow label
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)-p.short))
	return cat(b, p.src.AsSlice(), p.dst.AsSlice(), payload)
}

func udpTo(port uint16, payload []byte) []byte {
	b := []byte{0xc3, 0x50, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], port)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return cat(b, payload)
}

func gue(proto byte, payload []byte) []byte { return cat([]byte{0, proto, 0, 0}, payload) }

// tcpSegment is a segment with the right checksum.
func tcpSegment(src, dst netip.Addr, sport, dport uint16, seq, ack uint32, flags byte, options, payload []byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b[0:], sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = byte(5+len(options)/4)<<4, flags
	binary.BigEndian.PutUint16(b[14:], 0xffff)
	b = cat(b, options, payload)
	binary.BigEndian.PutUint16(b[16:], sum(pseudo(src, dst, protoTCP, len(b)), b))
	return b
}

func pseudo(src, dst netip.Addr, proto byte, length int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(length))
	return cat(src.AsSlice(), dst.AsSlice(), b, []byte{0, 0, 0, proto})
}

// syn is a client's first packet to a VIP.
func syn(vip netip.Addr, ecn byte) []byte {
	if vip.Is4() {
		return ip4{src: client4, dst: vip, proto: protoTCP, tos: 0xb8 | ecn, frag: 0x4000}.
			with(tcpSegment(client4, vip, 50000, 80, 1, 0, 2, []byte{2, 4, 5, 0xb4}, nil))
	}
	return ip6{src: client6, dst: vip, next: protoTCP, ecn: ecn}.
		with(tcpSegment(client6, vip, 50000, 80, 1, 0, 2, []byte{2, 4, 5, 0xa0}, nil))
}

// protoOf is how a packet is named by what it travels in.
func protoOf(packet []byte) byte {
	if packet[0]>>4 == 6 {
		return protoIP6
	}
	return protoIP4
}
