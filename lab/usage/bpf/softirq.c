//go:build ignore

// How long the kernel is busy with packets that have come in, by the network they came to, and by whose time that is: a
// packet is worked on in the time of whatever process runs just then, which has often nothing to do with it.
//
// All such work is done in one kind of softirq (NET_RX), which polls ports in turn. What happens there marks the points
// at which the work for one network ends and that for the next begins:
//
//	softirq_entry        from here on it is not known for whom
//	netif_receive_skb    for the network of this packet
//	napi_poll            a port has been polled: all of it was for the network of that port, XDP included. A port
//	                     without XDP and GRO is none of its own, but shares a queue (napi without device)
//	softirq_exit         the end

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

typedef __u32 u32;
typedef __u64 u64;

#define NET_RX 3 // include/linux/interrupt.h

// The few members that are read; where they are in the running kernel, its BTF says.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	u32 inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct net_device {
	possible_net_t nd_net;
};
struct napi_struct {
	struct net_device *dev;
};
struct sk_buff {
	struct net_device *dev;
};
struct nsproxy {
	struct net *net_ns;
};
struct task_struct {
	struct nsproxy *nsproxy;
};
#pragma clang attribute pop

// Namespaces, as /proc/PID/ns/net names them; 0 is nobody's. The kernel's own threads, and what would be idle otherwise,
// are of the first one.
struct whose {
	u32 packet, process;
};

struct spent {
	u64 ns, times;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384); // 128 namespaces
	__type(key, struct whose);
	__type(value, struct spent);
} spending SEC(".maps");

// What a processor is at.
struct busy {
	u64 since; // 0: not at it
	struct whose whose;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct busy);
} busy SEC(".maps");

static __always_inline struct busy *at(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&busy, &zero);
}

// Charges the time until now.
static __always_inline void charge(struct busy *b, u64 now)
{
	struct spent *s = bpf_map_lookup_elem(&spending, &b->whose);
	if (!s) {
		struct spent none = {};
		bpf_map_update_elem(&spending, &b->whose, &none, BPF_NOEXIST);
		s = bpf_map_lookup_elem(&spending, &b->whose);
	}
	if (s) {
		s->ns += now - b->since;
		s->times++;
	}
	b->since = now;
}

static __always_inline u32 home(struct net_device *dev)
{
	return dev ? BPF_CORE_READ(dev, nd_net.net, ns.inum) : 0;
}

SEC("raw_tp/softirq_entry")
int entry(struct bpf_raw_tracepoint_args *c)
{
	struct busy *b = at();
	if (!b || c->args[0] != NET_RX)
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	b->whose.packet = 0;
	b->whose.process = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	b->since = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/netif_receive_skb")
int receive(struct bpf_raw_tracepoint_args *c)
{
	struct busy *b = at();
	if (!b || !b->since)
		return 0;
	struct sk_buff *skb = (void *)c->args[0];
	u32 net = home(BPF_CORE_READ(skb, dev));
	if (b->whose.packet == net)
		return 0;
	if (b->whose.packet)
		charge(b, bpf_ktime_get_ns());
	b->whose.packet = net;
	return 0;
}

SEC("raw_tp/napi_poll")
int polled(struct bpf_raw_tracepoint_args *c)
{
	struct busy *b = at();
	if (!b || !b->since)
		return 0;
	struct napi_struct *napi = (void *)c->args[0];
	u32 net = home(BPF_CORE_READ(napi, dev));
	if (net)
		b->whose.packet = net;
	charge(b, bpf_ktime_get_ns());
	b->whose.packet = 0;
	return 0;
}

SEC("raw_tp/softirq_exit")
int leave(struct bpf_raw_tracepoint_args *c)
{
	struct busy *b = at();
	if (!b || c->args[0] != NET_RX || !b->since)
		return 0;
	charge(b, bpf_ktime_get_ns());
	b->since = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
