//go:build ignore

// How a packet gets to its node, whichever way the service dispatches.

#pragma once

#include "begin.h"
#include "nat.h"
#include "send.h"
#include "tunnel.h"

// dr: the packet as it came, in a frame to the node. The node's time to live is the client's: the director is no router
// here, and a packet that comes back from the node itself does not go round.
static __always_inline int direct(struct xdp_md *ctx, struct packet *p, const struct service *s, const struct way *w)
{
	int verdict;

	if (!w->direct)
		return drop(s->id, R_NO_ROUTE); // a router between would send it back here
	if (p->len > w->mtu)
		return too_big(ctx, p, s->id, &p->key.dst, w->mtu);
	if (comes_from(ctx, w))
		return drop(s->id, R_LOOP);
	verdict = leave(ctx, p, w, 0, p->version == 4);
	if (verdict < 0)
		return drop(s->id, R_FULL);
	count_node(p->node, p->len);
	return verdict;
}

// Sends the packet to the node. kept is its flow, if that is in `flows`.
static __always_inline int deliver(struct xdp_md *ctx, struct packet *p, const struct service *s, struct flow *kept, u32 node)
{
	struct node *n = bpf_map_lookup_elem(&nodes, &node);
	struct way *w;

	if (n && unlikely(n->flags & N_GONE) && kept) {
		node = move(ctx, p, s, kept);
		if (node >= NODES)
			return node - NODES;
		n = bpf_map_lookup_elem(&nodes, &node);
	}
	w = bpf_map_lookup_elem(&ways, &node);
	if (!n || !w || n->flags & N_GONE)
		return drop(s->id, R_NO_NODE);
	p->node = node;
	if (unlikely(p->part == FIRST))
		note(p, node, s->front, s->id, 0);
	if (unlikely(n->flags & N_LOCAL)) {
		count_node(node, p->len);
		return XDP_PASS;
	}
	if (!open_way(ctx, p, w, &n->addr, n->mtu, node, s->id, 0))
		return drop(s->id, w->reason);
	switch (s->dispatch) {
	case DR:
		return direct(ctx, p, s, w);
	case IPIP:
	case GUE:
		return tunnel(ctx, p, s, n, w);
	case NAT:
		return translate(ctx, p, s, n, w);
	}
	return drop(s->id, R_NO_NODE);
}
