//go:build ignore

// What a traffic node has in the kernel for services that are dispatched through tunnels:
//
//	unwrap  tcx ingress of a port: a packet from a director is freed of what it travelled in, and goes on as if it had
//	        come so. Whatever is not from a director, or not for us, is left to the kernel as it is.
//	clamp   tcx egress: the node tells clients to send segments that still fit when a director has wrapped them.
//
// In tcx, and not in XDP: it runs on every port whatever its driver can, beside whatever has XDP there (a director, on a
// machine that is both), and on what the kernel has merged.

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define MAP(name, kind, k, v, n)                                                                                       \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, n);                                                                                \
		__type(key, k);                                                                                        \
		__type(value, v);                                                                                      \
	} name SEC(".maps")

// An address of either family; an IPv4 address is mapped: ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
struct addr {
	__be32 w[4];
};

struct vip {
	u16 mss; // most that a segment of a client may carry
	u16 pad;
};

// What became of a packet. fate.go has their names.
enum fate {
	UNWRAPPED,
	CLAMPED,      // a SYN-ACK whose MSS was too large
	NOT_DIRECTOR, // left to the kernel: a tunnel packet for this node, not from a director
	FRAGMENT,     // left to the kernel, which puts it together, but then finds no tunnel: a director never sends these
	NOT_VIP,      // dropped: what was inside is for no VIP that this node has through a tunnel
	MALFORMED,    // dropped: lengths that contradict each other, a header cut short
	STRANGE,      // dropped: a GUE header with what we do not know
	CONGESTED,    // dropped: congestion was met on the way, and the sender does not understand the mark (RFC 6040 4.2)
	FAILED,       // dropped: the kernel could not take the outer headers off
	FATES
};

struct count {
	u64 packets, bytes;
};

MAP(directors, BPF_MAP_TYPE_HASH, struct addr, u8, 1024);
MAP(own, BPF_MAP_TYPE_HASH, struct addr, u8, 256);
MAP(vips, BPF_MAP_TYPE_HASH, struct addr, struct vip, 16384);
MAP(gue_ports, BPF_MAP_TYPE_HASH, __be16, u8, 1024);
MAP(counts, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct count, FATES);

const enum fate *unused_fate __attribute__((unused)); // for the Go side: no map names it

// linux/bpf.h of 6.6 has them.
#define NEXT -1 // TCX_NEXT
#define DROP 2  // TCX_DROP
#define DECAP_L3_IPV4 (1U << 7) // BPF_F_ADJ_ROOM_DECAP_L3_IPV4
#define DECAP_L3_IPV6 (1U << 8) // BPF_F_ADJ_ROOM_DECAP_L3_IPV6

#define ETH 14 // bytes; tcx has taken VLAN tags off
#define P_IP 0x0800
#define P_IPV6 0x86dd
#define IP_IN 4 // IPPROTO_IPIP
#define TCP 6
#define UDP 17
#define IPV6_IN 41

#define CE 3 // RFC 3168 5

struct eth {
	u8 dst[6], src[6];
	__be16 proto;
};

struct ipv4 {
	u8 ver_ihl, tos;
	__be16 len, id, frag;
	u8 ttl, proto;
	__be16 sum;
	__be32 src, dst;
};

struct ipv6 {
	u8 ver_class, class_flow;
	__be16 flow;
	__be16 len;
	u8 next, hops;
	struct addr src, dst;
};

struct udp {
	__be16 src, dst, len, sum;
};

// draft-ietf-intarea-gue 3.1
struct gue {
	u8 ver_c_hlen, proto;
	__be16 flags;
};

struct tcp {
	__be16 src, dst;
	__be32 seq, ack;
	u8 off, flags;
	__be16 window, sum, urgent;
};

#define SYN_ACK 0x12

static __always_inline struct addr mapped(__be32 a)
{
	return (struct addr){.w = {0, 0, bpf_htonl(0xffff), a}};
}

static __always_inline int fate(u32 f, u32 bytes, int verdict)
{
	struct count *c = bpf_map_lookup_elem(&counts, &f);
	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
	return verdict;
}

// What is around a packet, as far as it was read.
struct outer {
	struct addr src, dst;
	u32 at;   // where what it carries begins, from the beginning of the frame
	u32 end;  // where that ends
	u8 proto; // what it is
	u8 ecn;
	u8 fragment;
};

// whole says whether the checksum of an IPv4 header is right: the kernel will not see it.
static __always_inline int whole(struct __sk_buff *skb, const struct ipv4 *ip, u32 head)
{
	const __be16 *w = (const __be16 *)ip;
	u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += w[i];
	for (u32 i = sizeof(*ip); i < 60 && i < head; i += 2) {
		__be16 option;
		if (bpf_skb_load_bytes(skb, ETH + i, &option, sizeof(option)))
			return 0;
		sum += option;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)(sum + (sum >> 16)) == 0xffff;
}

