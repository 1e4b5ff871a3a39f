package cluster

// A Kind is what protocol a service speaks with its clients.
type Kind string

// The kinds of service.
const (
	HTTP Kind = "http"
	TCP  Kind = "tcp"
	UDP  Kind = "udp" // dispatched in the kernel only
)

// Kinds lists every kind of service.
func Kinds() []Kind { return []Kind{HTTP, TCP, UDP} }

// A Dispatch is how a request travels to its node.
type Dispatch string

// The ways of dispatch. All but Proxy are the kernel's: the director passes packets on, connection by connection, and user
// space never sees one.
const (
	// Proxy: the director ends the client's connection and speaks to the node on one of its own.
	Proxy Dispatch = "proxy"
	// DR, direct return: a packet gets the MAC address of its node and nothing else is changed; the node has the VIP too, and
	// replies straight to the client (LSMAC, LVS-DR, HAS 3.22.2). Director and node share a LAN.
	DR Dispatch = "dr"
	// Tunnel: a packet travels to its node inside another one (RFC 2003, RFC 2473, GUE), through any network between, and the
	// node replies straight to the client (LVS-TUN, HAS 2.15.7.3).
	Tunnel Dispatch = "tunnel"
	// NAT: a packet gets the address of its node, and the reply the VIP again, so both go through the director (LSNAT,
	// RFC 2391; HAS 2.15.7.1).
	NAT Dispatch = "nat"
)

// Dispatches lists every way of dispatch.
func Dispatches() []Dispatch { return []Dispatch{Proxy, DR, Tunnel, NAT} }

// Kernel says whether packets are dispatched in the kernel: every way but Proxy.
func (d Dispatch) Kernel() bool { return d == DR || d == Tunnel || d == NAT }

// Direct says whether nodes reply straight to clients, and so have the VIP themselves.
func (d Dispatch) Direct() bool { return d == DR || d == Tunnel }
