//go:build ignore

// How a flow begins: whether it may, and with which node; and how it begins anew when that node is gone.

#pragma once

#include "admit.h"
#include "answer.h"
#include "flow.h"
#include "fragment.h"
#include "name.h"
#include "pick.h"

// The MAC address of the port that the packet came in by; zeros: it is not known.
static __always_inline const u16 *mac_of_port(struct xdp_md *ctx)
{
	u32 ifindex = ctx->ingress_ifindex, at = ifindex % KNOWN_PORTS, epoch = settings.epoch;
	struct known_port *k = bpf_map_lookup_elem(&known_ports, &at);
	struct port *port;

	if (!k)
		return NULL;
	if (unlikely(k->ifindex != ifindex || k->epoch != epoch)) {
		port = bpf_map_lookup_elem(&ports, &ifindex);
		*k = (struct known_port){.ifindex = ifindex, .epoch = epoch};
		if (port)
			__builtin_memcpy(k->mac, port->mac, sizeof(k->mac));
	}
	return k->mac;
}

// Whether the frame is addressed to this port. In promiscuous mode, and while a switch learns, a port sees what is another
// director's: none of the flows begun there is known here.
static __always_inline bool is_ours(struct xdp_md *ctx, const struct packet *p)
{
	const u16 *mac, *eth = data_of(ctx);

	if (p->vlan) // a VLAN interface may have an address of its own
		return true;
	mac = mac_of_port(ctx);
	if (!mac || !(mac[0] | mac[1] | mac[2]) || (void *)eth + sizeof(struct ethhdr) > end_of(ctx))
		return true;
	return !((eth[0] ^ mac[0]) | (eth[1] ^ mac[1]) | (eth[2] ^ mac[2]));
}

static __always_inline bool is_first(const struct packet *p)
{
	return p->key.proto != IPPROTO_TCP || (p->tcp & (SYN | ACK | RST)) == SYN;
}

// Whether a packet of no flow is for this director, and gets any further. Returns 0, or NODES and what becomes of it.
static __always_inline u32 admit(struct xdp_md *ctx, struct packet *p, const struct service *s)
{
	if (!is_ours(ctx, p))
		return NODES + pass(0, R_PASSED);
	count_service(s->id, p->len);
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
static __always_inline u32 begin(struct xdp_md *ctx, struct packet *p, const struct service *s)
{
	struct flow f = {.seen = p->now, .front = s->front, .ack = p->ack, .service = s->id, .state = SYN_SEEN};
	u32 why = admit(ctx, p, s);
	struct datagram *d;

	if (why)
		return why;
	d = p->part == FIRST ? datagram_at(p) : NULL; // its later fragments may have come first
	f.node = d && d->service == s->id ? d->node : choose(p, s);
	if (f.node >= NODES)
		return NODES + drop(s->id, R_NO_NODE);
	why = s->dispatch == NAT ? take_name(p, &f) : 0;
	if (why)
		return NODES + drop(s->id, why);
	if (!first_put(&p->key, p->number, &f))
		return NODES + drop(s->id, R_FULL);
	count_unconfirmed(s->id);
	tell(E_NEW, &p->key, &f);
	return f.node;
}

static __always_inline bool is_gone(u32 node)
{
	struct node *n = bpf_map_lookup_elem(&nodes, &node);

	return n && n->flags & N_GONE;
}

// Another node for a flow whose own is gone, or its end. What has not begun yet can only gain by another node.
static __noinline u32 move(struct xdp_md *ctx, struct packet *p, const struct service *s, struct flow *f)
{
	u32 old = f->node, node, why;

	if (s->lost == RESET && !is_first(p)) {
		forget(p, s, f);
		count(s->id, R_GONE_RESET);
		return NODES + reset(ctx, p);
	}
	node = choose(p, s);
	if (node >= NODES)
		return NODES + drop(s->id, R_NO_NODE);
	if (s->dispatch == NAT)
		give_name(p, f);
	if (__sync_val_compare_and_swap(&f->node, old, node) != old)
		return f->node < NODES ? f->node : NODES + drop(s->id, R_NO_NODE); // another CPU was faster
	if (f->flags & F_COUNTED) {
		count_active(old, -1);
		count_active(node, 1);
	}
	if (s->dispatch == NAT) {
		why = take_name(p, f);
		if (why)
			return NODES + drop(s->id, why);
		if (f->state != SYN_SEEN)
			keep_name(p, f);
	}
	write_back(&p->key, f);
	count(s->id, R_GONE_MOVED);
	return node;
}
