//go:build ignore

// Internet checksums, changed by what changes in what they cover (RFC 1624 3, equation 3).

#pragma once

#include "types.h"

// Sums are of 32-bit words in network order, and are folded at their end: it makes no difference (RFC 1071 2).
static __always_inline u64 replace(u64 sum, u32 old, u32 new)
{
	return sum + (u32)~old + new;
}

static __always_inline u64 replace2(u64 sum, u16 old, u16 new)
{
	return sum + (u16)~old + new;
}

static __always_inline u64 replace_addr(u64 sum, const __be32 *old, const __be32 *new)
{
	for (int i = 0; i < 4; i++)
		sum = replace(sum, old[i], new[i]);
	return sum;
}

static __always_inline u64 add_addr(u64 sum, const __be32 *a)
{
	return sum + a[0] + a[1] + a[2] + a[3];
}

static __always_inline u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// The checksum of what has that sum.
static __always_inline u16 checksum(u64 sum)
{
	return ~fold(sum);
}

static __always_inline u16 amended(u16 check, u64 change)
{
	return checksum((u16)~check + change);
}

// UDP's: 0 says that there is none, so what comes out as 0 is written as its other form (RFC 768).
static __always_inline u16 udp_amended(u16 check, u64 change)
{
	u16 sum;

	if (!check)
		return 0;
	sum = amended(check, change);
	return sum ? sum : 0xffff;
}
