//go:build ignore

// What the kernel's program and user space tell each other: the keys and values of the maps. director_bpfel.go has the Go
// side, made from this by bpf2go. A change here is a change of `LAYOUT`: flows that were pinned under another one are copied.

#pragma once

#define LAYOUT 1

#define SLOTS 65537    // of a share table at most (Maglev 3.4: a prime, 100 times the nodes and more)
#define MEMBERS 4096   // nodes of a pool at most; a power of two
#define SERVICES 1024  // as config/ allows; place 0 stands for no service
#define FRONTS 16384   // addresses and ports of all services
#define NODES 16384    // nodes of all pools
#define WAYS_BACK 4096 // to clients, nat; a power of two
#define KNOWN_PORTS 16 // a power of two

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;

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
	u8 whole; // 1, with port 0: the address and protocol as such, for packets whose port cannot be read; see `services`
};

enum service_flag {
	S_LIST = 1,   // it has an allow or deny list
	S_DENY = 2,   // who is on no list is denied: the service has an allow list
	S_HASHED = 4, // a TCP packet of no known flow goes where its hash leads; otherwise it is reset
};

// A service, under each of its fronts.
struct service {
	u32 id;    // 1..SERVICES-1: its place in `tables`, `service_counts`, `service_live`
	u32 front; // 0..FRONTS-1: this front's place in `fronts`
	u8 dispatch, pick, lost, flags;
	__be16 gue_port;  // destination of GUE
	u16 pad;
	u32 syn, established, closing, udp; // seconds after which an idle flow of that state is over
	u32 rate, burst;  // new flows a second of one source (IPv4 address, IPv6 /64), and at once; rate 0: no limit
};

// A front and its service, in one place: a flow knows its front's place.
struct entrance {
	struct front front;
	u32 pad;
	struct service service; // id 0: there is none any more
};

// A flow, as packets from the client have it. With nat there is a second one for what the node sends; see F_REPLY. What
// follows src is laid out as a front, so that it serves as the key of `services`.
struct flow_key {
	struct addr src, dst;
	__be16 dport; // ports are 0 for protocols without them
	u8 proto;
	u8 whole; // 0
	__be16 sport;
	u16 pad;
};

enum flow_state {
	SYN_SEEN = 1, // unconfirmed: nothing but its first packet
	ESTABLISHED,
	CLOSING, // a FIN was seen
	CLOSED,  // a RST, or the second FIN (nat)
};

enum flow_flag {
	F_REPLY = 1,    // the key is what the node sends to the client; `front` is what it is rewritten to
	F_COUNTED = 2,  // node_live.active counts it: it is established
	F_FIN = 4,      // the client has sent its FIN
	F_NODE_FIN = 8, // nat: so has the node
};

// The last four bytes change together, by compare and exchange: two CPUs that see the end of a flow count it once.
struct flow {
	u64 seen;  // the newest packet, ktime (monotonic, to a tick) ns
	u32 node;  // place in `nodes`
	u32 front; // the service's, place in `fronts`
	u32 ack;   // TCP: what the client expects next, so that a reset can be sent to it (RFC 5961 3); host order
	u16 service;
	u8 state, flags;
};

// First packets, in a table of the program's own: an LRU map of the kernel's takes longer to write one than all else that a
// new flow needs, and longest when it is full, which is when it matters. A key leads to one bucket. There a flow takes the
// place of the oldest one.
#define BUCKET 4
#define BUSY 1 // a tag: some CPU is reading or writing the place

struct first { // a cache line
	struct flow_key key;
	u64 seen; // as in struct flow
	u32 node, front;
	u16 service;
	u8 state, flags;
	u32 tag; // of the key's number; 0: the place is free. User space changes it only to 0, by compare and exchange
};

struct bucket {
	struct first first[BUCKET];
};

enum node_flag {
	N_GONE = 1,  // nothing reaches it: see lost
	N_LOCAL = 2, // it is this machine: the kernel takes the packet
};

// A node in one pool of one service, written by user space; the program lowers mtu when a router on the way says so.
struct node {
	struct addr addr; // where it is sent to: next hop (dr), outer destination (tunnel), new destination (nat)
	__be16 port;      // nat: the application's; 0: the port stays, as it does for a front of every port
	u16 flags;
	u32 limit; // most flows at a time, 0: none
	u32 mtu;   // of the path to it where that is less than the route's, 0: not known to be
	u32 pad;
};

