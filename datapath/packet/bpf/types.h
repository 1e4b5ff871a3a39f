//go:build ignore

// What the kernel's program and user space tell each other: the keys and values of the maps. types.go has the Go side,
// made from this by bpf2go. A change here is a change of `LAYOUT`: flows that were pinned under another one are copied.

#pragma once

#define LAYOUT 1

#define SLOTS 65537      // of a share table at most (Maglev 3.4: a prime, 100 times the nodes and more)
#define MEMBERS 4096     // nodes of a pool at most
#define SERVICES 1024    // as config/ allows
#define FRONTS 16384     // addresses and ports of all services
#define NODES 16384      // nodes of all pools

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

// An address of either family; an IPv4 address is mapped: ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
struct addr {
	__be32 w[4];
};

// How a packet reaches its node: cluster.Dispatch, and for tunnel the encapsulation.
enum dispatch {
	DR = 1, // new MAC addresses (LSMAC, LVS-DR, HAS 3.22.2)
	IPIP,   // RFC 2003, RFC 2473: IPv4 or IPv6 in IPv4 or IPv6
	GUE,    // draft-ietf-intarea-gue: in UDP, whose source port spreads flows over the paths between
	NAT,    // new addresses, both ways (LSNAT, RFC 2391)
};

// How a new flow finds its node in the service's table.
enum pick {
	BY_TURN = 1, // slot after slot
	BY_SOURCE,   // slot of the client's address
	BY_FLOW,     // slot of the client's address and port
	BY_CHANCE,   // any slot
	LESS_OF_TWO, // of two slots drawn, the node with fewer flows for its weight
	LEAST,       // of all members, the node with the fewest flows for its weight
};

// What a service's flows do when their node is gone.
enum lost {
	MOVE = 0, // to another node, which answers what it does not know with a reset
	RESET,    // the director ends them
};

// A front is one way in: an address and port of a service. Port 0 is every port that has no front of its own.
struct front {
	struct addr vip;
	__be16 port;
	u8 proto;
	u8 pad;
};

// Flags of a service.
#define S_LIST 1   // it has an allow or deny list
#define S_DENY 2   // who is on no list is denied: the service has an allow list
#define S_HASHED 4 // a TCP packet of no known flow goes where its hash leads; otherwise it is reset (see lost)

// A service, under each of its fronts.
struct service {
	u32 id;    // 0..SERVICES-1: its place in `tables`, `service_counts`, `service_live`
	u32 front; // 0..FRONTS-1: this front's place in `fronts`
	u8 dispatch, pick, lost, flags;
	__be16 gue_port;  // destination of GUE
	u16 pad;
	u32 syn, established, closing, udp; // seconds after which an idle flow of that state is over
	u32 rate, burst;  // new flows a second of one source (IPv4 address, IPv6 /64), and at once; rate 0: no limit
};

// A flow, as packets from the client have it. With nat there is a second one for what the node sends; see F_REPLY.
struct flow_key {
	struct addr src, dst;
	__be16 sport, dport; // ICMP queries have no flow; both are 0 for other protocols without ports
	u8 proto;
	u8 pad[3];
};

enum flow_state {
	SYN_SEEN = 1, // unconfirmed: nothing but its first packet
	ESTABLISHED,
	CLOSING, // a FIN was seen
	CLOSED,  // a RST, or the second FIN (nat)
};

#define F_REPLY 1  // the key is what the node sends to the client; `front` is what it is rewritten to
#define F_COUNTED 2 // node_live.active counts it

struct flow {
	u64 seen;  // the newest packet, ktime (monotonic) ns
	u32 node;  // place in `nodes`
	u32 front; // the service's, place in `fronts`
	u32 ack;   // TCP: what the client expects next, so that a reset can be sent to it (RFC 5961 3); host order
	u16 service;
	u8 state, flags;
};

// Flags of a node.
#define N_GONE 1  // nothing reaches it: see lost
#define N_LOCAL 2 // it is this machine: the kernel takes the packet