// read_outer reads the IP header of a frame. It says no to what cannot be a tunnel's, or is too broken to tell.
static __always_inline int read_outer(struct __sk_buff *skb, struct outer *o)
{
	if (skb->protocol == bpf_htons(P_IP)) {
		struct ipv4 ip;
		if (bpf_skb_load_bytes(skb, ETH, &ip, sizeof(ip)))
			return 0;
		if (ip.proto != IP_IN && ip.proto != IPV6_IN && ip.proto != UDP)
			return 0;
		u32 head = (ip.ver_ihl & 15) * 4;
		if (ip.ver_ihl >> 4 != 4 || head < sizeof(ip) || !whole(skb, &ip, head))
			return 0;
		o->src = mapped(ip.src);
		o->dst = mapped(ip.dst);
		o->at = ETH + head;
		o->end = ETH + bpf_ntohs(ip.len);
		o->proto = ip.proto;
		o->ecn = ip.tos & CE;
		o->fragment = (ip.frag & bpf_htons(0x3fff)) != 0;
		return 1;
	}
	if (skb->protocol == bpf_htons(P_IPV6)) {
		struct ipv6 ip;
		if (bpf_skb_load_bytes(skb, ETH, &ip, sizeof(ip)))
			return 0;
		// No extension headers: a director sends none.
		if (ip.ver_class >> 4 != 6 || (ip.next != IP_IN && ip.next != IPV6_IN && ip.next != UDP))
			return 0;
		o->src = ip.src;
		o->dst = ip.dst;
		o->at = ETH + sizeof(ip);
		o->end = ETH + sizeof(ip) + bpf_ntohs(ip.len);
		o->proto = ip.next;
		o->ecn = ip.class_flow >> 4 & CE;
		o->fragment = 0;
		return 1;
	}
	return 0;
}

// What was inside.
struct inner {
	struct addr dst;
	u8 ecn, byte; // its ECN, and the byte that has it
	__be16 first; // IPv4: the 16 bits of the header that have that byte
	u32 len;
	__be16 proto; // for the Ethernet header
};

static __always_inline int read_inner(struct __sk_buff *skb, const struct outer *o, struct inner *in)
{
	if (o->proto == IP_IN) {
		struct ipv4 ip;
		if (bpf_skb_load_bytes(skb, o->at, &ip, sizeof(ip)))
			return 0;
		u32 head = (ip.ver_ihl & 15) * 4;
		in->len = bpf_ntohs(ip.len);
		if (ip.ver_ihl >> 4 != 4 || head < sizeof(ip) || in->len < head || o->at + in->len > o->end)
			return 0;
		in->dst = mapped(ip.dst);
		in->byte = ip.tos;
		in->ecn = ip.tos & CE;
		in->first = *(__be16 *)&ip;
		in->proto = bpf_htons(P_IP);
		return 1;
	}
	struct ipv6 ip;
	if (bpf_skb_load_bytes(skb, o->at, &ip, sizeof(ip)))
		return 0;
	in->len = sizeof(ip) + bpf_ntohs(ip.len);
	if (ip.ver_class >> 4 != 6 || o->at + in->len > o->end)
		return 0;
	in->dst = ip.dst;
	in->byte = ip.class_flow;
	in->ecn = ip.class_flow >> 4 & CE;
	in->proto = bpf_htons(P_IPV6);
	return 1;
}

// marked is what the inner ECN becomes (RFC 6040 4.2); below 0: the packet must be dropped.
static __always_inline int marked(u8 inner, u8 outer)
{
	if (inner == 0)
		return outer == CE ? -1 : 0;
	if (inner == CE || outer == CE)
		return CE;
	return outer == 1 ? 1 : inner; // ECT(1) is kept, from either
}

static __always_inline int mark(struct __sk_buff *skb, const struct inner *in, u8 ecn)
{
	if (in->proto == bpf_htons(P_IP)) {
		u8 tos = (in->byte & ~CE) | ecn;
		__be16 first = in->first;
		((u8 *)&first)[1] = tos;
		// What the header's checksum gains the byte loses: nothing changes for a sum over all.
		return bpf_l3_csum_replace(skb, ETH + __builtin_offsetof(struct ipv4, sum), in->first, first, 2) ||
		       bpf_skb_store_bytes(skb, ETH + 1, &tos, 1, 0);
	}
	u8 byte = (in->byte & ~(CE << 4)) | ecn << 4;
	return bpf_skb_store_bytes(skb, ETH + 1, &byte, 1, BPF_F_RECOMPUTE_CSUM);
}

