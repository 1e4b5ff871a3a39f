//go:build ignore

// The time, to a tick.

#pragma once

#include "maps.h"

#define SECOND 1000000000ull

// Asking the kernel for the time costs a tenth of what a packet may. It changes with the tick, whose number is one load
// away, so it is asked once a tick. Another CPU may read the new tick and the old time: that is a tick late, and no more.
static struct {
	u64 tick, time;
} clock;

static __always_inline u64 now(void)
{
	u64 tick = bpf_jiffies64();

	if (unlikely(clock.tick != tick)) {
		clock.time = bpf_ktime_get_coarse_ns();
		clock.tick = tick;
	}
	return clock.time;
}
