// Package packet dispatches in the kernel: an XDP program on the director's port sends what clients send on to the
// traffic nodes, and with dr and tunnel the nodes answer the clients themselves. User space never sees a packet of a known
// service; it fills tables, which the program reads.
//
// The way of a packet, and where each step lives:
//
//	1 packet in    bpf/parse.h            what it is, and what it is for; later.h and fragment.h: without its ports
//	2 service      bpf/service.h          none: the kernel's affair, or what a nat node replies (nat.h)
//	3 known        bpf/flow.h             then to the node that it went to before
//	4 new          bpf/begin.h, admit.h   whether it may; pick.h: the node of its slot, or the one with least to do
//	5 the way      bpf/way.h              next hop, port and MTU, as the kernel's routes and neighbours have them
//	6 out          bpf/deliver.h          send.h (dr), tunnel.h, nat.h; icmp.h and answer.h: what the client is told instead
//
// What user space does about it, in the order in which it matters:
//
//	services       apply.go, source.go    places and lists first, then one write for each address and port
//	share tables   table.go               made aside, swapped in one step
//	ports          attach.go, port.go     natively if the driver can; again when a port comes back
//	next hops      neighbour.go           kept resolved, as the program cannot ask for them
//	idle flows     sweep.go, end.go       forgotten, some at a time; counters mended
//	lost flows     purge.go, reset.go     of nodes that are gone, of services and sources that are no more
//	events         event.go               to whoever wants to know
//	the next one   pin.go, takeover.go    goes on with the maps and ports of this one, or copies the flows
package packet
