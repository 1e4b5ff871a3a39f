//go:build ignore

// ICMP errors: they go where the flow goes whose packet they quote. Without them a path's MTU stays unknown to the node
// that sends.

#pragma once

#include "answer.h"
#include "flow.h"
#include "nat.h"
#include "parse.h"
#include "service.h"

#define QUOTED_EXTENSIONS 2

static __always_inline bool is_error(u8 version, u8 type)
{
	if (version == 6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

// An IP header that an error quotes, and the ports behind it.
struct quote {
	struct addr src, dst;
	__be16 sport, dport;
	u16 l3, l4; // offsets
	u16 end;    // offset of where the error ends
	u8 proto;
	u8 version;
};

// Reads a quoted packet that begins at l3. At least the first eight bytes behind its headers are there, or it is none.
static __always_inline bool read_quote(void *data, void *end, struct quote *q)
{
	void *at = data + (q->l3 & DEEPEST);
	__be16 *ports;

	if (q->version == 4) {
		struct iphdr *ip = at;
		u32 header;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->frag_off & bpf_htons(IP_OFFSET))
			return false;
		header = ip->ihl * 4;
		if (header < sizeof(*ip))
			return false;
		q->src = mapped(ip->saddr);
		q->dst = mapped(ip->daddr);
		q->proto = ip->protocol;
		at += header;
		q->l4 = q->l3 + header;
	} else {
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > end || ip->version != 6)
			return false;
		__builtin_memcpy(&q->src, &ip->saddr, sizeof(q->src));
		__builtin_memcpy(&q->dst, &ip->daddr, sizeof(q->dst));
		q->proto = ip->nexthdr;
		at = ip + 1;
		q->l4 = q->l3 + sizeof(*ip);
		for (int i = 0; i < QUOTED_EXTENSIONS; i++) {
			struct extension *e = at;
			u32 len;

			if (!is_extension(q->proto) || q->proto == IPPROTO_AH)
				break;
			if ((void *)(e + 1) > end)
				return false;
			if (q->proto == IPPROTO_FRAGMENT && e->fragment & bpf_htons(~7))
				return false;
			len = q->proto == IPPROTO_FRAGMENT ? sizeof(*e) : (e->len + 1) * 8;
			q->proto = e->next;
			at += len;
			q->l4 += len;
		}
	}
	ports = at;
	if (at + 8 > end || q->l4 > DEEPEST || q->l4 + 8 > q->end)
		return false;
	q->sport = ports[0];
	q->dport = ports[1];
	return true;
}

// A router between this director and a node says what the path carries. What it quotes is a packet of a tunnel, q; if it
// quotes enough of it, what the tunnel carries says which node's path that is (RFC 2003 5). The kernel sees the error as
// well.
__noinline int learn_mtu(struct xdp_md *ctx, const struct packet *p, struct quote *q)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	struct flow copy = {}, *f;
	struct flow_key key;
	struct icmp *icmp;
	struct addr to;
	struct node *n;
	u32 mtu, least;

	if (!p || !q)
		return 0;
	icmp = data + L4(p);
	if ((void *)(icmp + 1) > end)
		return 0;
	if (p->version == 4 ? icmp->type != ICMP_DEST_UNREACH || icmp->code != ICMP_FRAG_NEEDED
			    : icmp->type != ICMPV6_PKT_TOOBIG)
		return 0;
	mtu = p->version == 4 ? bpf_ntohl(icmp->rest) & 0xffff : bpf_ntohl(icmp->rest);
	least = p->version == 4 ? 576 : 1280;
	to = q->dst;
	q->version = q->proto == IPPROTO_IPV6 ? 6 : 4;
	q->l3 = q->l4;
	if (q->proto == IPPROTO_UDP) {
		struct gue *gue = data + (q->l4 & DEEPEST) + sizeof(struct udphdr);

		if ((void *)(gue + 1) > end || gue->length || gue->flags)
			return 0;
		q->version = gue->proto == IPPROTO_IPV6 ? 6 : 4;
		q->l3 += sizeof(struct udphdr) + sizeof(*gue);
	}
	if (!read_quote(data, end, q))
		return 0;
	key = (struct flow_key){.src = q->src, .dst = q->dst, .dport = q->dport, .proto = q->proto, .sport = q->sport};
	f = either(&key, &copy);
	if (!f || f->flags & F_REPLY)
		return 0;
	n = bpf_map_lookup_elem(&nodes, &f->node);
	if (!n || !same(&n->addr, &to))
		return 0;
	if (mtu < least)
		mtu = least; // whoever says less wants to do harm
	if (!n->mtu || mtu < n->mtu)
		n->mtu = mtu;
	return 0;
}

// The flow that an error is about, or NULL: it is none, or about nothing of ours. p gets the key of that flow.
static __always_inline struct flow *flow_of_error(struct xdp_md *ctx, struct packet *p, struct flow *copy)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	struct icmp *icmp = data + L4(p);
	struct flow *f;
	struct quote q = {.version = p->version, .l3 = p->l4 + sizeof(*icmp), .end = p->l3 + p->len};

	if (p->part != ALL || (void *)(icmp + 1) > end || !is_error(p->version, icmp->type) || !read_quote(data, end, &q))
		return NULL;
	if (!same(&q.src, &p->key.dst))
		return NULL; // it has nothing to do with whom it is sent to
	if (q.proto != IPPROTO_TCP && q.proto != IPPROTO_UDP) {
		if (q.proto == IPPROTO_IPIP || q.proto == IPPROTO_IPV6)
			learn_mtu(ctx, p, &q);
		return NULL;
	}
	p->inner = q.l3;
	p->inner_l4 = q.l4;
	p->key.src = q.dst;
	p->key.sport = q.dport;
	p->key.dport = q.sport;
	p->key.proto = q.proto;
	f = either(&p->key, copy);
	if (!f && q.proto == IPPROTO_UDP)
		learn_mtu(ctx, p, &q); // perhaps it is of a tunnel
	return f;
}

// The place of the node that an error goes to, or NODES and what becomes of it.
static __noinline u32 node_of_error(struct xdp_md *ctx, struct packet *p, struct service **s)
{
	struct flow copy = {}, *f = flow_of_error(ctx, p, &copy);

	if (!f)
		return NODES + pass(0, R_PASSED);
	p->now = now();
	if (f->flags & F_REPLY) {
		count(f->service, R_ICMP_ERROR);
		return is_reply(p, f);
	}
	*s = service_at(p, f->front);
	if (!*s || f->service != (*s)->id)
		return NODES + pass(0, R_PASSED);
	count_service((*s)->id, p->len);
	count((*s)->id, R_ICMP_ERROR);
	return f->node;
}
