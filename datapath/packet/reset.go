package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A resetter sends TCP resets in the name of others, and asks whether who should get one still listens.
type resetter struct{ four, six int }

func newResetter() (*resetter, error) {
	// IPPROTO_RAW: the header comes with the packet (raw(7), ipv6(7)).
	four, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a raw socket, to reset flows: %w", raw(err))
	}
	six, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		_ = unix.Close(four) // nothing was sent
		return nil, fmt.Errorf("open a raw socket, to reset flows: %w", raw(err))
	}
	return &resetter{four, six}, nil
}

func raw(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: run as root, or with CAP_NET_RAW (%w)", ErrRights, err)
	}
	return err
}

func (r *resetter) close() {
	_ = unix.Close(r.four) // nothing is waiting in it
	if r.six >= 0 {
		_ = unix.Close(r.six)
	}
}

// send sends a reset. seq is what the receiver expects next: nothing else is heeded (RFC 5961 3).
func (r *resetter) send(from, to netip.AddrPort, seq uint32) error {
	return r.write(appendSegment(nil, from, to, seq, flagRST), to)
}

// ask has the receiver say something: to what it has had already it answers with what it expects next (RFC 9293 3.10.7.4).
// TCP's own keep-alive asks like this (RFC 9293 3.8.4).
func (r *resetter) ask(from, to netip.AddrPort, next uint32) error {
	return r.write(appendSegment(nil, from, to, next-1, flagACK), to)
}

func (r *resetter) write(p []byte, to netip.AddrPort) error {
	if to.Addr().Is4() {
		return unix.Sendto(r.four, p, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	}
	return unix.Sendto(r.six, p, 0, &unix.SockaddrInet6{Addr: to.Addr().As16()})
}

const (
	ttl      = 64
	flagRST  = 0x04
	flagACK  = 0x10
	tcpBytes = 20
)

// appendSegment appends a whole packet without content: IP header, TCP header.
func appendSegment(b []byte, from, to netip.AddrPort, seq uint32, flags byte) []byte {
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	if to.Addr().Is4() {
		b = append(b, 0x45, 0, 0, 20+tcpBytes, 0, 0, 0, 0, ttl, unix.IPPROTO_TCP, 0, 0) // the kernel fills the rest in
	} else {
		b = append(b, 0x60, 0, 0, 0, 0, tcpBytes, unix.IPPROTO_TCP, ttl)
	}
	b = append(append(b, src...), dst...)
	at := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0, tcpBytes/4<<4, flags, 0, 0, 0, 0, 0, 0)
	// The pseudo-header (RFC 9293 3.1, RFC 8200 8.1) sums up to the same in both families.
	sum := onesSum(0, src)
	sum = onesSum(sum, dst)
	sum = onesSum(sum, []byte{0, unix.IPPROTO_TCP, 0, tcpBytes})
	sum = onesSum(sum, b[at:])
	binary.BigEndian.PutUint16(b[at+16:], ^fold(sum))
	return b
}

// onesSum adds an even number of bytes to a sum of 16-bit words (RFC 1071).
func onesSum(sum uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
