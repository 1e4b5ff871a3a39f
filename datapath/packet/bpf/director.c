//go:build ignore

// The way of a packet: what it is (parse.h), which service it is for, which flow it belongs to (flow.h), which node a new
// one gets (admit.h, pick.h), and how that is reached (way.h, send.h, tunnel.h, nat.h). What is said to clients in answer is
// in answer.h; ICMP errors and fragments, which belong to flows without saying so, in icmp.h and fragment.h.

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "clock.h"
#include "count.h"
#include "parse.h"
#include "flow.h"
#include "admit.h"
#include "pick.h"
#include "way.h"
#include "answer.h"
#include "send.h"
#include "tunnel.h"
#include "nat.h"
#include "icmp.h"
#include "fragment.h"
#include "service.h"
#include "begin.h"
#include "deliver.h"
#include "later.h"

// A packet that `flows` knows nothing of: of a flow that has just begun or begins now, a reply to one, or none of ours. kept
// is where its flow is, once it is in `flows`.
static __noinline u32 node_of_new(struct xdp_md *ctx, struct packet *p, struct service **s, struct flow **kept)
{
	struct flow f = {};
	bool known;

	p->number = number_of_flow(&p->key);
	known = first_find(&p->key, p->number, &f);
	*s = service_of(p);
	if (!*s)
		return known && f.flags & F_REPLY ? is_reply(p, &f) : NODES + pass(0, R_PASSED);
	if (!known || !unconfirmed_goes_on(p, *s, &f, kept))
		return begin(ctx, p, *s);
	count_service((*s)->id, p->len);
	return !*kept && is_gone(f.node) ? move(ctx, p, *s, &f) : f.node;
}

// The place of a packet's node; or BACK; or NODES and what becomes of it. `flows` comes first: what it knows needs no other
// map.
static __always_inline u32 node_of_packet(struct xdp_md *ctx, struct packet *p, struct service **s, struct flow **kept)
{
	struct flow *f = bpf_map_lookup_elem(&flows, &p->key);

	p->now = now();
	if (unlikely(!f))
		return node_of_new(ctx, p, s, kept);
	if (f->flags & F_REPLY)
		return is_reply(p, f);
	*s = service_at(p, f->front);
	if (unlikely(!*s || !goes_on(p, *s, f))) {
		forget(p, *s, f);
		return node_of_new(ctx, p, s, kept);
	}
	*kept = f;
	count_service((*s)->id, p->len);
	return f->node;
}

SEC("xdp")
int director(struct xdp_md *ctx)
{
	struct packet p = {};
	struct service *s = NULL;
	struct flow *kept = NULL;
	u32 node;

	switch (parse(ctx, &p)) {
	case FOREIGN:
		return pass(0, R_PASSED);
	case STRANGE:
		return pass(0, R_STRANGE);
	case MALFORMED:
		return malformed(&p);
	}
	if (unlikely(p.part == LATER))
		node = node_of_fragment(ctx, &p, &s);
	else if (likely(p.key.proto == IPPROTO_TCP || p.key.proto == IPPROTO_UDP))
		node = node_of_packet(ctx, &p, &s, &kept);
	else if (p.key.proto == (p.version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		node = node_of_error(ctx, &p, &s);
	else
		return pass(0, R_PASSED);
	if (node == BACK)
		return reply(ctx, &p);
	if (node >= NODES)
		return node - NODES;
	return s ? deliver(ctx, &p, s, kept, node) : XDP_ABORTED;
}

// For user space: writes a first packet, which it cannot do itself, as it may end in the midst of it.
SEC("syscall")
int put_first(struct first *from)
{
	struct flow_key key = from->key;
	struct flow f = {
		.seen = from->seen, .node = from->node, .front = from->front, .service = from->service, .state = from->state,
		.flags = from->flags,
	};

	return first_put(&key, number_of_flow(&key), &f);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
