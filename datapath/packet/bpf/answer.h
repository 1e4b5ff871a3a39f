//go:build ignore

// What the director says to a sender itself: TCP resets and ICMP errors. They take the way back that the frame came, and
// are made of the frame itself.

#pragma once

#include <linux/icmpv6.h>

#include "admit.h"
#include "parse.h"
#include "sum.h"

// RFC 792; linux/icmp.h wants more of a C library than there is here.
#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_EXC_TTL 0
#define ICMP_PARAMETERPROB 12

#define TTL 64
#define DF bpf_htons(0x4000)

// An ICMP error to a sender whose packets come faster than these a second is left out (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
#define ANSWERS 100

// How much of a packet is quoted: as much as fits in what every path carries (RFC 1812 4.3.2.3, RFC 4443 3.2), in words.
#define QUOTED4 (576 - 20 - 8)
#define QUOTED6 (1280 - 40 - 8)

static __always_inline void turn_round(struct ethhdr *eth, const struct ethhdr *came)
{
	struct ethhdr old;

	__builtin_memcpy(&old, came, sizeof(old));
	__builtin_memcpy(eth->h_dest, old.h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, old.h_dest, ETH_ALEN);
	eth->h_proto = old.h_proto;
}

// Writes the header of an IPv4 packet to where p came from, and returns the sum of what a transport checksum covers of it
// (without length).
static __always_inline u64 write_ip4(struct iphdr *ip, const struct packet *p, const struct addr *from, u8 proto, u16 len)
{
	u32 *w = (u32 *)ip;
	u64 sum = 0;

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = 0;
	ip->tot_len = bpf_htons(len);
	ip->id = 0; // it is never in parts (RFC 6864 4.1)
	ip->frag_off = DF;
	ip->ttl = TTL;
	ip->protocol = proto;
	ip->check = 0;
	ip->saddr = from->w[3];
	ip->daddr = p->key.src.w[3];
	for (u32 i = 0; i < sizeof(*ip) / 4; i++)
		sum += w[i];
	ip->check = checksum(sum);
	return (u64)ip->saddr + ip->daddr + bpf_htons(proto);
}

static __always_inline u64 write_ip6(struct ipv6hdr *ip, const struct packet *p, const struct addr *from, u8 proto, u16 len)
{
	*(__be32 *)ip = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(len - sizeof(*ip));
	ip->nexthdr = proto;
	ip->hop_limit = TTL;
	__builtin_memcpy(&ip->saddr, from, sizeof(*from));
	__builtin_memcpy(&ip->daddr, &p->key.src, sizeof(*from));
	return add_addr(add_addr(bpf_htons(proto), from->w), p->key.src.w);
}

// Resets the connection that the packet believes in (RFC 9293 3.10.7.1). Nobody answers a reset, nor a part of a segment,
// nor what was not sent by one machine.
__noinline int reset(struct xdp_md *ctx, struct packet *p)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	u32 header, seq = 0, ack = 0, l3;
	struct tcphdr *tcp;
	u8 flags = RST;
	u64 sum;

	if (!p)
		return XDP_ABORTED;
	l3 = L3(p);
	tcp = data + L4(p);
	if (p->tcp & RST || p->part != ALL || !is_sender(&p->key.src) || (void *)(tcp + 1) > end)
		return XDP_DROP;
	if (p->tcp & ACK) {
		seq = tcp->ack_seq;
	} else {
		flags |= ACK;
		ack = bpf_ntohl(tcp->seq) + p->len - (p->l4 - p->l3) - tcp->doff * 4 + !!(p->tcp & SYN) + !!(p->tcp & FIN);
	}

	header = p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (bpf_xdp_adjust_tail(ctx, (int)(l3 + header + sizeof(*tcp)) - (int)(end - data)))
		return XDP_DROP;
	data = data_of(ctx);
	end = end_of(ctx);
	if (data + sizeof(struct ethhdr) > end)
		return XDP_DROP;
	turn_round(data, data);
	if (p->version == 4) {
		struct iphdr *ip = data + l3;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		sum = write_ip4(ip, p, &p->key.dst, IPPROTO_TCP, sizeof(*ip) + sizeof(*tcp));
	} else {
		struct ipv6hdr *ip = data + l3;

		tcp = (void *)(ip + 1);
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		sum = write_ip6(ip, p, &p->key.dst, IPPROTO_TCP, sizeof(*ip) + sizeof(*tcp));
	}
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = p->key.dport;
	tcp->dest = p->key.sport;
	tcp->seq = seq;
	tcp->ack_seq = bpf_htonl(ack);
	tcp->doff = sizeof(*tcp) / 4;
	((u8 *)tcp)[13] = flags;
	sum += bpf_htons(sizeof(*tcp));
	for (u32 i = 0; i < sizeof(*tcp) / 4; i++)
		sum += ((u32 *)tcp)[i];
	tcp->check = checksum(sum);
	return XDP_TX;
}

