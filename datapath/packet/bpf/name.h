//go:build ignore

// nat: what a flow is called where its node is. That name is what leads replies back to it.

#pragma once

#include "count.h"
#include "first.h"
#include "parse.h"

// What the node of a flow sends to its client.
struct name {
	struct flow_key key;
	struct flow flow;
};

// The port of the node that a packet goes to.
static __always_inline __be16 port_at(const struct node *n, const struct packet *p)
{
	return n->port && !p->any ? n->port : p->key.dport;
}

static __always_inline bool name_of(const struct packet *p, const struct flow *f, struct name *n)
{
	struct node *node = bpf_map_lookup_elem(&nodes, &f->node);

	if (!node)
		return false;
	*n = (struct name){
		.key = {
			.src = node->addr,
			.dst = p->key.src,
			.dport = p->key.sport,
			.proto = p->key.proto,
			.sport = port_at(node, p),
		},
		.flow = {
			.seen = p->now,
			.node = f->node,
			.front = f->front,
			.service = f->service,
			.state = f->state,
			.flags = F_REPLY,
		},
	};
	return true;
}

// What the client sends in the flow of which this is the reply.
static __always_inline bool flow_key_of(const struct flow_key *reply, const struct flow *f, struct flow_key *key)
{
	struct entrance *e = bpf_map_lookup_elem(&fronts, &f->front);

	if (!e)
		return false;
	*key = (struct flow_key){
		.src = reply->dst,
		.dst = e->front.vip,
		.dport = e->front.port ? e->front.port : reply->sport,
		.proto = reply->proto,
		.sport = reply->dport,
	};
	return true;
}

// A flow, wherever it is. What is unconfirmed is copied, and has to be written back when it changes.
static __always_inline struct flow *either(const struct flow_key *key, struct flow *copy)
{
	struct flow *f = bpf_map_lookup_elem(&flows, key);

	if (f)
		return f;
	return first_find(key, number_of_flow(key), copy) ? copy : NULL;
}

static __always_inline void write_back(const struct flow_key *key, const struct flow *f)
{
	if (f->state == SYN_SEEN)
		first_put(key, number_of_flow(key), f);
}

// Takes the name for a new flow, unless one that came by another front has it: its client has two flows from one port, and
// the node could not tell them apart. Says 0, or why not.
static __noinline u32 take_name(const struct packet *p, const struct flow *f)
{
	struct flow copy = {}, *kept, *old;
	struct flow_key other;
	struct name n;
	u64 number;

	if (!name_of(p, f, &n))
		return R_NO_NODE;
	number = number_of_flow(&n.key);
	kept = old = bpf_map_lookup_elem(&flows, &n.key);
	if (!old && first_find(&n.key, number, &copy))
		old = &copy;
	if (old && old->front != f->front && flow_key_of(&n.key, old, &other)) {
		old = either(&other, &copy);
		if (old && old->state != CLOSED)
			return R_CONFLICT;
	}
	if (kept) // by a flow that is over
		bpf_map_delete_elem(&flows, &n.key);
	return first_put(&n.key, number, &n.flow) ? 0 : R_FULL;
}

// Keeps it for a flow that is established.
static __noinline void keep_name(const struct packet *p, const struct flow *f)
{
	struct name n;

	if (name_of(p, f, &n) && !bpf_map_update_elem(&flows, &n.key, &n.flow, BPF_ANY))
		first_drop(&n.key, number_of_flow(&n.key));
}

// Gives it up.
static __noinline void give_name(const struct packet *p, const struct flow *f)
{
	struct name n;

	if (!name_of(p, f, &n))
		return;
	bpf_map_delete_elem(&flows, &n.key);
	first_drop(&n.key, number_of_flow(&n.key));
}
