//go:build ignore

// Which service a packet is for.

#pragma once

#include "count.h"
#include "parse.h"

// By its address and port, or as one of every port.
static __always_inline struct service *service_of(struct packet *p)
{
	struct service *s = bpf_map_lookup_elem(&services, &p->key.dst);
	__be16 port = p->key.dport;

	p->any = !s;
	if (likely(s))
		return s;
	p->key.dport = 0;
	s = bpf_map_lookup_elem(&services, &p->key.dst);
	p->key.dport = port;
	return s;
}

// The service of the front that a flow came by.
static __always_inline struct service *service_at(struct packet *p, u32 place)
{
	struct entrance *e = bpf_map_lookup_elem(&fronts, &place);

	if (!e || !e->service.id)
		return NULL;
	p->any = !e->front.port;
	return &e->service;
}

// The first service of the address and protocol, for what has no port that could be read.
static __noinline struct service *service_of_whole(const struct packet *p)
{
	struct front key = {.vip = p->key.dst, .proto = p->key.proto, .whole = 1};

	return bpf_map_lookup_elem(&services, &key);
}

// What contradicts itself ends here if it is for a service. The kernel counts the rest.
static __always_inline int malformed(struct packet *p)
{
	struct service *s = service_of_whole(p);

	if (!s && p->version == 6 && is_extension(p->key.proto)) { // the header that says what it is was not reached
		p->key.proto = IPPROTO_TCP;
		s = service_of_whole(p);
		if (!s) {
			p->key.proto = IPPROTO_UDP;
			s = service_of_whole(p);
		}
	}
	return s ? drop(s->id, R_MALFORMED) : pass(0, R_PASSED);
}
