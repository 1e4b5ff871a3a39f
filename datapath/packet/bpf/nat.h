//go:build ignore

// nat: another destination for what goes to the node, and for what it replies the source that the client knows (LSNAT,
// RFC 2391). Both have passed a router, and look so.

#pragma once

#include "answer.h"
#include "flow.h"
#include "fragment.h"
#include "send.h"
#include "sum.h"
#include "tunnel.h"

// Addresses of an IP header, and what changes in checksums that cover them.
static __always_inline u64 readdress(__be32 *at, const struct addr *to, bool four)
{
	u64 sum = 0;

	if (four) {
		sum = replace(sum, *at, to->w[3]);
		*at = to->w[3];
	} else {
		sum = replace_addr(sum, at, to->w);
		__builtin_memcpy(at, to, sizeof(*to));
	}
	return sum;
}

static __always_inline bool is_at(const __be32 *at, const struct addr *a, bool four)
{
	return four ? *at == a->w[3] : same((const struct addr *)at, a);
}

// Where a header has an address: the source, or the destination.
static __always_inline __be32 *address_in(void *ip, bool source, bool four)
{
	if (four)
		return source ? &((struct iphdr *)ip)->saddr : &((struct iphdr *)ip)->daddr;
	return source ? ((struct ipv6hdr *)ip)->saddr.in6_u.u6_addr32 : ((struct ipv6hdr *)ip)->daddr.in6_u.u6_addr32;
}

// Renames one end of a packet that an ICMP error quotes: it was on its way in the other direction. Returns what changes in
// ICMP's checksum.
static __always_inline u64 rename_quoted(const struct packet *p, void *data, void *end, const struct addr *to, __be16 port,
					 bool source)
{
	bool four = p->version == 4;
	u32 size = four ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *ip = data + INNER(p), *l4 = data + INNER_L4(p);
	u64 change, sum;
	__be16 *at;
	u16 old;

	if (ip + size > end || ip + sizeof(struct iphdr) > end || (!four && ip + sizeof(struct ipv6hdr) > end))
		return 0;
	sum = change = readdress(address_in(ip, source, four), to, four);
	if (four) {
		u16 *check = &((struct iphdr *)ip)->check;

		old = *check;
		*check = amended(old, change);
		sum = replace2(sum, old, *check);
	}
	if (l4 + 4 > end)
		return sum;
	at = source ? l4 : l4 + 2;
	if (port && port != *at) {
		change = replace2(change, *at, port);
		sum = replace2(sum, *at, port);
		*at = port;
	}
	// Its checksum, where enough of it is quoted for that: some read it.
	at = l4 + (p->key.proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	if ((void *)(at + 1) > end || (void *)(at + 1) > data + (L3(p) + (p->len & 0xffff)))
		return sum;
	old = *at;
	*at = p->key.proto == IPPROTO_TCP ? amended(old, change) : udp_amended(old, change);
	return replace2(sum, old, *at);
}

// Gives the packet another source, or destination. A port 0 leaves the port.
static __always_inline bool rename(struct xdp_md *ctx, const struct packet *p, const struct addr *was, const struct addr *to,
				   __be16 port, bool source)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	void *ip = data + L3(p), *l4 = data + L4(p);
	bool four = p->version == 4;
	u64 change = 0;
	__be32 *addr;
	__be16 *at;

	if (ip + sizeof(struct iphdr) > end || (!four && ip + sizeof(struct ipv6hdr) > end))
		return false;
	addr = address_in(ip, source, four);
	if (!p->inner || is_at(addr, was, four)) // an error may come from a router between
		change = readdress(addr, to, four);
	if (four) {
		struct iphdr *v4 = ip;

		v4->check = amended(v4->check, replace2(change, bpf_htons(v4->ttl << 8), bpf_htons((v4->ttl - 1) << 8)));
		v4->ttl--;
	} else {
		((struct ipv6hdr *)ip)->hop_limit--;
	}
	if (p->part == LATER)
		return true;
	if (p->inner) {
		struct icmp *icmp = l4;
		u64 sum = rename_quoted(p, data, end, to, port, !source);

		if ((void *)(icmp + 1) > end)
			return false;
		icmp->check = amended(icmp->check, four ? sum : sum + change); // ICMPv6's covers addresses
		return true;
	}
	if (l4 + sizeof(struct udphdr) > end)
		return false;
	at = source ? l4 : l4 + 2;
	if (port && port != *at) {
		change = replace2(change, *at, port);
		*at = port;
	}
	if (p->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return false;
		tcp->check = amended(tcp->check, change);
	} else {
		struct udphdr *udp = l4;

		udp->check = udp_amended(udp->check, change);
	}
	return true;
}

