//go:build ignore

// How a packet leaves: by which port, and how its frame begins.

#pragma once

#include "way.h"

struct macs {
	u32 w[3]; // destination and source: whole words, where bytes would be copied one by one
};

// Sends the frame the way, with `room` bytes before the IP header that it came with. All that pointed into it points
// nowhere after this. Less than 0: there is no room.
static __always_inline int leave(struct xdp_md *ctx, const struct packet *p, const struct way *w, u32 room, bool four)
{
	__be16 type = four ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	u32 l2 = w->vlan ? sizeof(struct ethhdr) + sizeof(struct vlan_tag) : sizeof(struct ethhdr);
	int spare = (int)p->l3 - (int)(l2 + room);
	struct vlan_tag *tag;
	struct ethhdr *eth;
	void *end;

	if (spare && bpf_xdp_adjust_head(ctx, spare))
		return -1;
	eth = data_of(ctx);
	end = end_of(ctx);
	if ((void *)(eth + 1) > end)
		return -1;
	*(struct macs *)eth = *(struct macs *)w->dst;
	eth->h_proto = type;
	if (unlikely(w->vlan)) {
		tag = (void *)(eth + 1);
		if ((void *)(tag + 1) > end)
			return -1;
		eth->h_proto = bpf_htons(ETH_P_8021Q);
		tag->tci = bpf_htons(w->vlan);
		tag->type = type;
	}
	return w->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(w->ifindex, 0);
}

// Whether the frame comes from where the way leads to.
static __always_inline bool comes_from(struct xdp_md *ctx, const struct way *w)
{
	u16 *eth = data_of(ctx), *mac = (u16 *)w->dst;

	if ((void *)eth + sizeof(struct ethhdr) > end_of(ctx))
		return false;
	return !((eth[3] ^ mac[0]) | (eth[4] ^ mac[1]) | (eth[5] ^ mac[2]));
}
