//go:build ignore

// Who may have a new flow: source lists, and how many of them a second.

#pragma once

#include "clock.h"
#include "count.h"
#include "parse.h"

#define ALLOWED 1

static __always_inline bool listed_out(const struct packet *p, const struct service *s)
{
	struct source_key k = {.prefixlen = 32 + 128, .service = s->id, .addr = p->key.src};
	u32 *what;

	if (!(s->flags & S_LIST))
		return false;
	what = bpf_map_lookup_elem(&sources, &k);
	return what ? *what != ALLOWED : s->flags & S_DENY;
}

// Whether the source has not yet had `burst` at once and `rate` a second since. An IPv6 source is its /64: that is what one
// customer has (RFC 6177).
static __noinline bool within(u32 service, const struct packet *p, u32 rate, u32 burst)
{
	struct rate_key k = {.service = service, .source = p->key.src};
	u64 each = SECOND / rate, most = each * burst;
	struct rate new = {.full = p->now + each}, *r;

	if (p->version == 6)
		k.source.w[2] = k.source.w[3] = 0;
	r = bpf_map_lookup_elem(&rates, &k);
	if (!r) {
		bpf_map_update_elem(&rates, &k, &new, BPF_NOEXIST);
		return true;
	}
	for (int i = 0; i < 8; i++) { // as often as other CPUs come between
		u64 old = r->full;
		u64 full = (old > p->now ? old : p->now) + each;

		if (full > p->now + most)
			return false;
		if (__sync_val_compare_and_swap(&r->full, old, full) == old)
			return true;
	}
	return false; // so many at once are too many
}

static __always_inline bool too_fast(const struct packet *p, const struct service *s)
{
	return s->rate && !within(s->id, p, s->rate, s->burst > 1 ? s->burst : 1);
}
