package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"muster/lab/testbed"
)

// A sender sends packets as they are, whatever sender they name, from a machine of the lab.
type sender struct {
	from *testbed.Machine
	fd   [2]int // raw sockets: IPv4, IPv6
}

func newSender(from *testbed.Machine) (*sender, error) {
	s := &sender{from: from, fd: [2]int{-1, -1}}
	err := from.Do(func() (err error) {
		if s.fd[0], err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		if s.fd[1], err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		return unix.SetsockoptInt(s.fd[1], unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1)
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open a raw socket: %w", err)
	}
	return s, nil
}

func (s *sender) close() {
	for _, fd := range s.fd {
		if fd >= 0 {
			_ = unix.Close(fd) // it was only sent with
		}
	}
}

// send sends a packet that begins with its IP header.
func (s *sender) send(packet []byte, to netip.Addr) error {
	if to.Is4() {
		return unix.Sendto(s.fd[0], packet, 0, &unix.SockaddrInet4{Addr: to.As4()})
	}
	return unix.Sendto(s.fd[1], packet, 0, &unix.SockaddrInet6{Addr: to.As16()})
}

// A flood is SYNs from clients that do not exist.
type flood struct {
	to      []netip.AddrPort
	sources []netip.Prefix // one for each of to
	rate    int            // a second
	length  time.Duration
}

// send sends the flood, and returns how many packets went out.
func (f flood) send(ctx context.Context, s *sender) (sent int64, err error) {
	err = s.from.Do(func() error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		random := rand.New(rand.NewPCG(1, 2))
		began := time.Now()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case now := <-tick.C:
				since := min(now.Sub(began), f.length)
				for due := int64(since.Seconds() * float64(f.rate)); sent < due; sent++ {
					i := int(sent) % len(f.to)
					p, err := syn(within(f.sources[i], random.Uint64()), f.to[i], random)
					if err != nil {
						return err
					}
					if err := s.send(p, f.to[i].Addr()); err != nil && !errors.Is(err, unix.ENOBUFS) {
						return fmt.Errorf("send a SYN to %s: %w", f.to[i], err)
					}
				}
				if since == f.length {
					return nil
				}
			}
		}
	})
	return sent, err
}

// within is the n-th address of the network, or with a larger n one of the first again.
func within(network netip.Prefix, n uint64) netip.Addr {
	b := network.Addr().AsSlice()
	free := min(64, network.Addr().BitLen()-network.Bits())
	for i := 0; free > 0; i, free, n = i+1, free-8, n>>8 {
		mask := byte(0xff)
		if free < 8 {
			mask = 1<<free - 1
		}
		b[len(b)-1-i] |= byte(n) & mask
	}
	a, _ := netip.AddrFromSlice(b) // it has the length that it had
	return a
}

// syn is the first packet of a connection.
func syn(from netip.Addr, to netip.AddrPort, random *rand.Rand) ([]byte, error) {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(1024 + random.IntN(64000)), DstPort: layers.TCPPort(to.Port()),
		Seq: random.Uint32(), SYN: true, Window: 64240,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}}},
	}
	ip := header(from, to.Addr(), layers.IPProtocolTCP)
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	return wire(ip, tcp)
}

// An internet is an IP header of either version.
type internet interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}

func header(from, to netip.Addr, proto layers.IPProtocol) internet {
	if from.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

func wire(list ...gopacket.SerializableLayer) ([]byte, error) {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		return nil, fmt.Errorf("make a packet: %w", err)
	}
	return b.Bytes(), nil
}

// fragments are a datagram in pieces of at most size bytes of its payload each, which is rounded down to a multiple of 8.
func fragments(from, to netip.AddrPort, payload []byte, id uint32, size int) (list [][]byte, err error) {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	whole := header(from.Addr(), to.Addr(), layers.IPProtocolUDP)
	if err := udp.SetNetworkLayerForChecksum(whole); err != nil {
		return nil, err
	}
	b, err := wire(udp, gopacket.Payload(payload))
	if err != nil {
		return nil, err
	}
	size &^= 7
	for at := 0; at < len(b); at += size {
		piece, more := b[at:min(at+size, len(b))], at+size < len(b)
		var p []byte
		if from.Addr().Is4() {
			ip := header(from.Addr(), to.Addr(), layers.IPProtocolUDP).(*layers.IPv4)
			ip.Id, ip.FragOffset = uint16(id), uint16(at/8)
			if more {
				ip.Flags = layers.IPv4MoreFragments
			}
			p, err = wire(ip, gopacket.Payload(piece))
		} else {
			ip := header(from.Addr(), to.Addr(), layers.IPProtocolIPv6Fragment)
			p, err = wire(ip, gopacket.Payload(append(fragmentHeader(id, at, more), piece...)))
		}
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// fragmentHeader is the extension header of RFC 8200 4.5 before UDP.
func fragmentHeader(id uint32, at int, more bool) []byte {
	b := make([]byte, 8)
	b[0] = byte(layers.IPProtocolUDP)
	offset := uint16(at)
	if more {
		offset |= 1
	}
	binary.BigEndian.PutUint16(b[2:], offset)
	binary.BigEndian.PutUint32(b[4:], id)
	return b
}
