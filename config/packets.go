package config

import (
	"net/netip"
	"time"
)

// Packets is what all services with dispatch in the kernel share on a director.
type Packets struct {
	Mode        PacketMode `key:"mode" default:"auto" doc:"How the packet program is attached to a port. native: by its driver, and not at all if that cannot. generic: by the kernel, on every port, at a higher cost. auto: native where it can be, generic elsewhere."`
	Flows       int        `key:"flows" default:"262144" range:"1024..16777216" doc:"The most established connections; the one that has been idle the longest makes room. With nat each takes two."`
	Unconfirmed int        `key:"unconfirmed" default:"65536" range:"1024..16777216" doc:"The most connections of which only a first packet has come. They have a table of their own, so that a flood of them pushes out no other."`
	Sources     int        `key:"sources" default:"65536" range:"1024..16777216" doc:"The most networks in sources.allow and sources.deny, of all services together."`
}

// Flows say when a flow is over, and what becomes of it when its node is gone. Times are whole seconds.
type Flows struct {
	SYN         time.Duration `key:"syn" default:"30s" range:"1s..1h" doc:"A connection of which only the first packet has come is forgotten after this time."`
	Established time.Duration `key:"established" default:"15m" range:"1s..168h" only:"http,tcp" doc:"An established connection without packets from the client is forgotten after this time; longer than any pause of the application, or its TCP keep-alive."`
	Closing     time.Duration `key:"closing" default:"2m" range:"1s..1h" only:"http,tcp" doc:"The same, once the client has said that it has no more to send."`
	UDP         time.Duration `key:"udp" default:"3m" range:"1s..24h" only:"udp" doc:"A client's datagrams go to one node until none has come for this time."`
	Lost        Lost          `key:"lost" default:"move" only:"http,tcp" doc:"What becomes of a connection whose node is gone. move: its next packet goes to another node, which does not know it and ends it, or, where nodes share connections, goes on with it. reset: the director ends it at once, and so the client need not send anything first to notice."`
}

// Sources say who may come in. The longest prefix decides; with an allow list, who is on no list is denied.
type Sources struct {
	Allow []netip.Prefix `key:"allow" eg:"10.0.0.0/8" count:"0..4096" doc:"The only networks that may come in. Of networks inside each other, here and in deny, the smallest decides."`
	Deny  []netip.Prefix `key:"deny" eg:"10.66.0.0/16" count:"0..4096" doc:"Networks that may not."`
	Rate  int            `key:"rate" default:"0" range:"1..1000000" zero:"no limit" doc:"The most new connections a second from one IPv4 address, or one IPv6 network of 64 bits; the first packets of more are dropped."`
	Burst int            `key:"burst" default:"0" range:"1..1000000" zero:"as many as rate" doc:"How many of them may come at once."`
}

// Tunnel is how packets travel to nodes inside others.
type Tunnel struct {
	Encapsulation Encapsulation `key:"encapsulation" default:"ipip" doc:"ipip: IP in IP (RFC 2003, RFC 2473), the least that it takes. gue: in UDP (Generic UDP Encapsulation), which networks between spread over their paths and receivers over their queues."`
	Port          uint16        `key:"port" default:"6080" doc:"The UDP port of nodes for gue."`
}
