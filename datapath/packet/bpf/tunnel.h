//go:build ignore

// tunnel: the packet as it came, but for its time to live, in one that goes to the node.

#pragma once

#include "answer.h"
#include "pick.h"
#include "send.h"
#include "sum.h"

// GUE, variant 0, without flags (draft-ietf-intarea-gue-09 3.1).
struct gue {
	u8 length, proto; // of what follows the four bytes, in words; of what it carries
	__be16 flags;
};

#define GUE_FIRST_PORT 49152 // sources are in the dynamic range (RFC 6335), so that 14 bits tell flows apart

// One router more has seen it.
static __always_inline bool age(struct xdp_md *ctx, const struct packet *p)
{
	void *at = data_of(ctx) + L3(p), *end = end_of(ctx);

	if (p->version == 4) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > end)
			return false;
		ip->check = amended(ip->check, replace2(0, bpf_htons(ip->ttl << 8), bpf_htons((ip->ttl - 1) << 8)));
		ip->ttl--;
	} else {
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > end)
			return false;
		ip->hop_limit--;
	}
	return true;
}

static __always_inline void write_gue(struct udphdr *udp, const struct packet *p, const struct service *s, u32 hash, u32 len)
{
	struct gue *gue = (void *)(udp + 1);

	udp->source = bpf_htons(GUE_FIRST_PORT + (hash & 0x3fff));
	udp->dest = s->gue_port;
	udp->len = bpf_htons(len);
	udp->check = 0; // what is inside has its own; over IPv6 too a tunnel may (RFC 6935, RFC 6936)
	gue->length = 0;
	gue->proto = p->version == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	gue->flags = 0;
}

static __noinline int tunnel(struct xdp_md *ctx, struct packet *p, const struct service *s, const struct node *n,
				  const struct way *w)
{
	bool four = is_four(&n->addr), gue = s->dispatch == GUE;
	u32 mine = gue ? sizeof(struct udphdr) + sizeof(struct gue) : 0;
	u32 room = (four ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + mine;
	u32 hash = 0, l2 = w->vlan ? sizeof(struct ethhdr) + sizeof(struct vlan_tag) : sizeof(struct ethhdr);
	u8 proto = gue ? IPPROTO_UDP : p->version == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	void *at, *end;
	int verdict, padding;

	if (is_none(&w->from))
		return drop(s->id, R_NO_ROUTE); // it leads out of a port that has no address
	if (p->len + room > w->mtu)
		return too_big(ctx, p, s->id, &p->key.dst, w->mtu > room ? w->mtu - room : 0);
	if (p->ttl <= 1)
		return too_old(ctx, p, s->id, &p->key.dst);
	if (!age(ctx, p))
		return drop(s->id, R_MALFORMED);
	padding = (int)(end_of(ctx) - data_of(ctx)) - (int)(p->l3 + p->len);
	if (unlikely(padding > 0) && bpf_xdp_adjust_tail(ctx, -padding)) // the frame is not a short one any more
		return drop(s->id, R_FULL);
	if (gue || !four)
		hash = number_with_port(&p->key.src, p->part == ALL ? p->key.sport : 0); // parts of one datagram stay together
	verdict = leave(ctx, p, w, room, four);
	if (verdict < 0)
		return drop(s->id, R_FULL);
	at = data_of(ctx) + l2;
	end = end_of(ctx);

	// The class and congestion bits are those of what is inside (RFC 6040 4.1). The node's program takes no fragments, and
	// what is too large is known here: so no router may make any (RFC 2003 3.1).
	if (four) {
		struct iphdr *ip = at;
		u32 *word = at;
		u64 sum = 0;

		at = ip + 1;
		if (at + mine > end || at + sizeof(struct udphdr) + sizeof(struct gue) > end)
			return drop(s->id, R_MALFORMED);
		ip->version = 4;
		ip->ihl = sizeof(*ip) / 4;
		ip->tos = p->tos;
		ip->tot_len = bpf_htons(room + p->len);
		ip->id = 0;
		ip->frag_off = DF;
		ip->ttl = TTL;
		ip->protocol = proto;
		ip->check = 0;
		ip->saddr = w->from.w[3];
		ip->daddr = n->addr.w[3];
		for (u32 i = 0; i < sizeof(*ip) / 4; i++)
			sum += word[i];
		ip->check = checksum(sum);
	} else {
		struct ipv6hdr *ip = at;

		at = ip + 1;
		if (at + sizeof(struct udphdr) + sizeof(struct gue) > end)
			return drop(s->id, R_MALFORMED);
		*(__be32 *)ip = bpf_htonl(6u << 28 | (u32)p->tos << 20 | (hash & 0xfffff)); // a label by flow (RFC 6438)
		ip->payload_len = bpf_htons(mine + p->len);
		ip->nexthdr = proto;
		ip->hop_limit = TTL;
		__builtin_memcpy(&ip->saddr, &w->from, sizeof(w->from));
		__builtin_memcpy(&ip->daddr, &n->addr, sizeof(n->addr));
	}
	if (gue)
		write_gue(at, p, s, hash, mine + p->len);
	count_node(p->node, p->len);
	return verdict;
}
