//go:build ignore

// Which node a flow has. A flow begins in `unconfirmed`, and its second packet takes it to `flows`: what forges first
// packets fills only the former.

#pragma once

#include "clock.h"
#include "count.h"
#include "name.h"
#include "parse.h"

// The last four bytes of a flow, which change at once.
#define WORD(service, state, flags) ((u32)(service) | (u32)(state) << 16 | (u32)(flags) << 24)
#define WORD_FLAGS(w) ((w) >> 24)

static __always_inline u32 *word_of(struct flow *f)
{
	return (u32 *)&f->service;
}

// Every packet says that its flow lives. The clock is as coarse as its tick, so most have nothing to write.
static __always_inline void hear(const struct packet *p, struct flow *f)
{
	if (f->seen != p->now)
		f->seen = p->now;
	if (p->tcp & ACK && f->ack != p->ack)
		f->ack = p->ack;
}

// Whether nothing was heard of it for so many seconds. Another CPU's `seen` may be a tick ahead of this one's clock.
static __always_inline bool idle(const struct packet *p, const struct flow *f, u32 seconds)
{
	return f->seen + seconds * SECOND <= p->now;
}

// Changes state and flags. Whoever takes F_COUNTED away, or gives it, counts that.
static __noinline void change(const struct flow_key *key, struct flow *f, u8 state, u8 set, u8 clear)
{
	u32 *w = word_of(f);

	for (int i = 0; i < 4; i++) { // as often as other CPUs come between
		u32 old = *w;
		u32 new = WORD(old & 0xffff, state, (WORD_FLAGS(old) & ~clear) | set);

		if (old == new)
			return;
		if (__sync_val_compare_and_swap(w, old, new) != old)
			continue;
		if ((old ^ new) & WORD(0, 0, F_COUNTED)) {
			bool on = new & WORD(0, 0, F_COUNTED);

			count_active(f->node, on ? 1 : -1);
			tell(on ? E_ESTABLISHED : E_CLOSED, key, f);
		}
		return;
	}
}

// A FIN, from the client or from the node (nat).
static __always_inline void finish(const struct flow_key *key, struct flow *f, u8 fin)
{
	u8 other = fin == F_FIN ? F_NODE_FIN : F_FIN;

	change(key, f, f->flags & other || f->state == CLOSED ? CLOSED : CLOSING, fin, F_COUNTED);
}

// Ends a flow.
static __noinline void forget(const struct packet *p, const struct service *s, struct flow *f)
{
	struct name n;

	if (s->dispatch == NAT && name_of(p, f, &n))
		unname(&n);
	change(&p->key, f, CLOSED, 0, F_COUNTED);
	bpf_map_delete_elem(&flows, &p->key);
	bpf_map_delete_elem(&unconfirmed, &p->key);
}

// What a packet means for its established flow, where that is not just one more. Says whether the flow goes on.
static __noinline bool goes_on(const struct packet *p, const struct service *s, struct flow *f)
{
	if (f->service != s->id)
		return false; // the front has become another service's
	if (p->key.proto != IPPROTO_TCP)
		return !idle(p, f, s->udp);
	if ((p->tcp & (SYN | ACK | RST)) == SYN)
		return f->state == ESTABLISHED && !idle(p, f, s->established);
	if (p->tcp & RST) {
		change(&p->key, f, CLOSED, 0, F_COUNTED);
	} else if (p->tcp & FIN) {
		finish(&p->key, f, F_FIN);
	} else if (f->state == CLOSED && !(f->flags & (F_FIN | F_NODE_FIN))) {
		// Whoever goes on after a reset has not sent it: its number was wrong, and the node has ignored it too (RFC 5961 3).
		change(&p->key, f, ESTABLISHED, F_COUNTED, 0);
	}
	return true;
}

// Takes a flow from `unconfirmed` to `flows`.
static __noinline struct flow *confirm(const struct packet *p, const struct service *s, struct flow *u)
{
	struct flow *known, f = {
		.seen = p->now,
		.node = u->node,
		.front = u->front,
		.ack = p->ack,
		.service = s->id,
		.state = ESTABLISHED,
		.flags = F_COUNTED,
	};
	struct name n;

	if (bpf_map_update_elem(&flows, &p->key, &f, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&flows, &p->key);
		if (known)
			return known; // another CPU has just done it
		count(s->id, R_FULL); // it stays where it is, and works
		return u;
	}
	if (s->dispatch == NAT && name_of(p, &f, &n))
		keep_name(&n);
	count_active(f.node, 1);
	count_flow(s->id, f.node);
	tell(E_ESTABLISHED, &p->key, &f);
	bpf_map_delete_elem(&unconfirmed, &p->key);
	return bpf_map_lookup_elem(&flows, &p->key);
}

// The flow that a packet belongs to, or NULL: it is new, or TCP that begins in the middle.
static __always_inline struct flow *flow_of(const struct packet *p, const struct service *s)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &p->key);

	if (f) {
		if (likely(*word_of(f) == WORD(s->id, ESTABLISHED, F_COUNTED) && p->key.proto == IPPROTO_TCP &&
			   !(p->tcp & (SYN | FIN | RST))) ||
		    goes_on(p, s, f)) {
			hear(p, f);
			return f;
		}
		forget(p, s, f);
		return NULL;
	}
	f = bpf_map_lookup_elem(&unconfirmed, &p->key);
	if (!f || f->service != s->id)
		return NULL;
	if (p->key.proto != IPPROTO_TCP) {
		if (idle(p, f, s->udp))
			return NULL;
	} else {
		if (idle(p, f, s->syn))
			return NULL;
		if ((p->tcp & (SYN | ACK | RST)) != ACK) { // its SYN again, or the end before the beginning
			hear(p, f);
			return f;
		}
	}
	f = confirm(p, s, f);
	if (f && p->tcp & FIN)
		finish(&p->key, f, F_FIN);
	return f;
}
