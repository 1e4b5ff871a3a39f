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
	if ((p->tcp & (ACK | RST)) == ACK && f->ack != p->ack)
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

// Ends a flow. Its service may be NULL: there is none any more.
static __noinline void forget(const struct packet *p, const struct service *s, struct flow *f)
{
	if (s && s->dispatch == NAT)
		give_name(p, f);
	change(&p->key, f, CLOSED, 0, F_COUNTED);
	bpf_map_delete_elem(&flows, &p->key);
	first_drop(&p->key, number_of_flow(&p->key));
}

// What a packet means for its established flow, where that is not just one more. Says whether the flow goes on.
static __noinline bool changes(const struct packet *p, const struct service *s, struct flow *f)
{
	if (f->service != s->id)
		return false; // the front has become another service's
	if (p->key.proto != IPPROTO_TCP) {
		if (idle(p, f, s->udp))
			return false;
	} else if ((p->tcp & (SYN | ACK | RST)) == SYN) {
		if (f->state != ESTABLISHED || idle(p, f, s->established))
			return false;
	} else if (p->tcp & RST) {
		change(&p->key, f, CLOSED, 0, F_COUNTED);
	} else if (p->tcp & FIN) {
		finish(&p->key, f, F_FIN);
	} else if (f->state == CLOSED && !(f->flags & (F_FIN | F_NODE_FIN))) {
		// Whoever goes on after a reset has not sent it: its number was wrong, and the node has ignored it too (RFC 5961 3).
		change(&p->key, f, ESTABLISHED, F_COUNTED, 0);
	}
	hear(p, f);
	return true;
}

// The same, where most packets are just one more.
static __always_inline bool goes_on(const struct packet *p, const struct service *s, struct flow *f)
{
	bool tcp = p->key.proto == IPPROTO_TCP;

	if (*word_of(f) == WORD(s->id, ESTABLISHED, F_COUNTED) && (tcp ? !(p->tcp & (SYN | FIN | RST)) : !idle(p, f, s->udp))) {
		hear(p, f);
		return true;
	}
	return changes(p, s, f);
}

// Takes a flow from `unconfirmed` to `flows`. NULL: it stays where it is, and works.
static __noinline struct flow *confirm(const struct packet *p, const struct service *s, const struct flow *u)
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

	if (bpf_map_update_elem(&flows, &p->key, &f, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&flows, &p->key); // another CPU has just done it
		if (!known)
			count(s->id, R_FULL);
		return known;
	}
	if (s->dispatch == NAT)
		keep_name(p, &f);
	count_active(f.node, 1);
	count_flow(s->id, f.node);
	tell(E_ESTABLISHED, &p->key, &f);
	first_drop(&p->key, number_of_flow(&p->key));
	return bpf_map_lookup_elem(&flows, &p->key);
}

// What a packet means for the flow whose first packet is f, a copy. Says whether it goes on; kept is where, if that is
// `flows`.
static __always_inline bool unconfirmed_goes_on(const struct packet *p, const struct service *s, struct flow *f,
						struct flow **kept)
{
	bool tcp = p->key.proto == IPPROTO_TCP;

	if (f->service != s->id || f->flags & F_REPLY || idle(p, f, tcp ? s->syn : s->udp))
		return false;
	if (tcp && (p->tcp & (SYN | ACK | RST)) != ACK) { // its SYN again, or the end before the beginning
		hear(p, f);
		first_put(&p->key, p->number, f);
		return true;
	}
	*kept = confirm(p, s, f);
	if (*kept && p->tcp & FIN)
		finish(&p->key, *kept, F_FIN);
	return true;
}
