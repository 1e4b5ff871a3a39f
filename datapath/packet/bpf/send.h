//go:build ignore

// How a packet leaves.

#pragma once

#include "way.h"

struct macs {
	u32 w[3]; // destination and source: whole words, where bytes would be copied one by one
};

// Sends the frame the way, with `room` bytes between its Ethernet header and the IP header that it came with.
static __always_inline int leave(struct xdp_md *ctx, struct packet *p, struct way *w, u32 room, __be16 type)
{
	u32 l2 = w->vlan ? sizeof(struct ethhdr) + sizeof(struct vlan_tag) : sizeof(struct ethhdr);
	int spare = (int)p->l3 - (int)(l2 + room);
	void *data, *end;
	struct ethhdr *eth;

	(void)type;
	if (unlikely(spare) && bpf_xdp_adjust_head(ctx, spare))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return -1;
	*(struct macs *)eth = *(struct macs *)w->dst;
	eth->h_proto = type;
	if (unlikely(w->vlan)) {
		struct vlan_tag *tag = (void *)(eth + 1);

		if ((void *)(tag + 1) > end)
			return -1;
		eth->h_proto = bpf_htons(ETH_P_8021Q);
		tag->tci = bpf_htons(w->vlan);
		tag->type = type;
	}
	return w->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(w->ifindex, 0);
}

// Whether the frame comes from that MAC address.
static __always_inline bool from_mac(struct xdp_md *ctx, const struct way *w)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u16 *mac = data, *node = (u16 *)w->dst;

	if (data + sizeof(struct ethhdr) > end)
		return false;
	return !((mac[3] ^ node[0]) | (mac[4] ^ node[1]) | (mac[5] ^ node[2]));
}
