//go:build ignore

// How a flow begins: whether it may, and with which node; and how it begins anew when that node is gone.

#pragma once

#include "admit.h"
#include "answer.h"
#include "flow.h"
#include "fragment.h"
#include "name.h"
#include "pick.h"

// Whether the frame is addressed to this port. In promiscuous mode, and while a switch learns, a port sees what is another
// director's: none of the flows begun there is known here.
static __always_inline bool is_ours(struct xdp_md *ctx, const struct packet *p)
{
	void *data = data_of(ctx), *end = end_of(ctx);
	u32 ifindex = ctx->ingress_ifindex;
	u16 *eth = data, *mac;
	struct port *port;

	if (p->vlan) // a VLAN interface may have an address of its own
		return true;
	port = bpf_map_lookup_elem(&ports, &ifindex);
	if (!port || data + sizeof(struct ethhdr) > end)
		return true;
	mac = (u16 *)port->mac;
	if (!(mac[0] | mac[1] | mac[2]))
		return true;
	return !((eth[0] ^ mac[0]) | (eth[1] ^ mac[1]) | (eth[2] ^ mac[2]));
}

static __always_inline bool is_first(const struct packet *p)
{
	return p->key.proto != IPPROTO_TCP || (p->tcp & (SYN | ACK | RST)) == SYN;
}

// Whether a packet of no flow gets any further. Returns 0, or NODES and what becomes of it.
static __always_inline u32 admit(struct xdp_md *ctx, struct packet *p, const struct service *s)
{
	if (!is_ours(ctx, p))
		return NODES + pass(0, R_PASSED);
	if (!is_sender(&p->key.src) || same(&p->key.src, &p->key.dst))
		return NODES + drop(s->id, R_MALFORMED);
	if (listed_out(p, s))
		return NODES + drop(s->id, R_DENIED);
	if (!is_first(p) && p->part != LATER && !(s->flags & S_HASHED)) {
		count(s->id, R_UNKNOWN_RESET);
		return NODES + reset(ctx, p);
	}
	if (too_fast(p, s))
		return NODES + drop(s->id, R_RATE);
	return 0;
}

// A node for the first packet of a flow: its place, or NODES and what becomes of the packet.
static __noinline u32 begin(struct xdp_md *ctx, struct packet *p, const struct service *s)
{
	struct flow f = {.seen = p->now, .front = s->front, .ack = p->ack, .service = s->id, .state = SYN_SEEN};
	u32 why = admit(ctx, p, s);
	struct datagram *d;
	struct name n;

	if (why)
		return why;
	d = p->part == FIRST ? datagram_at(p) : NULL; // its later fragments may have come first
	f.node = d && d->service == s->id ? d->node : choose(p, s);
	if (f.node >= NODES)
		return NODES + drop(s->id, R_NO_NODE);
	if (s->dispatch == NAT && name_of(p, &f, &n)) {
		why = take_name(&n);
		if (why)
			return NODES + drop(s->id, why);
	}
	if (!first_put(&p->key, &f))
		return NODES + drop(s->id, R_FULL);
	count_unconfirmed(s->id);
	tell(E_NEW, &p->key, &f);
	return f.node;
}

// Another node for a flow whose own is gone, or its end. What has not begun yet can only gain by another node.
static __noinline u32 move(struct xdp_md *ctx, struct packet *p, const struct service *s, struct flow *f)
{
	u32 old = f->node, node;
	struct name n;

	if (s->lost == RESET && !is_first(p)) {
		forget(p, s, f);
		count(s->id, R_GONE_RESET);
		return NODES + reset(ctx, p);
	}
	node = choose(p, s);
	if (node >= NODES)
		return NODES + drop(s->id, R_NO_NODE);
	if (s->dispatch == NAT && name_of(p, f, &n))
		unname(&n);
	if (__sync_val_compare_and_swap(&f->node, old, node) != old)
		return f->node < NODES ? f->node : NODES + drop(s->id, R_NO_NODE); // another CPU was faster
	if (f->flags & F_COUNTED) {
		count_active(old, -1);
		count_active(node, 1);
	}
	if (s->dispatch == NAT && name_of(p, f, &n)) {
		if (take_name(&n))
			return NODES + drop(s->id, R_CONFLICT);
		if (f->state != SYN_SEEN)
			keep_name(&n);
	}
	write_back(&p->key, f);
	count(s->id, R_GONE_MOVED);
	return node;
}