SEC("tcx/ingress")
int unwrap(struct __sk_buff *skb)
{
	struct outer o;
	if (!read_outer(skb, &o) || !bpf_map_lookup_elem(&own, &o.dst))
		return NEXT;

	if (o.fragment)
		return o.proto == UDP || !bpf_map_lookup_elem(&directors, &o.src) ? NEXT : fate(FRAGMENT, skb->len, NEXT);
	if (o.proto == UDP) {
		struct {
			struct udp udp;
			struct gue gue;
		} h;
		if (bpf_skb_load_bytes(skb, o.at, &h, sizeof(h)) || !bpf_map_lookup_elem(&gue_ports, &h.udp.dst))
			return NEXT;
		if (!bpf_map_lookup_elem(&directors, &o.src))
			return fate(NOT_DIRECTOR, skb->len, NEXT);
		u32 len = bpf_ntohs(h.udp.len);
		if (len < sizeof(h) || o.at + len > o.end || o.end > skb->len)
			return fate(MALFORMED, skb->len, DROP);
		// Variant 0, no control message, no optional fields and so no flags. The checksum, if there is one, is not
		// looked at: what is inside has its own (RFC 6935 5).
		if (h.gue.ver_c_hlen || h.gue.flags || (h.gue.proto != IP_IN && h.gue.proto != IPV6_IN))
			return fate(STRANGE, skb->len, DROP);
		o.end = o.at + len;
		o.at += sizeof(h);
		o.proto = h.gue.proto;
	} else if (!bpf_map_lookup_elem(&directors, &o.src)) {
		return fate(NOT_DIRECTOR, skb->len, NEXT);
	}
	if (o.end > skb->len)
		return fate(MALFORMED, skb->len, DROP);

	struct inner in = {};
	if (!read_inner(skb, &o, &in))
		return fate(MALFORMED, skb->len, DROP);
	if (!bpf_map_lookup_elem(&vips, &in.dst))
		return fate(NOT_VIP, skb->len, DROP);
	int ecn = marked(in.ecn, o.ecn);
	if (ecn < 0)
		return fate(CONGESTED, skb->len, DROP);

	// What the kernel has merged is not to get larger pieces than the sender made.
	u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | (in.proto == bpf_htons(P_IP) ? DECAP_L3_IPV4 : DECAP_L3_IPV6);
	if (bpf_skb_adjust_room(skb, -(int)(o.at - ETH), BPF_ADJ_ROOM_MAC, flags) ||
	    bpf_skb_store_bytes(skb, __builtin_offsetof(struct eth, proto), &in.proto, 2, 0) ||
	    (ecn != in.ecn && mark(skb, &in, ecn)))
		return fate(FAILED, skb->len, DROP);
	bpf_set_hash_invalid(skb); // it was that of the tunnel, the same for every flow
	return fate(UNWRAPPED, in.len, NEXT);
}

// The search for the MSS option.
struct search {
	struct __sk_buff *skb;
	u32 at, end; // where the next option begins, and where the last one ends
	u32 found;   // where its value is; 0: nowhere
	u16 mss;
};

// step looks at one option, and says whether the search is over.
static long step(u32 n, struct search *s)
{
	u8 o[4];
	// One that is too short to be followed by the MSS is the last.
	if (s->at + 4 > s->end || bpf_skb_load_bytes(s->skb, s->at, o, 4) || o[0] == 0)
		return 1;
	if (o[0] == 1) { // nothing: a filler
		s->at++;
		return 0;
	}
	if (o[0] != 2) {
		s->at += o[1];
		return o[1] < 2;
	}
	if (o[1] == 4) {
		s->found = s->at + 2;
		s->mss = o[2] << 8 | o[3];
	}
	return 1;
}

// clamp_mss lowers the MSS of a segment. at is where its header begins.
static __always_inline int clamp_mss(struct __sk_buff *skb, u32 at, u32 head, u16 most)
{
	struct search s = {.skb = skb, .at = at + sizeof(struct tcp), .end = at + head};
	bpf_loop(40, step, &s, 0); // every option has a byte at least
	if (!s.found || s.mss <= most)
		return NEXT;
	__be16 is = bpf_htons(s.mss), shall = bpf_htons(most), from = is, to = shall;
	if ((s.found - at) & 1) { // an option may begin anywhere, a checksum counts in twos
		from = __builtin_bswap16(is);
		to = __builtin_bswap16(shall);
	}
	if (bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcp, sum), from, to, 2) ||
	    bpf_skb_store_bytes(skb, s.found, &shall, 2, 0))
		return fate(FAILED, skb->len, DROP);
	return fate(CLAMPED, skb->len, NEXT);
}

SEC("tcx/egress")
int clamp(struct __sk_buff *skb)
{
	struct addr src;
	u32 at;
	if (skb->protocol == bpf_htons(P_IP)) {
		struct ipv4 ip;
		if (bpf_skb_load_bytes(skb, ETH, &ip, sizeof(ip)) || ip.proto != TCP || ip.frag & bpf_htons(0x1fff))
			return NEXT;
		src = mapped(ip.src);
		at = ETH + (ip.ver_ihl & 15) * 4;
	} else if (skb->protocol == bpf_htons(P_IPV6)) {
		struct ipv6 ip;
		if (bpf_skb_load_bytes(skb, ETH, &ip, sizeof(ip)) || ip.next != TCP)
			return NEXT;
		src = ip.src;
		at = ETH + sizeof(ip);
	} else {
		return NEXT;
	}
	struct tcp tcp;
	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)) || (tcp.flags & SYN_ACK) != SYN_ACK)
		return NEXT;
	struct vip *v = bpf_map_lookup_elem(&vips, &src);
	u32 head = (tcp.off >> 4) * 4;
	if (!v || !v->mss || head < sizeof(tcp))
		return NEXT;
	return clamp_mss(skb, at, head, v->mss);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
