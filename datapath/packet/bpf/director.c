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

// The place of a packet's node, or NODES and what becomes of it. `flows` comes first: what it knows needs no other map.
static __always_inline u32 node_of_packet(struct xdp_md *ctx, struct packet *p, struct service **s, struct flow **f,
					  struct flow *copy)
{
	*f = bpf_map_lookup_elem(&flows, &p->key);
	p->now = now();
	if (likely(*f)) {
		if ((*f)->flags & F_REPLY)
			return NODES + reply(ctx, p, *f);
		*s = service_at(p, (*f)->front);
		if (likely(*s && goes_on(p, *s, *f))) {
			count_service((*s)->id, p->len);
			return (*f)->node;
		}
		forget(p, *s, *f);
	}
	*s = service_of(p);
	p->number = number_of_flow(&p->key);
	if (!*s) {
		*f = first_find(&p->key, p->number, copy) ? copy : NULL;
		return NODES + (*f && copy->flags & F_REPLY ? reply(ctx, p, copy) : pass(0, R_PASSED));
	}
	*f = unconfirmed_of(p, *s, copy);
	if (!*f)
		return begin(ctx, p, *s);
	count_service((*s)->id, p->len);
	return (*f)->node;
}

SEC("xdp")
int director(struct xdp_md *ctx)
{
	struct packet p = {};
	struct service *s = NULL;
	struct flow copy = {}, *f = NULL;
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
		node = node_of_packet(ctx, &p, &s, &f, &copy);
	else if (p.key.proto == (p.version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		node = node_of_error(ctx, &p, &s);
	else
		return pass(0, R_PASSED);
	if (node >= NODES)
		return node - NODES;
	return s ? deliver(ctx, &p, s, f, node) : XDP_ABORTED;
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