// A node in one pool of one service. Written by user space, but for the way, which the kernel finds by bpf_fib_lookup and
// keeps for a moment.
struct node {
	struct addr addr; // where it is sent to: next hop (dr), outer destination (tunnel), new destination (nat)
	__be16 port;      // nat: the application's; 0: the port stays
	u16 flags;
	u32 limit;        // most flows at a time, 0: none
};

// The way to a node: what bpf_fib_lookup said.
struct way {
	u64 until;   // ktime ns after which it is asked again; 0: never asked
	u32 ifindex; // of the port that sends
	u16 vlan;    // tag to send with, 0: none; host order
	u16 mtu;
	u8 dst[6], src[6];
	u32 pad;
	struct addr from; // tunnel: outer source address
};

struct member {
	u32 node;   // place in `nodes`
	u32 weight; // 0: no new flows
};

// A service's share table: the one value of an inner map of `tables`, replaced whole.
struct table {
	u32 members; // how many of member are in use
	u32 slots;   // how many of slot are; 0: nobody takes new flows
	struct member member[MEMBERS];
	u16 slot[SLOTS + 1]; // places in member
};

// Counted by each CPU for itself.
struct node_count {
	u64 packets, bytes; // from clients
	u64 flows;          // confirmed ones
	u64 reply_packets, reply_bytes; // nat
};

struct service_count {
	u64 packets, bytes, flows, unconfirmed;
};

// Shared by all CPUs.
struct node_live {
	long long active; // confirmed flows that are not closed; user space mends it after evictions
};

struct service_live {
	u64 turn;
};

// Why a packet of a service went nowhere, or not where one would think. By service; 0 is for what is no service's.
enum reason {
	R_PASSED = 0,   // no service's: the kernel's affair
	R_NO_NODE,      // dropped: no node takes new flows
	R_NO_ROUTE,     // dropped: no route to the node
	R_NO_NEIGHBOUR, // dropped: the next hop's MAC is not known yet; user space has it resolved
	R_TOO_BIG,      // dropped, and the client told by ICMP: larger than the way's MTU
	R_DENIED,       // dropped: source list
	R_RATE,         // dropped: too many new flows from one source
	R_MALFORMED,    // dropped: lengths that contradict each other, a header cut short
	R_STRANGE,      // left to the kernel: more extension headers or tags than are read here
	R_CONFLICT,     // dropped: nat would give two flows of a client one name at the node
	R_FULL,         // dropped: a map has no room
	R_GONE_MOVED,   // went to another node, its own being gone
	R_GONE_RESET,   // answered by a reset, its node being gone
	R_UNKNOWN_RESET,// answered by a reset: TCP of no known flow
	R_ICMP_ERROR,   // an ICMP error that went to its flow's node
	R_FRAGMENT,     // a later fragment that went to its datagram's node
	REASONS
};

// Fragments of one datagram, but for the first, have no ports: the first to come decides for all.
struct datagram_key {
	struct addr src, dst;
	u32 id;
	u8 proto;
	u8 pad[3];
};

struct datagram {
	u64 seen;
	u32 node, front;
	u16 service;
	u16 pad;
	u32 pad2;
};

// A list entry: LPM over service, then address (mapped, so an IPv4 prefix is 96 bits longer).
struct source_key {
	u32 prefixlen; // 32 for the service, and the prefix's
	u32 service;
	struct addr addr;
};

// The value says what is done: 1 allow, 2 deny.

// New flows of one source: a token bucket.
struct rate_key {
	u32 service;
	u32 pad;
	struct addr source;
};

struct rate {
	u64 at;     // ktime ns when tokens was right
	u64 tokens; // in thousandths
};

enum event_kind {
	E_NEW = 1,
	E_ESTABLISHED,
	E_CLOSED,
	E_NO_NEIGHBOUR, // flow.node's next hop must be resolved
};

// What user space is told, if settings.events has the bit of the kind.
struct event {
	struct flow_key key;
	struct flow flow;
	u32 kind;
	u32 pad;
};

// How a VLAN interface stands in for a port and a tag.
struct vlan_key {
	u32 ifindex; // of the port
	u16 vlan;    // host order
	u16 pad;
};

struct port {
	u32 ifindex; // of the port that frames of this interface leave by
	u16 vlan;    // with this tag; 0: none
	u16 mtu;
};
