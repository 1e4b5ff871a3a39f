package packet

import (
	"net/netip"
	"time"

	"muster/cluster"
)

// A Config says where a Forwarder works and how much it may keep.
type Config struct {
	Interfaces  []string     // ports to attach to; empty: those that hold Addresses
	Addresses   []netip.Addr // the director's own, one per LAN and family: outer sources of tunnels, senders of ICMP errors
	Mode        Mode
	Pin         string // a directory on a bpffs, made if need be: what it holds outlives the process; empty: nothing does
	Seed        uint32 // of the hash from clients to slots, secret, the same on all directors; 0: drawn once
	Flows       int    // most established flows; 0: 262,144
	Unconfirmed int    // most first packets not yet followed by a second; 0: 65,536
	Sources     int    // most entries of all source lists together; 0: 65,536

	// Happened is told of flows as they come and go, from one goroutine of Run, which waits for it. It may keep the slice.
	// Nil: nobody wants to know.
	Happened func([]Event)
}

// A Mode is where on a port the program runs.
type Mode uint8

// The modes.
const (
	Auto    Mode = iota // Native where the driver can, else Generic
	Native              // in the driver, before the kernel makes anything of a frame
	Generic             // in the kernel, on any port, at more cost
)

var modeNames = [...]string{Auto: "auto", Native: "native", Generic: "generic"}

func (m Mode) String() string { return modeNames[m] }

// A Service is one service as the kernel dispatches it. Its schedule and its nodes come with its table: see SetTable.
type Service struct {
	Name     string
	Fronts   []Front          // none belongs to another service
	Dispatch cluster.Dispatch // DR, Tunnel or NAT
	Tunnel   Encapsulation
	Timeouts Timeouts
	Lost     Lost
	Allow    []netip.Prefix // who may begin a flow; empty: everybody. The longest prefix of both lists decides
	Deny     []netip.Prefix // who may not; an established flow that is denied now is ended
	Rate     int            // most new flows a second of one source (an IPv4 address, an IPv6 /64); 0: no limit
	Burst    int            // most of them at once; 0: as many as in a second
}

// A Front is one way in to a service.
type Front struct {
	VIP   netip.Addr
	Port  uint16 // 0: every port of the VIP that has no front of its own
	Proto Proto
}

// A Proto is the protocol of a front or a flow, by its number (RFC 790).
type Proto uint8

// The protocols that are dispatched.
const (
	TCP Proto = 6
	UDP Proto = 17
)

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "unknown"
}

// An Encapsulation is what a packet of a service with dispatch tunnel travels in.
type Encapsulation struct {
	GUE  bool   // in UDP (draft-ietf-intarea-gue), which spreads over parallel paths; otherwise in IP (RFC 2003, RFC 2473)
	Port uint16 // where the nodes take GUE; 0: 6080
}

// Timeouts say how long a flow is kept after its newest packet. They are rounded up to seconds.
type Timeouts struct {
	SYN         time.Duration // nothing but its first packet has come; 0: 10s
	Established time.Duration // 0: 15m, as LVS has it
	Closing     time.Duration // a FIN or RST has come; 0: 30s
	UDP         time.Duration // 0: 1m
}

// Lost is what happens to the flows of a node that is gone.
type Lost uint8

// What may happen to them.
const (
	Move  Lost = iota // they go to other nodes, which answer what they do not know with a reset
	Reset             // the director ends them at once, those too that are waiting for the node
)

func (c Config) withDefaults() Config {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.Flows, 262_144)
	def(&c.Unconfirmed, 65_536)
	def(&c.Sources, 65_536)
	return c
}

func (s Service) withDefaults() Service {
	dur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	dur(&s.Timeouts.SYN, 10*time.Second)
	dur(&s.Timeouts.Established, 15*time.Minute)
	dur(&s.Timeouts.Closing, 30*time.Second)
	dur(&s.Timeouts.UDP, time.Minute)
	if s.Tunnel.Port == 0 {
		s.Tunnel.Port = 6080
	}
	if s.Burst == 0 {
		s.Burst = s.Rate
	}
	return s
}
