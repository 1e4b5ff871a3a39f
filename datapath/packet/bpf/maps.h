//go:build ignore

// The maps: what the program knows. Every one has a bound; user space sets those of the LRU maps before it loads.

#pragma once

#include "types.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MAP(name, kind, k, v, n)                                                                                       \
	struct {                                                                                                       \
		__uint(type, kind);                                                                                    \
		__uint(max_entries, n);                                                                                \
		__type(key, k);                                                                                        \
		__type(value, v);                                                                                      \
	} name SEC(".maps")

// By address and port; then by address and port 0. For each address and protocol there is one more entry, `whole`, with the
// first of its services: it takes fragments of which nothing is known yet, and counts what is malformed.
MAP(services, BPF_MAP_TYPE_HASH, struct front, struct service, 2 * FRONTS);
MAP(fronts, BPF_MAP_TYPE_ARRAY, u32, struct entrance, FRONTS); // by place
MAP(nodes, BPF_MAP_TYPE_ARRAY, u32, struct node, NODES);
MAP(ways, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct way, NODES);            // by node
MAP(client_ways, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct way, WAYS_BACK); // nat: by hash of the client's address

// Established flows, and what is not yet known to be more than a first packet: a flood of the latter only pushes out its
// own kind.
MAP(flows, BPF_MAP_TYPE_LRU_HASH, struct flow_key, struct flow, 262144);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct bucket);
} unconfirmed SEC(".maps");

MAP(datagrams, BPF_MAP_TYPE_LRU_HASH, struct datagram_key, struct datagram, 8192);

struct inner_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct table);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SERVICES);
	__type(key, u32);
	__array(values, struct inner_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_key);
	__type(value, u32);
} sources SEC(".maps");

MAP(rates, BPF_MAP_TYPE_LRU_HASH, struct rate_key, struct rate, 65536);

// Mapped by user space, which takes back what it ends, by atomic addition.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NODES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct node_live);
} node_live SEC(".maps");

MAP(service_live, BPF_MAP_TYPE_ARRAY, u32, struct service_live, SERVICES);
MAP(node_counts, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct node_count, NODES);
MAP(service_counts, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct service_count, SERVICES);

// Reasons by service: place service*REASONS + reason. Service 0 is none.
MAP(reasons, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, SERVICES * REASONS);

MAP(vlans, BPF_MAP_TYPE_HASH, struct vlan_key, u32, 4096); // the interface of a port and tag
MAP(ports, BPF_MAP_TYPE_HASH, u32, struct port, 4096);     // the port and tag of an interface
MAP(known_ports, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct known_port, KNOWN_PORTS);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

// What user space may change while the program runs.
struct setting {
	u64 mix;            // random, so that nobody can choose addresses that share slots
	u32 events;         // which it wants to hear of: bits 1 << event_kind
	u32 epoch;          // another number: every way is asked for again, and `ports` looked into
	struct addr v4, v6; // the director's own: sources of tunnels, where the way names no other
};
volatile struct setting settings;

// Types that no map names, for the Go side.
const struct table *unused_table __attribute__((unused));
const struct event *unused_event __attribute__((unused));
const enum dispatch *unused_dispatch __attribute__((unused));
const enum pick *unused_pick __attribute__((unused));
const enum lost *unused_lost __attribute__((unused));
const enum flow_state *unused_flow_state __attribute__((unused));
const enum flow_flag *unused_flow_flag __attribute__((unused));
const enum service_flag *unused_service_flag __attribute__((unused));
const enum node_flag *unused_node_flag __attribute__((unused));
const enum reason *unused_reason __attribute__((unused));
const enum event_kind *unused_event_kind __attribute__((unused));
