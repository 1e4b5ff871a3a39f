//go:build ignore

// The way to a node: the kernel's own routes and neighbours, asked now and then.

#pragma once

#include "clock.h"
#include "count.h"
#include "parse.h"

#define KEPT (SECOND / 4)        // how long an answer is good for
#define KEPT_WITHOUT (SECOND / 50) // and one that says that there is no way

#define EINVAL 22
#define AF_INET 2
#define AF_INET6 10

static __always_inline long look_up(struct xdp_md *ctx, struct bpf_fib_lookup *q, u32 ifindex, const struct addr *to, u32 flags)
{
	bool four = is_four(to);

	*q = (struct bpf_fib_lookup){.ifindex = ifindex, .tot_len = 1}; // without a length no MTU is given
	q->family = four ? AF_INET : AF_INET6;
	if (four)
		q->ipv4_dst = to->w[3];
	else
		__builtin_memcpy(q->ipv6_dst, to, sizeof(q->ipv6_dst));
	return bpf_fib_lookup(ctx, q, sizeof(*q), flags);
}

// Asks the kernel for the way to an address that a packet from this port shall go.
static __noinline void ask(struct xdp_md *ctx, struct packet *p, struct way *w, const struct addr *to, u32 mtu)
{
	struct vlan_key tag = {.ifindex = ctx->ingress_ifindex, .vlan = p->vlan};
	u32 *interface = bpf_map_lookup_elem(&vlans, &tag);
	u32 from = interface ? *interface : tag.ifindex;
	struct bpf_fib_lookup q;
	bool four = is_four(to);
	struct port *port;
	long said;

	if (is_none(to)) { // a node that is none yet, or no more
		w->ifindex = 0;
		w->reason = R_NO_NODE;
		w->said = 0;
		return;
	}
	said = look_up(ctx, &q, from, to, BPF_FIB_LOOKUP_SRC);
	if (said == -EINVAL || said == BPF_FIB_LKUP_RET_NO_SRC_ADDR) // Linux before 6.7; or a port without an address
		said = look_up(ctx, &q, from, to, 0);

	w->until = 0; // what follows is of no use until it is complete
	w->to = *to;
	w->epoch = settings.epoch;
	w->said = said;
	w->ifindex = 0;
	if (said) {
		w->reason = said == BPF_FIB_LKUP_RET_NO_NEIGH ? R_NO_NEIGHBOUR : R_NO_ROUTE;
		w->until = p->now + KEPT_WITHOUT;
		return;
	}
	if (four) {
		w->direct = q.family == AF_INET && q.ipv4_dst == to->w[3];
		w->from = mapped(q.ipv4_src);
		if (!q.ipv4_src)
			w->from = *(struct addr *)&settings.v4;
	} else {
		w->direct = q.family == AF_INET6 && !__builtin_memcmp(q.ipv6_dst, to, sizeof(q.ipv6_dst));
		__builtin_memcpy(&w->from, q.ipv6_src, sizeof(w->from));
		if (is_none(&w->from))
			w->from = *(struct addr *)&settings.v6;
	}
	__builtin_memcpy(w->dst, q.dmac, sizeof(w->dst));
	__builtin_memcpy(w->src, q.smac, sizeof(w->src));
	w->mtu = q.mtu_result;
	if (mtu && mtu < w->mtu)
		w->mtu = mtu;
	w->vlan = 0;
	w->ifindex = q.ifindex;
	port = bpf_map_lookup_elem(&ports, &w->ifindex);
	if (port && port->ifindex) {
		w->ifindex = port->ifindex;
		w->vlan = port->vlan;
		if (port->mtu && port->mtu < w->mtu)
			w->mtu = port->mtu;
	}
	w->until = p->now + KEPT;
}

// Has user space find out who the next hop to an address is.
static __noinline void seek(const struct packet *p, const struct addr *to, u32 node, u32 service, u8 flags)
{
	struct flow_key key = p->key;
	struct flow f = {.seen = p->now, .node = node, .service = service, .flags = flags};

	key.dst = *to;
	tell(E_NO_NEIGHBOUR, &key, &f);
}

// Whether the way can be taken; reason says why it cannot. `node` is whose it is, with F_REPLY the one that replies.
static __always_inline bool open_way(struct xdp_md *ctx, struct packet *p, struct way *w, const struct addr *to, u32 mtu,
				     u32 node, u32 service, u8 flags)
{
	if (unlikely(w->until <= p->now || w->epoch != settings.epoch || !same(&w->to, to))) {
		ask(ctx, p, w, to, mtu);
		if (w->said == BPF_FIB_LKUP_RET_NO_NEIGH)
			seek(p, to, node, service, flags);
	}
	return w->ifindex;
}
