package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// judgeAnswer looks at what the director itself says to a client, from the VIP, or to a node, from its own address: a reset,
// or an ICMP error.
func (o *oracle) judgeAnswer(port string, in []byte, r reading, v verdict, out []byte, q reading) error {
	back := v == sent && bytes.Equal(out[:6], in[6:12]) && bytes.Equal(out[6:12], in[:6])
	if err := o.judgeFrame(port, v, out, q, places["router"].mac, "me", 0); err != nil && !back {
		return err
	}
	switch {
	case q.src != r.dst && !own(q.src) || q.headResidue(out) != 0 || q.residue(out) != 0:
		return errors.New("the answer is from somebody else, or its checksum is wrong")
	case q.end != len(out):
		return fmt.Errorf("the answer has %d bytes, its header counts %d", len(out), q.end)
	case q.fragment || q.extended > 0 || q.hops < 60:
		return errors.New("the answer is a fragment, or will not get far")
	case !machine(r.src) || r.failed(in) || r.later:
		return errors.New("what came must not be answered (RFC 1122 3.2.2, RFC 4443 2.4)")
	}
	if q.proto == uint8(TCP) {
		return judgeReset(r, out, q)
	}
	if q.proto != protoICMP && q.proto != protoICMPv6 {
		return fmt.Errorf("an answer of protocol %d", q.proto)
	}
	said := out[q.above:q.end]
	quoted := said[8:]
	if len(quoted) < 28 || !bytes.HasPrefix(in[r.network:], quoted) || q.end-q.network > 1280 {
		return fmt.Errorf("it quotes %x, which is not what came, or not enough, or too much", quoted)
	}
	told := int(binary.BigEndian.Uint32(said[4:]))
	switch kind := [2]byte{said[0], said[1]}; {
	case !r.six && kind == [2]byte{3, 4}, r.six && kind == [2]byte{2, 0}:
		if told < 1280 && r.six || told < 576 || told > 1500 || r.end-r.network <= told {
			return fmt.Errorf("a packet of %d bytes is said to be larger than %d", r.end-r.network, told)
		}
		if !r.six && in[r.network+6]&0x40 == 0 && q.hops == 0 {
			return errors.New("a packet that may be divided")
		}
	case !r.six && kind == [2]byte{11, 0}, r.six && kind == [2]byte{3, 0}:
		if r.hops > 1 {
			return fmt.Errorf("it says that the time of a packet with %d hops is over", r.hops)
		}
	default:
		return fmt.Errorf("an ICMP error %v", kind)
	}
	return nil
}

// judgeReset looks at a reset (RFC 9293 3.5.2).
func judgeReset(r reading, out []byte, q reading) error {
	length := uint32(r.carried)
	for _, f := range []uint8{syn, fin} {
		if r.flags&f != 0 {
			length++
		}
	}
	switch {
	case r.proto != uint8(TCP) || r.flags&rst != 0 || r.fragment:
		return errors.New("a reset for what must not be reset")
	case q.sport != r.dport || q.dport != r.sport || q.carried != 0:
		return fmt.Errorf("a reset from port %d to %d with %d bytes", q.sport, q.dport, q.carried)
	case r.flags&ack != 0 && (q.flags != rst || q.seq != r.ack):
		return fmt.Errorf("flags %#x, sequence %d, want %#x, %d", q.flags, q.seq, rst, r.ack)
	case r.flags&ack == 0 && (q.flags != rst|ack || q.seq != 0 || q.ack != r.seq+length):
		return fmt.Errorf("flags %#x, sequence %d, acknowledging %d, want %#x, 0, %d", q.flags, q.seq, q.ack, rst|ack, r.seq+length)
	}
	return nil
}

// judgeReply looks at what a node sends to a client through nat.
func (o *oracle) judgeReply(port string, in []byte, r reading, v verdict, out []byte, q reading) error {
	if err := o.judgeFrame(port, v, out, q, places["router"].mac, "me", 0); err != nil {
		return err
	}
	if q.dst != r.dst {
		return fmt.Errorf("a packet to %s turns into one to %s", r.dst, q.dst)
	}
	var wrong error
	for front, id := range o.fronts {
		f := o.offers[id-firstService]
		for _, n := range f.nodes {
			failed := r.failed(in)
			if f.dispatch != dispatches["nat"] || front.vip.Is6() != r.six || !failed && (n.addr != r.src || front.proto != r.proto) {
				continue
			}
			p := hopped(in, r)
			if failed {
				p = turned(p, r, false, n.addr == r.src, front.vip, front.port)
			} else {
				renamed(p, r, false, front.vip, front.port)
			}
			if wrong = same(out[q.network:], p); wrong == nil {
				return nil
			}
		}
	}
	if wrong == nil {
		wrong = errors.New("no node's")
	}
	return fmt.Errorf("a packet that is to no VIP, which is no reply as it should be: %w", wrong)
}

// turned makes an ICMP error that names one end of a nat flow name the other: to the node, or from it, and in the packet
// that it quotes (RFC 5508 4.2). A router on the way that says so keeps its name: then nothing changes outside. p is the
// packet from its network layer on; nil comes back if it does not quote enough to tell a flow.
func turned(p []byte, r reading, to, outside bool, addr netip.Addr, port uint16) []byte {
	above, end := r.above-r.network, r.end-r.network
	head, proto := 40, 6
	if !r.six {
		proto = 9
	}
	if above+8+20 > end || r.six && above+8+40 > end {
		return nil
	}
	quoted := p[above+8 : end]
	if !r.six {
		head = int(quoted[0]&15) * 4
	}
	if head < 20 || len(quoted) < head+8 || quoted[0]>>4 != p[0]>>4 {
		return nil
	}
	kind, l4 := quoted[proto], quoted[head:]
	before := bytes.Clone(p[above:end])

	at, inside, side := 12, 16, 2 // of the address outside, the address inside, the port
	if r.six {
		at, inside = 8, 24
	}
	if to {
		at, inside, side = inside, at, 0
	}
	width := len(addr.AsSlice())
	was, old := bytes.Clone(p[at:at+width]), bytes.Clone(quoted[inside:inside+width])
	if r.six {
		copy(quoted[inside:], addr.AsSlice())
	} else {
		replace(quoted, inside, addr.AsSlice(), 10, false)
	}
	if outside && r.six {
		copy(p[at:], addr.AsSlice())
	} else if outside {
		replace(p, at, addr.AsSlice(), 10, false)
	}

	udp := kind == uint8(UDP)
	sumAt := 16
	if udp {
		sumAt = 6
	}
	if len(l4) < sumAt+2 || udp && be16(l4[6:]) == 0 {
		sumAt = -1
	} else {
		pseudo := append(bytes.Clone(old), l4[sumAt:sumAt+2]...)
		replace(pseudo, 0, addr.AsSlice(), width, udp)
		copy(l4[sumAt:], pseudo[width:])
	}
	if port != 0 {
		replace(l4, side, binary.BigEndian.AppendUint16(nil, port), sumAt, udp)
	}

	// The error's own checksum stands behind a copy of all that it covers, so that it can be mended as one.
	after := bytes.Clone(p[above:end])
	if len(before)%2 == 1 {
		before, after = append(before, 0), append(after, 0)
	}
	if r.six && outside {
		before, after = append(before, was...), append(after, addr.AsSlice()...)
	}
	mended := append(bytes.Clone(before), before[2:4]...)
	replace(mended, 4, after[4:], len(before), false)
	copy(p[above+2:], mended[len(before):])
	return p
}
