//go:build ignore

// What a frame is: whom it is from and for, and what its flow must know of it. Everything that is read here is checked
// against the frame's end and against the lengths that the packet itself gives.

#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "types.h"

#define MAPPED bpf_htonl(0xffff) // third word of ::ffff:0:0/96

#define TAGS 2         // of VLANs: 802.1Q in 802.1ad
#define EXTENSIONS 6   // headers between IPv6's and the transport's
#define DEEPEST 1023   // where a transport header may begin; a mask, too

#define IP_MORE 0x2000
#define IP_OFFSET 0x1fff

enum tcp_flag { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

// Which part of a datagram a packet is.
enum part {
	ALL = 0,
	FIRST, // a fragment, with ports
	LATER, // a fragment without
};

struct packet {
	struct flow_key key __attribute__((aligned(8)));
	u64 now;
	u64 number; // of the key, where it is of use
	u64 seen;   // nat, a reply: when its flow had the packet before
	u32 len;    // from the IP header on; what follows in the frame is padding
	u32 id;     // of the datagram, if it is in parts
	u32 ack;    // TCP, host order
	u32 node, front; // places of the node that it goes to, or comes from, and of the front that the flow came by
	u16 service;
	u16 l3, l4; // offsets of the IP header and the transport's
	u16 inner, inner_l4; // ICMP errors: those of the packet that is quoted; inner 0: no error
	u16 vlan;   // tag that it came with, the outer of two; host order, 0: none
	u8 version; // 4 or 6
	u8 part;
	u8 tcp;  // flags
	u8 next; // protocol as every part of the datagram gives it; key.proto is that behind extension headers
	u8 tos, ttl;
	u8 any; // it is its service's by a front of every port
};

enum parsed {
	READ,
	FOREIGN,   // not IP, or not for one machine
	STRANGE,   // perhaps sound, but more than is read here
	MALFORMED, // key.src and key.dst can be relied on
};

// Offsets, so that the verifier sees their bounds.
#define L3(p) ((p)->l3 & 31)
#define L4(p) ((p)->l4 & DEEPEST)
#define INNER(p) ((p)->inner & DEEPEST)
#define INNER_L4(p) ((p)->inner_l4 & DEEPEST)

// Where the frame begins and ends: in whole registers, which the compiler else makes 32 bits of where only their difference
// matters, and no pointers to the verifier.
static __always_inline void *data_of(struct xdp_md *ctx)
{
	void *at;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(at) : "r"(ctx), "i"(offsetof(struct xdp_md, data)));
	return at;
}

static __always_inline void *end_of(struct xdp_md *ctx)
{
	void *at;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(at) : "r"(ctx), "i"(offsetof(struct xdp_md, data_end)));
	return at;
}

struct vlan_tag {
	__be16 tci, type;
};

static __always_inline struct addr mapped(__be32 v4)
{
	return (struct addr){{0, 0, MAPPED, v4}};
}

static __always_inline bool is_four(const struct addr *a)
{
	return !(a->w[0] | a->w[1]) && a->w[2] == MAPPED;
}

static __always_inline bool same(const struct addr *a, const struct addr *b)
{
	return !((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) | (a->w[3] ^ b->w[3]));
}

// Whether it is :: or 0.0.0.0.
static __always_inline bool is_none(const struct addr *a)
{
	return !(a->w[0] | a->w[1] | a->w[3]);
}

// What a packet can come from: one machine that is not this one. A reset or an ICMP error goes to no other.
static __always_inline bool is_sender(const struct addr *a)
{
	u32 top = bpf_ntohl(a->w[3]) >> 24;

	if (is_four(a))
		return top != 0 && top != 127 && top < 224;
	if (!(a->w[0] | a->w[1] | a->w[2])) // ::, ::1 and what was IPv4-compatible
		return false;
	return (bpf_ntohl(a->w[0]) >> 24) != 0xff;
}

// Reads the transport header, which begins at l4 of what is `rest` bytes long.
static __always_inline int parse_transport(struct packet *p, void *l4, void *end, u32 rest)
{
	if (p->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;
		u32 header;

		if (rest < sizeof(*tcp) || (void *)(tcp + 1) > end)
			return MALFORMED; // RFC 1858 3: a first fragment too small for its flags as well
		header = tcp->doff * 4;
		if (header < sizeof(*tcp) || header > rest)
			return MALFORMED;
		p->key.sport = tcp->source;
		p->key.dport = tcp->dest;
		p->ack = bpf_ntohl(tcp->ack_seq);
		p->tcp = ((u8 *)tcp)[13];
	} else if (p->key.proto == IPPROTO_UDP) {
		struct udphdr *udp = l4;
		u32 len;

		if (rest < sizeof(*udp) || (void *)(udp + 1) > end)
			return MALFORMED;
		len = bpf_ntohs(udp->len);
		if (len < sizeof(*udp) || (p->part == ALL && len > rest))
			return MALFORMED;
		p->key.sport = udp->source;
		p->key.dport = udp->dest;
	}
	return READ;
}

