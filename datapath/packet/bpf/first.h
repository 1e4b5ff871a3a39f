//go:build ignore

// The table of first packets. Whoever reads or writes a place of it marks it, since two CPUs may have flows in one bucket;
// never for longer than it takes to copy a flow.

#pragma once

#include "clock.h"
#include "count.h"
#include "hash.h"
#include "parse.h"

#define SPINS 128 // far longer than a copy takes; whoever has marked a place is on another CPU, and in the midst of one
#define TRIES 4   // to find a place that nobody else takes meanwhile

// Of the kernel's struct bpf_map, what says how many buckets there are.
struct bpf_map {
	u32 max_entries;
} __attribute__((preserve_access_index));

static __always_inline struct bucket *bucket_of(u64 number)
{
	u32 i = scaled(number, ((struct bpf_map *)&unconfirmed)->max_entries);

	return bpf_map_lookup_elem(&unconfirmed, &i);
}

static __always_inline u32 tag_of(u64 number)
{
	u32 tag = number >> 32;

	return tag > BUSY ? tag : tag + BUSY + 1;
}

static __always_inline bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return same(&a->src, &b->src) && same(&a->dst, &b->dst) && a->sport == b->sport && a->dport == b->dport &&
	       a->proto == b->proto;
}

static __always_inline bool mark(struct first *e, u32 tag)
{
	return __sync_val_compare_and_swap(&e->tag, tag, BUSY) == tag;
}

// Gives a place back: whole, so that what was written is seen before its tag.
static __always_inline void give(struct first *e, u32 tag)
{
	__sync_lock_test_and_set(&e->tag, tag);
}

// The place of a key, marked; NULL: it has none.
static __always_inline struct first *find_in(struct bucket *b, const struct flow_key *key, u32 tag)
{
	for (u32 i = 0; i < BUCKET; i++) {
		struct first *e = &b->first[i];

		for (int spin = 0; spin < SPINS && *(volatile u32 *)&e->tag == BUSY; spin++)
			;
		if (e->tag != tag || !mark(e, tag))
			continue;
		if (same_key(&e->key, key))
			return e;
		give(e, tag);
	}
	return NULL;
}

// Finds a flow, and copies it. `number` is the key's. See first_find.
__noinline int first_copy(const struct flow_key *key, u64 number, struct flow *f)
{
	u32 tag = tag_of(number);
	struct bucket *b;
	struct first *e;

	if (!key || !f)
		return false;
	b = bucket_of(number);
	if (!b)
		return false;
	e = find_in(b, key, tag);
	if (!e)
		return false;
	*f = (struct flow){
		.seen = e->seen, .node = e->node, .front = e->front, .service = e->service, .state = e->state, .flags = e->flags,
	};
	give(e, tag);
	return true;
}

// Most keys are not there, and the tags of their bucket say so.
static __always_inline bool first_find(const struct flow_key *key, u64 number, struct flow *f)
{
	struct bucket *b = bucket_of(number);
	u32 tag = tag_of(number), hits = 0;

	if (!b)
		return false;
	for (u32 i = 0; i < BUCKET; i++) // without branches, so that all of it is on its way from memory at once
		hits |= (b->first[i].tag == tag) | (b->first[i].tag == BUSY);
	return hits && first_copy(key, number, f);
}

// Writes a flow, over what was written of it before, or else over the oldest one. Says false if it cannot.
__noinline int first_put(const struct flow_key *key, u64 number, const struct flow *f)
{
	u32 tag = tag_of(number);
	struct first *e;
	struct bucket *b;

	if (!key || !f)
		return false;
	b = bucket_of(number);
	if (!b)
		return false;
	e = find_in(b, key, tag);
	for (int i = 0; !e && i < TRIES; i++) {
		u64 oldest = ~0ull;
		u32 at = BUCKET, was = 0;

		for (u32 k = 0; k < BUCKET; k++) {
			u32 old = b->first[k].tag;
			u64 seen = old ? b->first[k].seen : 0;

			if (old != BUSY && seen < oldest) {
				oldest = seen;
				at = k;
				was = old;
			}
		}
		if (at < BUCKET && mark(&b->first[at], was))
			e = &b->first[at];
	}
	if (!e)
		return false;
	e->key = *key;
	e->seen = f->seen;
	e->node = f->node;
	e->front = f->front;
	e->service = f->service;
	e->state = f->state;
	e->flags = f->flags;
	give(e, tag);
	return true;
}

__noinline int first_drop(const struct flow_key *key, u64 number)
{
	struct bucket *b;
	struct first *e;

	if (!key)
		return false;
	b = bucket_of(number);
	if (!b)
		return false;
	e = find_in(b, key, tag_of(number));
	if (!e)
		return false;
	give(e, 0);
	return true;
}
