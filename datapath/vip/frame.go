package vip

import (
	"encoding/binary"
	"net/netip"
)

// Frames of ARP (RFC 826) and neighbour discovery (RFC 4861): whether somebody has an address, and that we have it.

type mac [6]byte

var broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	arpRequest, arpReply             = 1, 2
	neighbourSolicit, neighbourTells = 135, 136
)

// ask asks the LAN who has the address, in nobody's name: no neighbour learns from it (RFC 5227 2.1.1, RFC 4862 5.4.2).
func ask(from mac, a netip.Addr) []byte {
	if a.Is4() {
		return arp(arpRequest, from, netip.IPv4Unspecified(), mac{}, a)
	}
	group := a.As16()
	copy(group[:13], []byte{0xff, 0x02, 12: 1}) // the solicited-node address (RFC 4291 2.7.1): a's last 24 bits stay
	group[11], group[12] = 1, 0xff
	return neighbour(from, netip.IPv6Unspecified(), netip.AddrFrom16(group), neighbourSolicit, 0, a, nil)
}

// tell tells the LAN that we have the address. Neighbours that know it already take the new place; an ARP announcement is
// made as request and as reply, since machines differ in what they learn from (RFC 5227 3).
func tell(from mac, a netip.Addr, router bool) [][]byte {
	if a.Is4() {
		return [][]byte{arp(arpRequest, from, a, mac{}, a), arp(arpReply, from, a, from, a)}
	}
	flags := byte(0x20) // override (RFC 4861 4.4)
	if router {
		flags |= 0x80
	}
	option := append([]byte{2, 1}, from[:]...) // target link-layer address
	return [][]byte{neighbour(from, a, netip.IPv6LinkLocalAllNodes(), neighbourTells, flags, a, option)}
}

func ethernet(to, from mac, proto uint16) []byte {
	b := append(append(make([]byte, 0, 86), to[:]...), from[:]...)
	return binary.BigEndian.AppendUint16(b, proto)
}

func arp(op uint16, from mac, sender netip.Addr, to mac, target netip.Addr) []byte {
	b := ethernet(broadcast, from, etherARP)
	b = append(b, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, and the lengths of their addresses
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(append(b, from[:]...), sender.AsSlice()...)
	return append(append(b, to[:]...), target.AsSlice()...)
}

func neighbour(from mac, src, dst netip.Addr, kind, flags byte, target netip.Addr, option []byte) []byte {
	group := dst.As16()
	b := ethernet(mac{0x33, 0x33, group[12], group[13], group[14], group[15]}, from, etherIPv6)
	length := uint16(24 + len(option))
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, length)
	b = append(b, 58, 255) // ICMPv6; 255 says that no router was between (RFC 4861 7.1)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	message := append([]byte{kind, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice()...)
	message = append(message, option...)
	binary.BigEndian.PutUint16(message[2:], checksum(b[22:54], length, message))
	return append(b, message...)
}

// checksum is that of ICMPv6 (RFC 8200 8.1): of both addresses, the length, the protocol, and the message.
func checksum(addrs []byte, length uint16, message []byte) uint16 {
	sum := uint32(length) + 58
	for _, part := range [][]byte{addrs, message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// claim reads who says in a frame that it has an address, and which.
func claim(frame []byte) (from mac, a netip.Addr, is bool) {
	if len(frame) < 14 {
		return from, a, false
	}
	b := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		if len(b) < 28 || [6]byte(b[:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
			return from, a, false
		}
		a = netip.AddrFrom4([4]byte(b[14:18]))
		return mac(b[8:14]), a, !a.IsUnspecified()
	case etherIPv6:
		const head, message = 40, 24
		if len(b) < head+message || b[0]>>4 != 6 || b[6] != 58 || b[7] != 255 || b[head] != neighbourTells || b[head+1] != 0 {
			return from, a, false
		}
		from = mac(frame[6:12])
		if option := b[head+message:]; len(option) >= 8 && option[0] == 2 && option[1] == 1 {
			from = mac(option[2:8])
		}
		return from, netip.AddrFrom16([16]byte(b[head+8 : head+24])), true
	}
	return from, a, false
}
