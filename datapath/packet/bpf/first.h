//go:build ignore

// The table of first packets. Buckets are locked, as two CPUs may have flows in one; never for longer than it takes to copy
// a flow.

#pragma once

#include "clock.h"
#include "count.h"
#include "hash.h"
#include "parse.h"

#define SPINS 512 // far more turns than a copy takes; whoever holds a lock is on another CPU, and in the midst of one

// Of the kernel's struct bpf_map, what says how many buckets there are.
struct bpf_map {
	u32 max_entries;
} __attribute__((preserve_access_index));

static __always_inline struct bucket *bucket_of(const struct flow_key *key, u32 *tag)
{
	u64 h = number_of_flow(key);
	u32 i = scaled(h, ((struct bpf_map *)&unconfirmed)->max_entries);

	*tag = h >> 32 | 1;
	return bpf_map_lookup_elem(&unconfirmed, &i);
}

static __always_inline bool lock(struct bucket *b)
{
	for (int i = 0; i < SPINS; i++)
		if (!__sync_lock_test_and_set(&b->lock, 1))
			return true;
	return false;
}

static __always_inline void unlock(struct bucket *b)
{
	__sync_lock_test_and_set(&b->lock, 0); // whole, so that what was written is seen before it
}

static __always_inline bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return same(&a->src, &b->src) && same(&a->dst, &b->dst) && a->sport == b->sport && a->dport == b->dport &&
	       a->proto == b->proto;
}

// The place of a key in its locked bucket; BUCKET: it has none.
static __always_inline u32 place_in(struct bucket *b, const struct flow_key *key, u32 tag)
{
	for (u32 i = 0; i < BUCKET; i++)
		if (b->tag[i] == tag && same_key(&b->first[i].key, key))
			return i;
	return BUCKET;
}

static __always_inline bool tagged(const struct bucket *b, u32 tag)
{
	return b->tag[0] == tag || b->tag[1] == tag || b->tag[2] == tag || b->tag[3] == tag;
}

// Finds a flow, and copies it.
__noinline int first_find(const struct flow_key *key, struct flow *f)
{
	struct bucket *b;
	u32 tag, i;

	if (!key || !f)
		return false;
	b = bucket_of(key, &tag);

	if (!b || !tagged(b, tag) || !lock(b))
		return false;
	i = place_in(b, key, tag);
	if (i < BUCKET)
		*f = b->first[i].flow;
	unlock(b);
	return i < BUCKET;
}

// Writes a flow, over what was written of it before, or else over the oldest one. Says false if it cannot.
__noinline int first_put(const struct flow_key *key, const struct flow *f)
{
	struct bucket *b;
	u32 tag, i;

	if (!key || !f)
		return false;
	b = bucket_of(key, &tag);

	if (!b || !lock(b))
		return false;
	i = tagged(b, tag) ? place_in(b, key, tag) : BUCKET;
	if (i == BUCKET) {
		u64 oldest = ~0ull;

		for (u32 k = 0; k < BUCKET; k++) {
			u64 seen = b->tag[k] ? b->first[k].flow.seen : 0;

			if (seen < oldest) {
				oldest = seen;
				i = k;
			}
		}
	}
	if (i < BUCKET) {
		b->tag[i] = 0; // so that nobody who maps the table reads half of one
		b->first[i].key = *key;
		b->first[i].flow = *f;
		__sync_lock_test_and_set(&b->tag[i], tag);
	}
	unlock(b);
	return true;
}

__noinline int first_drop(const struct flow_key *key)
{
	struct bucket *b;
	u32 tag, i;

	if (!key)
		return false;
	b = bucket_of(key, &tag);
	if (!b || !tagged(b, tag) || !lock(b))
		return false;
	i = place_in(b, key, tag);
	if (i < BUCKET)
		b->tag[i] = 0;
	unlock(b);
	return true;
}