struct icmp {
	u8 type, code;
	u16 check;
	__be32 rest;
};

// Tells the packet's sender what was wrong with it. `from` is who says so.
__noinline int complain(struct xdp_md *ctx, struct packet *p, const struct addr *from, u32 what, u32 rest)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	u32 header, room, quoted, l3;
	struct ethhdr *eth, *came;
	struct icmp *icmp;
	u64 sum = 0;
	u32 *word;

	if (!p || !from)
		return XDP_ABORTED;
	// Nothing is said about errors, nor about what was not sent by one machine (RFC 1122 3.2.2, RFC 4443 2.4 e).
	if (p->inner || p->part == LATER || !is_sender(&p->key.src) || !within(0, p, ANSWERS, ANSWERS))
		return XDP_DROP;
	l3 = L3(p);
	header = p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	room = header + sizeof(*icmp);
	quoted = p->version == 4 ? QUOTED4 : QUOTED6;
	if (quoted > p->len)
		quoted = p->len & ~3u;
	if (bpf_xdp_adjust_tail(ctx, (int)(l3 + quoted) - (int)(end - data)) || bpf_xdp_adjust_head(ctx, -(int)room))
		return XDP_DROP;
	data = data_of(ctx);
	end = end_of(ctx);

	eth = data;
	came = data + room;
	if ((void *)(came + 1) > end)
		return XDP_DROP;
	turn_round(eth, came);
	for (u32 i = sizeof(*eth); i < sizeof(*eth) + TAGS * sizeof(struct vlan_tag) && i < l3; i += 4) {
		if ((void *)came + i + 4 > end)
			return XDP_DROP;
		*(u32 *)((void *)eth + i) = *(u32 *)((void *)came + i);
	}
	if (p->version == 4) {
		struct iphdr *ip = data + l3;

		icmp = (void *)(ip + 1);
		if ((void *)(icmp + 1) > end)
			return XDP_DROP;
		write_ip4(ip, p, from, IPPROTO_ICMP, room + quoted);
	} else {
		struct ipv6hdr *ip = data + l3;

		icmp = (void *)(ip + 1);
		if ((void *)(icmp + 1) > end)
			return XDP_DROP;
		sum = write_ip6(ip, p, from, IPPROTO_ICMPV6, room + quoted) + bpf_htons(sizeof(*icmp) + quoted);
	}
	icmp->type = what >> 8;
	icmp->code = what;
	icmp->check = 0;
	icmp->rest = bpf_htonl(rest);
	word = (u32 *)icmp;
	for (u32 i = 0; i < (sizeof(*icmp) + QUOTED6) / 4; i++, word++) {
		if ((void *)(word + 1) > end)
			break;
		sum += *word;
	}
	icmp->check = checksum(sum);
	return XDP_TX;
}

#define WHAT(type, code) ((type) << 8 | (code))

// To the sender of what is larger than mtu.
static __always_inline int too_big(struct xdp_md *ctx, struct packet *p, u32 service, const struct addr *from, u32 mtu)
{
	count(service, R_TOO_BIG);
	return complain(ctx, p, from,
			p->version == 4 ? WHAT(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED) : WHAT(ICMPV6_PKT_TOOBIG, 0), mtu);
}

// To the sender of what has been passed on too often.
static __always_inline int too_old(struct xdp_md *ctx, struct packet *p, u32 service, const struct addr *from)
{
	count(service, R_TTL);
	return complain(ctx, p, from,
			p->version == 4 ? WHAT(ICMP_TIME_EXCEEDED, ICMP_EXC_TTL) : WHAT(ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT), 0);
}
