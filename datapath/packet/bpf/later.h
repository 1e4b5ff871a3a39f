//go:build ignore

// Later fragments: those without ports. They go with their datagram, or else with the newest of the same two, which most
// likely is of the same flow; and if nothing is known of the two, where a new flow of theirs would go.

#pragma once

#include "begin.h"
#include "fragment.h"
#include "nat.h"
#include "service.h"

// The place of its node, or NODES and what becomes of it.
static __noinline u32 node_of_fragment(struct xdp_md *ctx, struct packet *p, struct service **s)
{
	struct datagram_key k = datagram_key(p);
	struct datagram *own, *d;
	struct node *n;
	u32 node = NODES, why;

	p->now = now();
	d = own = fresh(p, &k);
	if (!d) {
		k.id = 0;
		k.newest = 1;
		d = fresh(p, &k);
	}
	if (d && d->flags & F_REPLY) {
		count(d->service, R_FRAGMENT);
		p->node = d->node;
		p->front = d->front;
		p->service = d->service;
		p->seen = p->now; // its flow cannot be told
		if (own)
			own->seen = p->now;
		else
			note(p, p->node, p->front, p->service, F_REPLY);
		return BACK;
	}
	*s = d ? service_at(p, d->front) : service_of_whole(p);
	if (!*s)
		return NODES + pass(0, R_PASSED);
	if (d && d->service == (*s)->id) {
		count_service((*s)->id, p->len);
		node = d->node;
		n = bpf_map_lookup_elem(&nodes, &node);
		if (!n || n->flags & N_GONE) {
			node = NODES;
			own = NULL;
		}
	} else {
		own = NULL;
		why = admit(ctx, p, *s);
		if (why)
			return why;
	}
	if (node >= NODES)
		node = choose(p, *s);
	if (node >= NODES)
		return NODES + drop((*s)->id, R_NO_NODE);
	if (own)
		own->seen = p->now;
	else
		note(p, node, (*s)->front, (*s)->id, 0);
	count((*s)->id, R_FRAGMENT);
	return node;
}
