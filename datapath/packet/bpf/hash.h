//go:build ignore

// Numbers for addresses and flows. They look random, and nobody outside knows how to make two alike.

#pragma once

#include "maps.h"

static __always_inline u64 stir(u64 h, u64 w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ull; // 2^64 divided by the golden ratio: Knuth, TAOCP 6.4
	return h ^ h >> 32;
}

static __always_inline u64 stir_addr(u64 h, const struct addr *a)
{
	return stir(stir(h, (u64)a->w[0] << 32 | a->w[1]), (u64)a->w[2] << 32 | a->w[3]);
}

// A number for an address.
static __always_inline u32 number_of(const struct addr *a)
{
	return stir(stir_addr(settings.mix, a), 0) >> 32;
}

// A number for the client's end of a flow.
static __always_inline u32 number_with_port(const struct addr *a, __be16 port)
{
	return stir(stir_addr(settings.mix, a), 1u << 16 | port) >> 32;
}

// A number for a flow, of 64 bits.
static __always_inline u64 number_of_flow(const struct flow_key *k)
{
	return stir(stir_addr(stir_addr(settings.mix, &k->src), &k->dst),
		    (u64)k->sport << 48 | (u64)k->dport << 32 | (u64)k->proto << 16);
}

// Brings a number of 32 bits to one below n.
static __always_inline u32 scaled(u32 number, u32 n)
{
	return (u64)number * n >> 32;
}
