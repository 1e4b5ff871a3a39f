//go:build ignore

// Fragments. Only the first of a datagram has ports; the others go where it went, or it goes where they went that overtook
// it.

#pragma once

#include "flow.h"
#include "parse.h"

#define DATAGRAM (30 * SECOND) // for which a receiver keeps fragments (RFC 791 3.2, RFC 8200 4.5: 15 to 120 s)

static __always_inline struct datagram_key datagram_key(const struct packet *p)
{
	return (struct datagram_key){.src = p->key.src, .dst = p->key.dst, .id = p->id, .proto = p->next};
}

// The datagram with that key, if it is not one of long ago whose number has come round.
static __always_inline struct datagram *fresh(const struct packet *p, const struct datagram_key *k)
{
	struct datagram *d = bpf_map_lookup_elem(&datagrams, k);

	return d && d->seen + DATAGRAM > p->now ? d : NULL;
}

// The datagram that the packet is a part of.
static __noinline struct datagram *datagram_at(const struct packet *p)
{
	struct datagram_key k = datagram_key(p);

	return fresh(p, &k);
}

// Notes where the datagram goes, also for the next one of the same two.
static __noinline void note(const struct packet *p, u32 node, u32 front, u32 service, u16 flags)
{
	struct datagram d = {.seen = p->now, .node = node, .front = front, .service = service, .flags = flags};
	struct datagram_key k = datagram_key(p);

	bpf_map_update_elem(&datagrams, &k, &d, BPF_ANY);
	k.id = 0;
	k.newest = 1;
	bpf_map_update_elem(&datagrams, &k, &d, BPF_ANY);
}