// A way to an address, as bpf_fib_lookup said. Each CPU keeps its own, so that none reads what another is writing.
struct way {
	struct addr to;
	struct addr from; // tunnel: outer source address
	u64 until;        // ktime ns after which it is asked again; 0: never asked
	u32 ifindex;      // of the port that sends; 0: there is no way, and reason says why
	u32 epoch;        // that of settings when it was asked
	u8 dst[6], src[6]; // as a frame begins
	u16 vlan;          // tag to send with, 0: none; host order
	u16 mtu;
	u8 reason; // why there is none
	u8 direct; // its own MAC address, no router's
	s16 said;  // what bpf_fib_lookup returned
	u32 pad;
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
	u64 packets, bytes; // from clients; bytes from the IP header on
	u64 flows;          // confirmed ones
	u64 reply_packets, reply_bytes; // nat
};

struct service_count {
	u64 packets, bytes, flows, unconfirmed;
};

// Shared by all CPUs.
struct node_live {
	long long active; // flows with F_COUNTED; user space mends it after evictions
};

struct service_live {
	u64 turn;
	u64 pad[7]; // a cache line: services do not slow each other down
};

// Why a packet of a service went nowhere, or not where one would think.
enum reason {
	R_PASSED,       // no service's: the kernel's affair
	R_NO_NODE,      // dropped: no node takes new flows
	R_NO_ROUTE,     // dropped: no route to the node
	R_NO_NEIGHBOUR, // dropped: the next hop's MAC is not known yet; user space has it resolved
	R_TOO_BIG,      // dropped, and the client told by ICMP: larger than the way's MTU
	R_DENIED,       // dropped: source list
	R_RATE,         // dropped: too many new flows from one source
	R_MALFORMED,    // dropped: lengths that contradict each other, a header cut short
	R_STRANGE,      // left to the kernel: more extension headers or tags than are read here
	R_CONFLICT,     // dropped: nat would give two flows of a client one name at the node
	R_FULL,         // dropped: a map has no room, or the frame
	R_GONE_MOVED,   // went to another node, its own being gone
	R_GONE_RESET,   // answered by a reset, its node being gone
	R_UNKNOWN_RESET, // answered by a reset: TCP of no known flow; or dropped, if it is a reset itself, or in parts
	R_ICMP_ERROR,   // an ICMP error that went to its flow's node
	R_FRAGMENT,     // a later fragment that went to its datagram's node
	R_TTL,          // dropped, and the client told by ICMP: its time to live ended here (tunnel, nat)
	R_LOOP,         // dropped: it came from the very node that it would go to (dr)
	R_UNHEARD,      // an event for which user space had no room: the packet went its way
	REASONS
};

// Fragments of one datagram, but for the first, have no ports: the first to come decides for all.
struct datagram_key {
	struct addr src, dst;
	u32 id;
	u8 proto;
	u8 newest; // 1, with id 0: of all datagrams between the two the newest, for fragments that overtake their first
	u16 pad;
};

struct datagram {
	u64 seen;
	u32 node, front;
	u16 service;
	u16 flags; // F_REPLY
	u32 pad;
};

// A list entry: LPM over service, then address (mapped, so an IPv4 prefix is 96 bits longer).
struct source_key {
	u32 prefixlen; // 32 for the service, and the prefix's
	u32 service;
	struct addr addr;
};

// The value says what is done: 1 allow, 2 deny.

// New flows of one source: a bucket that fills at a constant rate, kept as the time at which it is full again (the
// virtual scheduling of ITU-T I.371), which is one word and so can be changed by compare and exchange.
struct rate_key {
	u32 service;
	u32 pad;
	struct addr source;
};

struct rate {
	u64 full; // ktime ns
};

enum event_kind {
	E_NEW = 1,
	E_ESTABLISHED,
	E_CLOSED,
	E_NO_NEIGHBOUR, // the next hop to key.dst must be resolved: a node's address, or a client's (flow.flags has F_REPLY)
};

// What user space is told, if settings.events has the bit of the kind.
struct event {
	struct flow_key key;
	struct flow flow;
	u32 kind;
	u32 pad;
};

// How a VLAN interface, or a bond, stands in for a port and a tag.
struct vlan_key {
	u32 ifindex; // of the port
	u16 vlan;    // host order; 0: untagged
	u16 pad;
};

struct port {
	u32 ifindex; // of the port that frames of this interface leave by
	u16 vlan;    // with this tag; 0: none
	u16 mtu;     // of the interface, 0: as the route says
	u8 mac[6];   // its own: what is addressed to another one is none of ours; zero: not known
	u16 pad;
};

// What each CPU remembers of a port, until the epoch changes.
struct known_port {
	u32 ifindex, epoch;
	u16 mac[3];
	u16 pad;
};
