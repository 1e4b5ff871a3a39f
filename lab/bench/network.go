package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"muster/lab/peer"
	"muster/lab/testbed"
)

// A Network is what clients, a proxy and nodes reach each other by.
type Network string

// The networks. Loopback spares what frames, queues and routes cost, and has packets of 64 kB.
const (
	Auto     Network = "auto"     // Veth if this process may make one, else Loopback
	Veth     Network = "veth"     // clients, proxy and nodes in network namespaces of their own, joined by veth pairs
	Loopback Network = "loopback" // all on addresses of 127.0.0.0/8
)

// Networks are all that Options.Network may be.
var Networks = []string{string(Auto), string(Veth), string(Loopback)}

// A ground is where a benchmark takes place: the hosts, and the addresses on them.
type ground struct {
	network               Network // Veth or Loopback
	clients, under, nodes peer.Host
	front                 netip.Addr   // of the proxy, for clients
	back                  netip.Addr   // of the proxy, for nodes
	webs                  []netip.Addr // of the nodes

	spaces []*testbed.Space
	port   uint16 // Veth: the last one that was given out
}

// prepare makes the network that was asked for.
func (o Options) prepare() (*ground, error) {
	switch o.Network {
	case Loopback:
		return onLoopback(o), nil
	case Veth:
		return onVeth(o)
	case Auto, "":
		if os.Geteuid() == 0 {
			if g, err := onVeth(o); err == nil {
				return g, nil
			}
		}
		return onLoopback(o), nil
	}
	return nil, fmt.Errorf("there is no network %q: it is one of %v", o.Network, Networks)
}

func onLoopback(o Options) *ground {
	g := &ground{
		network: Loopback,
		front:   netip.AddrFrom4([4]byte{127, 0, 0, 1}), back: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		webs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 11}), netip.AddrFrom4([4]byte{127, 0, 0, 12})},
	}
	g.pin(o)
	return g
}

// pin keeps the server under test to the last processor and all others to the rest, if that is wanted.
func (g *ground) pin(o Options) {
	n := runtime.NumCPU()
	if !o.Pin || n < 2 {
		return
	}
	var others []int
	for c := range n - 1 {
		others = append(others, c)
	}
	g.clients.CPUs, g.under.CPUs, g.nodes.CPUs = others, []int{n - 1}, others
}

// onVeth lays a cable from the clients to the proxy and one from there to the nodes. The addresses are seen nowhere else.
func onVeth(o Options) (*ground, error) {
	g := &ground{
		network: Veth, port: 8000,
		front: netip.AddrFrom4([4]byte{10, 0, 1, 1}), back: netip.AddrFrom4([4]byte{10, 0, 2, 1}),
		webs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 2, 11}), netip.AddrFrom4([4]byte{10, 0, 2, 12})},
	}
	g.pin(o)
	for _, h := range []*peer.Host{&g.clients, &g.under, &g.nodes} {
		s, err := testbed.NewSpace()
		if err != nil {
			g.Close()
			return nil, err
		}
		h.Space, g.spaces = s, append(g.spaces, s)
	}
	wide := func(list ...netip.Addr) (out []netip.Prefix) {
		for _, a := range list {
			out = append(out, netip.PrefixFrom(a, 24))
		}
		return out
	}
	clients, under, nodes := g.spaces[0], g.spaces[1], g.spaces[2]
	err := errors.Join(
		testbed.Cable(
			testbed.Port{Space: clients, Name: "proxy", Addresses: wide(netip.AddrFrom4([4]byte{10, 0, 1, 2}))},
			testbed.Port{Space: under, Name: "clients", Addresses: wide(g.front)},
		),
		testbed.Cable(
			testbed.Port{Space: nodes, Name: "proxy", Addresses: wide(g.webs...)},
			testbed.Port{Space: under, Name: "nodes", Addresses: wide(g.back)},
		),
	)
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Close removes what was made, once nothing runs there any more.
func (g *ground) Close() {
	for _, s := range g.spaces {
		s.Close()
	}
}

// freePort is a port that nothing uses on any of the addresses.
func (g *ground) freePort(at ...netip.Addr) (uint16, error) {
	if g.network == Veth { // where there is nothing but what was started here
		g.port++
		return g.port, nil
	}
	return peer.FreePort(at...)
}

func (g *ground) free(at netip.Addr) (netip.AddrPort, error) {
	port, err := g.freePort(at)
	return netip.AddrPortFrom(at, port), err
}
