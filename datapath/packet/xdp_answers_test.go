package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// judgeAnswer looks at what the director itself says to a client: a reset, or an ICMP error.
func (o *oracle) judgeAnswer(port string, in []byte, r reading, v verdict, out []byte, q reading) error {
	back := v == sent && bytes.Equal(out[:6], in[6:12]) && bytes.Equal(out[6:12], in[:6])
	if err := o.judgeFrame(port, v, out, q, places["router"].mac, "me", 0); err != nil && !back {
		return err
	}
	switch {
	case q.src != r.dst || q.headResidue(out) != 0 || q.residue(out) != 0:
		return errors.New("the answer is not from the VIP, or its checksum is wrong")
	case q.end != len(out):
		return fmt.Errorf("the answer has %d bytes, its header counts %d", len(out), q.end)
	case q.fragment || q.extended > 0 || q.hops < 60:
		return errors.New("the answer is a fragment, or will not get far")
	case !r.src.IsGlobalUnicast() || r.failed(in) || r.later:
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
		f := o.offers[id]
		for _, n := range f.nodes {
			failed := r.failed(in)
			if f.dispatch != dispatches["nat"] || front.vip.Is6() != r.six || !failed && (n.addr != r.src || front.proto != r.proto) {
				continue
			}
			p := hopped(in, r)
			if failed {
				turned(p, r, false, front.vip, front.port)
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
// that it quotes (RFC 5508 4.2). p is the packet from its network layer on.
func turned(p []byte, r reading, to bool, addr netip.Addr, port uint16) {
	above := r.above - r.network
	before := bytes.Clone(p[above:])
	at := 12 // of the address, in both headers the other way round
	quoted := p[above+8:]
	inside := 16
	width := 4
	if r.six {
		at, inside, width = 8, 24, 16
	}
	if to {
		at, inside = inside, at
	}
	was := bytes.Clone(p[at : at+width])
	old := bytes.Clone(quoted[inside : inside+width])
	if r.six {
		copy(p[at:], addr.AsSlice())
		copy(quoted[inside:], addr.AsSlice())
	} else {
		replace(p, at, addr.AsSlice(), 10, false)
		replace(quoted, inside, addr.AsSlice(), 10, false)
	}
	proto, head := quoted[9], int(quoted[0]&15)*4
	if r.six {
		proto, head = quoted[6], 40
	}
	l4 := quoted[head:]
	end := 2
	if to {
		end = 0
	}
	sumAt := 16
	if proto == uint8(UDP) {
		sumAt = 6
	}
	if len(l4) < sumAt+2 || proto == uint8(UDP) && be16(l4[6:]) == 0 {
		sumAt = -1
	} else {
		pseudo := append(append([]byte(nil), old...), l4[sumAt:sumAt+2]...)
		replace(pseudo, 0, addr.AsSlice(), width, proto == uint8(UDP))
		copy(l4[sumAt:], pseudo[width:])
	}
	if port != 0 {
		replace(l4, end, binary.BigEndian.AppendUint16(nil, port), sumAt, proto == uint8(UDP))
	}
	after := bytes.Clone(p[above:])
	if len(before)%2 == 1 {
		before, after = append(before, 0), append(after, 0)
	}
	if r.six {
		before, after = append(before, was...), append(after, addr.AsSlice()...)
	}
	copy(after[2:4], before[2:4])
	mended := append(bytes.Clone(before), before[2:4]...)
	// The checksum stands behind a copy of all that it covers, so that it can be mended as such.
	replace(mended, 4, after[4:], len(before), false)
	copy(p[above+2:], mended[len(before):])
}
