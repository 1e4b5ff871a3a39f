package vip

import (
	"net/netip"
	"time"

	"muster/cluster"
)

// A Config says where a Host keeps what must outlive the process. Journal must be set.
type Config struct {
	Journal  string          // the file in which changes of the kernel's settings are noted, in the node's state directory
	Pin      string          // a directory below a bpffs, which is mounted if need be, for programs that work on without the process; empty: they end with it
	Probe    time.Duration   // how long another machine may take to say that it has a VIP that is to be answered for; 0: 300ms, below 0: none is asked
	Announce []time.Duration // when, after a VIP was taken, the LAN is told of it; nil: 0, 100ms, 1s, 3s, 10s
	Every    time.Duration   // how often everything is looked at, though nothing was heard to have changed; 0: 5s
}

// A Want is what a machine's network shall be like. The zero Want wants nothing: all is as it was found.
type Want struct {
	// Addresses are the node's own, one per LAN and family. The interfaces that have them are its ports.
	Addresses []netip.Addr
	// Interfaces are further ports, by their names.
	Interfaces []string

	// Forward has the ports let packets through, without which the kernel names no next hop (bpf_fib_lookup): a director
	// wants it, whether it answers for a VIP yet or not.
	Forward bool
	// Answer are the VIPs that this machine answers for: of all machines, it alone.
	Answer []netip.Addr

	// Accept are the VIPs of the services, dr and tunnel, whose packets directors send here.
	Accept []Accept
	// Directors are all addresses of all directors: only they may send packets through a tunnel.
	Directors []netip.Addr
	// Return are the applications whose answers go back through a director, because it gave them packets by nat.
	Return []Return
}

// An Accept is a VIP whose packets a traffic node takes as its own.
type Accept struct {
	VIP    netip.Addr
	Tunnel Tunnel // how packets for it come; None for dr
	Port   uint16 // of GUE; 0: 6080
}

// A Tunnel is what packets are wrapped in on their way to a node.
type Tunnel uint8

// The tunnels.
const (
	None Tunnel = iota
	IPIP        // IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213)
	GUE         // the same in UDP (draft-ietf-intarea-gue, variant 0)
)

// GUEPort is where GUE packets are sent if nothing else is said (IANA: gue).
const GUEPort = 6080

// A Return is an application whose answers go back through a director.
type Return struct {
	Addr  netip.AddrPort // where it listens, with an address of the node; port 0: every port
	Proto cluster.Kind   // cluster.UDP, or anything else for TCP
	Via   netip.Addr     // the director, as the LAN knows it: best the service's VIP, which moves with the role
}
