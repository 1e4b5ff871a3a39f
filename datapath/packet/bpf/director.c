//go:build ignore

// The way of a packet.

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "count.h"
#include "parse.h"
#include "flow.h"
#include "pick.h"
#include "way.h"
#include "send.h"

// The service that a packet is for: by its port, or as one of every port.
static __always_inline struct service *service_of(struct packet *p)
{
	struct service *s = bpf_map_lookup_elem(&services, &p->key.dst);
	__be16 port = p->key.dport;

	if (s)
		return s;
	p->key.dport = 0;
	s = bpf_map_lookup_elem(&services, &p->key.dst);
	p->key.dport = port;
	p->any = 1;
	return s;
}

static __always_inline u32 open(struct packet *p, const struct service *s)
{
	struct flow f = {
		.seen = p->now,
		.front = s->front,
		.service = s->id,
		.state = SYN_SEEN,
	};

	f.node = choose(p, s);
	if (f.node >= NODES)
		return NODES + drop(s->id, R_NO_NODE);
	if (bpf_map_update_elem(&unconfirmed, &p->key, &f, BPF_ANY))
		return NODES + drop(s->id, R_FULL);
	count_unconfirmed(s->id);
	tell(E_NEW, &p->key, &f);
	return f.node;
}

SEC("xdp")
int director(struct xdp_md *ctx)
{
	struct packet p = {};
	struct service *s;
	struct flow *f;
	struct node *n;
	struct way *w;
	u32 node;

	if (parse(ctx, &p) != READ)
		return pass(0, R_PASSED);
	if (p.key.proto != IPPROTO_TCP && p.key.proto != IPPROTO_UDP)
		return pass(0, R_PASSED);
	s = service_of(&p);
	if (!s)
		return pass(0, R_PASSED);
	p.now = bpf_ktime_get_coarse_ns();
	count_service(s->id, p.len);
	f = flow_of(&p, s);
	if (f)
		node = f->node;
	else
		node = open(&p, s);
	if (node >= NODES)
		return node - NODES;
	n = bpf_map_lookup_elem(&nodes, &node);
	w = bpf_map_lookup_elem(&ways, &node);
	if (!n || !w)
		return drop(s->id, R_NO_NODE);
	if (n->flags & N_LOCAL)
		return XDP_PASS;
	if (!open_way(ctx, &p, w, &n->addr, n->mtu))
		return drop(s->id, w->reason);
	if (!w->direct)
		return drop(s->id, R_NO_ROUTE);
	if (from_mac(ctx, w))
		return drop(s->id, R_LOOP);
	count_node(node, p.len);
	return leave(ctx, &p, w, 0, p.version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