static __always_inline int parse4(struct packet *p, struct iphdr *ip, void *end)
{
	u32 header, fragment, rest;

	if ((void *)(ip + 1) > end || ip->version != 4)
		return FOREIGN; // nobody knows for whom
	p->version = 4;
	p->key.src = mapped(ip->saddr);
	p->key.dst = mapped(ip->daddr);
	p->key.proto = p->next = ip->protocol;
	p->len = bpf_ntohs(ip->tot_len);
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	header = ip->ihl * 4;
	if (header < sizeof(*ip) || p->len < header || p->len > (u64)(end - (void *)ip))
		return MALFORMED;
	rest = p->len - header;
	p->l4 = p->l3 + header;

	fragment = bpf_ntohs(ip->frag_off) & (IP_MORE | IP_OFFSET);
	if (unlikely(fragment)) {
		u32 offset = (fragment & IP_OFFSET) * 8;

		p->id = ip->id;
		if (offset + rest > 0xffff || ((fragment & IP_MORE) && rest % 8))
			return MALFORMED;
		if (offset == 8 && p->next == IPPROTO_TCP)
			return MALFORMED; // RFC 3128: it would overwrite the flags
		p->part = offset ? LATER : FIRST;
		if (offset)
			return READ;
	}
	return parse_transport(p, (void *)ip + header, end, rest);
}

// Whether another header follows one of that kind.
static __always_inline bool is_extension(u8 kind)
{
	return kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_DSTOPTS || kind == IPPROTO_FRAGMENT ||
	       kind == IPPROTO_AH;
}

struct extension {
	u8 next, len;
	__be16 fragment; // or options
	__be32 id;
};

// Goes through the headers between IPv6's and the transport's. Sets key.proto and l4.
static __noinline int parse_extensions(struct packet *p, struct ipv6hdr *ip, void *end)
{
	u32 header = sizeof(*ip);
	void *at = ip + 1;

	for (int i = 0; is_extension(p->key.proto); i++) {
		struct extension *e = at;
		u32 len;

		if (i == EXTENSIONS)
			return STRANGE;
		if (header + sizeof(*e) > p->len || (void *)(e + 1) > end)
			return MALFORMED;
		switch (p->key.proto) {
		case IPPROTO_FRAGMENT: {
			u32 fragment = bpf_ntohs(e->fragment), offset = fragment & ~7u;
			u32 rest = p->len - header - sizeof(*e);

			len = sizeof(*e);
			p->next = e->next;
			p->id = e->id;
			if (offset + rest > 0xffff || ((fragment & 1) && rest % 8))
				return MALFORMED;
			if (offset == 8 && e->next == IPPROTO_TCP)
				return MALFORMED;
			if (offset)
				p->part = LATER;
			else if (fragment & 1) // otherwise it is whole, and only looks like one (RFC 6946)
				p->part = FIRST;
			break;
		}
		case IPPROTO_AH:
			len = (e->len + 2) * 4;
			break;
		case IPPROTO_ROUTING:
			if (bpf_ntohs(e->fragment) & 0xff)
				return STRANGE; // segments are left: it is on its way to somewhere else
			/* fallthrough */
		default:
			len = (e->len + 1) * 8;
		}
		p->key.proto = e->next;
		header += len;
		if (header > p->len)
			return MALFORMED;
		if (header > DEEPEST - ETH_HLEN - TAGS * sizeof(struct vlan_tag))
			return STRANGE;
		at = (void *)ip + header;
		if (p->part == LATER)
			break;
	}
	p->l4 = p->l3 + header;
	return READ;
}

static __always_inline int parse6(struct packet *p, struct ipv6hdr *ip, void *end)
{
	u32 header = sizeof(*ip);
	int parsed;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return FOREIGN;
	p->version = 6;
	__builtin_memcpy(&p->key.src, &ip->saddr, sizeof(struct addr));
	__builtin_memcpy(&p->key.dst, &ip->daddr, sizeof(struct addr));
	if (unlikely(is_four(&p->key.src) || is_four(&p->key.dst)))
		return FOREIGN; // they do not travel (RFC 4038 3), and would be taken for IPv4's
	p->key.proto = p->next = ip->nexthdr;
	p->len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	p->tos = bpf_ntohs(*(__be16 *)ip) >> 4;
	p->ttl = ip->hop_limit;
	if (p->len > (u64)(end - (void *)ip))
		return MALFORMED;
	p->l4 = p->l3 + header;
	if (unlikely(is_extension(p->next))) {
		parsed = parse_extensions(p, ip, end);
		if (parsed != READ || p->part == LATER)
			return parsed;
		header = (p->l4 - p->l3) & DEEPEST;
	}
	return parse_transport(p, (void *)ip + header, end, p->len - header);
}

static __always_inline int parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	struct ethhdr *eth = data;
	void *at = eth + 1;
	__be16 type;

	if (at > end || eth->h_dest[0] & 1) // one for many, with a VIP inside, is nobody's
		return FOREIGN;
	type = eth->h_proto;
	p->l3 = sizeof(*eth);
	for (int i = 0; i < TAGS; i++) {
		struct vlan_tag *tag = at;

		if (likely(type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)))
			break;
		if ((void *)(tag + 1) > end)
			return FOREIGN;
		if (i == 0)
			p->vlan = bpf_ntohs(tag->tci) & 0xfff;
		type = tag->type;
		at = tag + 1;
		p->l3 += sizeof(*tag);
	}
	if (type == bpf_htons(ETH_P_IP))
		return parse4(p, at, end);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse6(p, at, end);
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD) ? STRANGE : FOREIGN;
}
