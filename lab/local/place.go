package local

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"

	"muster/lab/peer"
)

// A Place is where the nodes of one cluster are reached: a block of 127.0.0.0/8 that nothing else uses, so that several
// clusters can run side by side.
type Place struct {
	Director    netip.Addr
	Nodes       []netip.Addr // the traffic nodes
	Report      uint16       // ports, free on all these addresses
	Admin       uint16
	Application uint16
}

// MaxNodes is how many traffic nodes a place has room for.
const MaxNodes = 200

// FindPlace finds a free block for a director and so many traffic nodes.
func FindPlace(nodes int) (Place, error) {
	var err error
	for try := range 32 {
		block := [4]byte{127, byte(1 + rand.N(254)), byte(rand.N(256)), 1}
		p := Place{Director: netip.AddrFrom4(block), Report: 7947, Admin: 7946, Application: 8080}
		for i := range nodes {
			block[3] = byte(11 + i)
			p.Nodes = append(p.Nodes, netip.AddrFrom4(block))
		}
		if try >= 8 { // somebody listens on all addresses: other ports, then
			if err = p.otherPorts(); err != nil {
				continue
			}
		}
		if err = p.free(); err == nil {
			return p, nil
		}
	}
	return Place{}, fmt.Errorf("find free addresses for %d nodes in 127.0.0.0/8: %w", nodes, err)
}

func (p Place) all() []netip.Addr { return append([]netip.Addr{p.Director}, p.Nodes...) }

func (p *Place) otherPorts() (err error) {
	var ports [2]uint16
	for i := range ports {
		if ports[i], err = peer.FreePort(p.all()...); err != nil {
			return err
		}
	}
	p.Admin, p.Application = ports[0], ports[1]
	p.Report = p.Admin
	return nil
}

// free says whether nothing listens there.
func (p Place) free() error {
	for _, a := range p.all() {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, p.Report)))
		if err != nil {
			return err
		}
		_ = u.Close() // it was only to see
		if err := cmp.Or(Free(netip.AddrPortFrom(a, p.Admin)), Free(netip.AddrPortFrom(a, p.Application))); err != nil {
			return err
		}
	}
	return nil
}

// Free says whether a server can listen there now.
func Free(at netip.AddrPort) error {
	l, err := net.Listen("tcp", at.String())
	if err == nil {
		_ = l.Close() // it was only to see
	}
	return err
}
