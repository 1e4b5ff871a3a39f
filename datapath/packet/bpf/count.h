//go:build ignore

// What happened: counters, each CPU's own, and events.

#pragma once

#include "maps.h"

static __always_inline void count(u32 service, u32 reason)
{
	u32 place = service * REASONS + reason;
	u64 *n = bpf_map_lookup_elem(&reasons, &place);

	if (n)
		++*n;
}

static __always_inline int drop(u32 service, u32 reason)
{
	count(service, reason);
	return XDP_DROP;
}

static __always_inline int pass(u32 service, u32 reason)
{
	count(service, reason);
	return XDP_PASS;
}

static __always_inline void count_service(u32 service, u64 bytes)
{
	struct service_count *c = bpf_map_lookup_elem(&service_counts, &service);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

static __always_inline void count_node(u32 node, u64 bytes)
{
	struct node_count *c = bpf_map_lookup_elem(&node_counts, &node);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

static __always_inline void count_unconfirmed(u32 service)
{
	struct service_count *c = bpf_map_lookup_elem(&service_counts, &service);

	if (c)
		c->unconfirmed++;
}

static __always_inline void count_flow(u32 service, u32 node)
{
	struct service_count *s = bpf_map_lookup_elem(&service_counts, &service);
	struct node_count *n = bpf_map_lookup_elem(&node_counts, &node);

	if (s)
		s->flows++;
	if (n)
		n->flows++;
}

// How many flows with F_COUNTED the node has.
static __always_inline void count_active(u32 node, long long change)
{
	struct node_live *l = bpf_map_lookup_elem(&node_live, &node);

	if (l)
		__sync_fetch_and_add(&l->active, change);
}

static __noinline void tell_it(u32 kind, const struct flow_key *key, const struct flow *f)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(f->service, R_UNHEARD);
		return;
	}
	e->key = *key;
	e->flow = *f;
	e->kind = kind;
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void tell(u32 kind, const struct flow_key *key, const struct flow *f)
{
	if (settings.events & 1 << kind)
		tell_it(kind, key, f);
}