static __noinline int translate(struct xdp_md *ctx, struct packet *p, const struct service *s, const struct node *n,
				     const struct way *w)
{
	int verdict;

	if (p->len > w->mtu)
		return too_big(ctx, p, s->id, &p->key.dst, w->mtu);
	if (p->ttl <= 1)
		return too_old(ctx, p, s->id, &p->key.dst);
	if (!rename(ctx, p, &p->key.dst, &n->addr, port_at(n, p), false))
		return drop(s->id, R_MALFORMED);
	verdict = leave(ctx, p, w, 0, p->version == 4);
	if (verdict < 0)
		return drop(s->id, R_FULL);
	count_node(p->node, p->len);
	return verdict;
}

// What a node replies is said in p: whose flow it is. Returns what means that it goes to its client.
#define BACK (NODES + 16)

static __always_inline u32 is_reply(struct packet *p, const struct flow *f)
{
	p->node = f->node;
	p->front = f->front;
	p->service = f->service;
	p->seen = f->seen;
	return BACK;
}

// Whether a reply means something for its flow: an end, or that it lives, which is noted once a second.
static __always_inline bool is_news(const struct packet *p)
{
	return p->seen + SECOND <= p->now || (p->tcp & (FIN | RST) && !p->inner);
}

// Notes what a reply means for both records of its flow.
__noinline int hear_reply(const struct packet *p)
{
	struct flow copy = {}, *f;
	struct flow_key key;

	if (!p)
		return 0;
	f = either(&p->key, &copy);
	if (!f)
		return 0;
	f->seen = p->now;
	write_back(&p->key, f);
	if (!flow_key_of(&p->key, f, &key))
		return 0;
	f = either(&key, &copy);
	if (!f || f->service != p->service || f->flags & F_REPLY)
		return 0;
	f->seen = p->now;
	write_back(&key, f);
	if (p->inner || f->state == SYN_SEEN) // no node: the client asks again, perhaps
		return 0;
	if (p->tcp & RST)
		change(&key, f, CLOSED, 0, F_COUNTED);
	else if (p->tcp & FIN)
		finish(&key, f, F_NODE_FIN);
	return 0;
}

// Sends a node's reply to its client.
static __noinline int back(struct xdp_md *ctx, struct packet *p)
{
	struct entrance *e = bpf_map_lookup_elem(&fronts, &p->front);
	u32 place = number_of(&p->key.dst) % WAYS_BACK;
	struct way *w = bpf_map_lookup_elem(&client_ways, &place);
	struct node_count *c;
	int verdict;

	if (!e || !w)
		return drop(p->service, R_NO_ROUTE);
	if (!open_way(ctx, p, w, &p->key.dst, 0, p->node, p->service, F_REPLY))
		return drop(p->service, w->reason);
	if (p->len > w->mtu)
		return too_big(ctx, p, p->service, &w->from, w->mtu);
	if (p->ttl <= 1)
		return too_old(ctx, p, p->service, &w->from);
	if (!rename(ctx, p, &p->key.src, &e->front.vip, e->front.port, true))
		return drop(p->service, R_MALFORMED);
	if (unlikely(p->part == FIRST))
		note(p, p->node, p->front, p->service, F_REPLY);
	verdict = leave(ctx, p, w, 0, p->version == 4);
	if (verdict < 0)
		return drop(p->service, R_FULL);
	c = bpf_map_lookup_elem(&node_counts, &p->node);
	if (c) {
		c->reply_packets++;
		c->reply_bytes += p->len;
	}
	return verdict;
}

static __always_inline int reply(struct xdp_md *ctx, struct packet *p)
{
	if (unlikely(is_news(p)))
		hear_reply(p);
	return back(ctx, p);
}
