package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// A reading is a frame as the oracle understands it: written from the RFCs, not from the program.
type reading struct {
	tags     []uint16
	network  int // where the network layer begins
	six      bool
	src, dst netip.Addr
	hops     uint8 // time to live, or hop limit
	proto    uint8
	above    int // where what the network layer carries begins
	end      int // of the packet, by its header; the frame may be longer
	extended int // extension headers that were stepped over
	routed   bool

	fragment, later bool // of a datagram; and not its first
	more            bool
	id              uint32

	ports        bool // they could be read
	sport, dport uint16
	flags        uint8 // TCP
	seq, ack     uint32
	carried      int // bytes of TCP's data

	wrong error // why a station would not take it
}

// IP protocols, and TCP's flags.
const (
	protoICMP, protoICMPv6 = 1, 58

	fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
)

var errNotIP = errors.New("no IP packet")

// read reads a frame.
func read(b []byte) (r reading) {
	if len(b) < 14 {
		return reading{wrong: errNotIP}
	}
	at := 12
	for len(b) >= at+4 && (be16(b[at:]) == 0x8100 || be16(b[at:]) == 0x88a8) {
		r.tags = append(r.tags, be16(b[at+2:])&0xfff)
		at += 4
	}
	if len(b) < at+2 {
		return reading{wrong: errNotIP}
	}
	r.network = at + 2
	switch be16(b[at:]) {
	case 0x0800:
		r.readIPv4(b)
	case 0x86dd:
		r.six = true
		r.readIPv6(b)
	default:
		r.wrong = errNotIP
	}
	if r.wrong == nil && !r.later {
		r.readPorts(b[:r.end])
	}
	return r
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

func (r *reading) readIPv4(b []byte) {
	h := b[r.network:]
	if len(h) < 20 {
		r.wrong = errors.New("the IPv4 header is cut short")
		return
	}
	r.src, r.dst = netip.AddrFrom4([4]byte(h[12:])), netip.AddrFrom4([4]byte(h[16:]))
	r.hops, r.proto, r.id = h[8], h[9], uint32(be16(h[4:]))
	length, total := int(h[0]&15)*4, int(be16(h[2:]))
	switch {
	case h[0]>>4 != 4:
		r.wrong = errors.New("the version is not 4")
	case length < 20 || len(h) < length:
		r.wrong = errors.New("the header's length is wrong")
	case total < length || total > len(h):
		r.wrong = errors.New("the total length is wrong")
	}
	off := be16(h[6:])
	r.more, r.later = off&0x2000 != 0, off&0x1fff != 0
	r.fragment = r.more || r.later
	r.above, r.end = r.network+length, r.network+total
}

func (r *reading) readIPv6(b []byte) {
	h := b[r.network:]
	if len(h) < 40 {
		r.wrong = errors.New("the IPv6 header is cut short")
		return
	}
	r.src, r.dst = netip.AddrFrom16([16]byte(h[8:])), netip.AddrFrom16([16]byte(h[24:]))
	r.hops, r.proto = h[7], h[6]
	r.end = r.network + 40 + int(be16(h[4:]))
	if h[0]>>4 != 6 || r.end > len(b) {
		r.wrong = errors.New("the version or the length is wrong")
		return
	}
	for r.above = r.network + 40; ; r.extended++ {
		x := b[min(r.above, r.end):r.end]
		length := 8
		switch r.proto {
		case 0, 60, 43, 135: // hop by hop, destination, routing, mobility
			if len(x) >= 2 {
				length = 8 + 8*int(x[1])
			}
		case 51: // authentication
			if len(x) >= 2 {
				length = 8 + 4*int(x[1])
			}
		case 44:
		default:
			return
		}
		if len(x) < length {
			r.wrong = errors.New("an extension header is cut short")
			return
		}
		switch r.proto {
		case 43:
			r.routed = r.routed || x[3] > 0
		case 44:
			r.more, r.later = x[3]&1 != 0, be16(x[2:])&^7 != 0
			r.fragment = r.more || r.later // otherwise it is whole (RFC 6946)
			r.id = binary.BigEndian.Uint32(x[4:])
		}
		r.proto = x[0]
		r.above += length
		if r.later {
			return // what follows is anything
		}
	}
}

func (r *reading) readPorts(b []byte) {
	x := b[r.above:]
	switch r.proto {
	case uint8(TCP):
		if len(x) < 20 || int(x[12]>>4)*4 < 20 || int(x[12]>>4)*4 > len(x) {
			r.wrong = errors.New("the TCP header is cut short")
			return
		}
		r.flags = x[13]
		r.seq, r.ack = binary.BigEndian.Uint32(x[4:]), binary.BigEndian.Uint32(x[8:])
		r.carried = len(x) - int(x[12]>>4)*4
	case uint8(UDP):
		if len(x) < 8 || be16(x[4:]) < 8 || !r.fragment && int(be16(x[4:])) > len(x) {
			r.wrong = errors.New("the UDP header is cut short")
			return
		}
	default:
		return
	}
	r.ports, r.sport, r.dport = true, be16(x), be16(x[2:])
}

// failed says whether it is an ICMP message about a packet that met with an error, rather than a query or an answer.
func (r *reading) failed(b []byte) bool {
	if r.wrong != nil || r.later || r.above >= r.end {
		return false
	}
	kind := b[r.above]
	if r.six {
		return r.proto == protoICMPv6 && kind < 128
	}
	return r.proto == protoICMP && (kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12)
}

// sum is the Internet checksum's sum of bytes (RFC 1071), 0xffff never being 0 and the other way round.
func sum(parts ...[]byte) uint32 {
	var total uint64
	for _, b := range parts {
		for ; len(b) >= 2; b = b[2:] {
			total += uint64(be16(b))
		}
		if len(b) == 1 {
			total += uint64(b[0]) << 8
		}
	}
	return uint32(total % 0xffff) // 0 and 0xffff are one
}

// residue is what the checksum of the layer above the network's leaves: 0 if it is right.
func (r *reading) residue(b []byte) uint32 {
	var pseudo []byte
	if r.proto != protoICMP {
		pseudo = append(append(pseudo, r.src.AsSlice()...), r.dst.AsSlice()...)
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(r.end-r.above))
		pseudo = append(pseudo, 0, r.proto)
	}
	return sum(pseudo, b[r.above:r.end])
}

// headResidue is what the checksum of an IPv4 header leaves: 0 if it is right.
func (r *reading) headResidue(b []byte) uint32 {
	if r.six {
		return 0
	}
	return sum(b[r.network:r.above])
}
