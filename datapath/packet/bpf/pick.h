//go:build ignore

// Which node a new flow gets: by the service's share table, which user space has made from weights and loads, or by what
// the nodes have. The words are those of cluster/ and control/schedule, and so is what happens where a node may not.

#pragma once

#include "clock.h"
#include "count.h"
#include "hash.h"
#include "parse.h"

#define WALK 32 // slots tried after the one that was asked for, before the members are gone through
#define NOBODY NODES

static __always_inline long long active_of(u32 node)
{
	struct node_live *l = bpf_map_lookup_elem(&node_live, &node);

	return l && l->active > 0 ? l->active : 0;
}

// Whether a member takes a new flow.
static __always_inline bool takes(const struct packet *p, const struct service *s, const struct member *m)
{
	struct node *n;

	if (!m->weight)
		return false;
	n = bpf_map_lookup_elem(&nodes, &m->node);
	if (!n || n->flags & N_GONE)
		return false;
	if (n->limit && active_of(m->node) >= n->limit)
		return false;
	if (n->flags & N_LOCAL)
		return true;
	if (is_none(&n->addr))
		return false;
	return s->dispatch != NAT || is_four(&n->addr) == (p->version == 4);
}

static __always_inline struct member *member_at(struct table *t, u32 slot)
{
	barrier_var(slot); // the compiler knows that it is in bounds, the verifier does not
	if (slot >= SLOTS)
		return 0;
	return &t->member[t->slot[slot] & (MEMBERS - 1)]; // user space writes none beyond
}

// What it would have with this flow, for comparisons by weight: 44 bits, so that its product with a weight fits in 64.
static __always_inline u64 load_of(const struct member *m)
{
	return (active_of(m->node) + 1) & (1ull << 44) - 1;
}

static __always_inline bool less(const struct member *a, const struct member *b)
{
	return load_of(a) * b->weight < load_of(b) * a->weight;
}

struct search {
	struct table *t;
	const struct packet *p;
	const struct service *s;
	u32 from; // place in member of the first one
	u32 best; // so far; MEMBERS: none
	u32 any;  // the first that takes it will do
};

static long look(u32 i, struct search *x)
{
	struct table *t = x->t;
	u32 at = x->from + i, best = x->best;

	if (at >= t->members)
		at -= t->members;
	if (at >= MEMBERS || !takes(x->p, x->s, &t->member[at]))
		return 0;
	if (best >= MEMBERS || less(&t->member[at], &t->member[best]))
		x->best = at;
	return x->any & 1;
}

// Goes through all members, beginning at one of them, so that equals take turns.
static __always_inline u32 search(struct table *t, const struct packet *p, const struct service *s, u32 from, bool any)
{
	struct search x = {.t = t, .p = p, .s = s, .from = from < t->members ? from : 0, .best = MEMBERS, .any = any};

	bpf_loop(t->members < MEMBERS ? t->members : MEMBERS, look, &x, 0);
	return x.best < MEMBERS ? t->member[x.best].node : NOBODY;
}

// The slot that a new flow asks for.
static __always_inline u32 slot_of(struct table *t, const struct packet *p, const struct service *s, u32 turn)
{
	u32 slots = t->slots, a, b;
	struct member *x, *y;

	switch (s->pick) {
	case BY_SOURCE:
		return scaled(number_of(&p->key.src), slots);
	case BY_FLOW:
		return scaled(number_with_port(&p->key.src, p->key.sport), slots);
	case BY_CHANCE:
		return scaled(bpf_get_prandom_u32(), slots);
	case LESS_OF_TWO:
		a = scaled(bpf_get_prandom_u32(), slots);
		b = scaled(bpf_get_prandom_u32(), slots);
		x = member_at(t, a);
		y = member_at(t, b);
		return x && y && takes(p, s, y) && less(y, x) ? b : a;
	}
	return turn % slots;
}

// A node for a new flow: its place, or NOBODY.
__noinline u32 choose(struct packet *p, const struct service *s)
{
	u32 zero = 0, turn = 0, slots, at, from;
	struct service_live *live;
	struct member *m;
	struct table *t;
	void *inner;

	if (!p || !s)
		return NOBODY;
	inner = bpf_map_lookup_elem(&tables, &s->id);
	if (!inner)
		return NOBODY;
	t = bpf_map_lookup_elem(inner, &zero);
	if (!t)
		return NOBODY;
	if (s->pick == BY_TURN || s->pick == LEAST) {
		live = bpf_map_lookup_elem(&service_live, &s->id);
		if (live)
			turn = __sync_fetch_and_add(&live->turn, 1);
	}
	if (s->pick == LEAST) {
		from = t->members ? turn % t->members : 0;
	} else {
		slots = t->slots;
		if (!slots || slots > SLOTS)
			return NOBODY;
		at = slot_of(t, p, s, turn);
		m = member_at(t, at);
		if (m && takes(p, s, m))
			return m->node;
		if (s->pick == BY_TURN) {
			// The turns of one that may not are given out in turn as well: were they all its neighbour's, that one
			// would carry the load of two.
			at += turn / slots % (slots > 1 ? slots - 1 : 1);
			if (at >= slots)
				at -= slots;
		}
		from = 0;
		for (u32 i = 0; i < WALK && i < slots; i++) {
			u32 next = at + 1 + i;

			m = member_at(t, next < slots ? next : next - slots);
			if (m && takes(p, s, m))
				return m->node;
			from = m ? m - t->member + 1 : from;
		}
	}
	return search(t, p, s, from, s->pick != LEAST);
}
