// Package testbed makes clusters with a real network on one machine.
//
// A Lab has clients, a router, two LANs, and directors, traffic nodes, storage nodes and monitors in both:
//
//	client1 --- router --- LAN A  10.7.1.0/24, fd07:1::/64 --- d1 t1 t2 ...
//	                   \-- LAN B  10.7.2.0/24, fd07:2::/64 --- d1 t1 t2 ...
//
// Each Machine has its own network, processes, mounts, /var, /run, BPF file system, host name and account of processor time,
// with a quota if it is asked for. Its nodes are real muster processes with the one cluster.yaml. A cable can be cut, or be
// slow, lossy or deaf in one direction; a machine can be frozen, or lose its power; its node can be killed and started.
//
//	keeper.go     a machine: namespaces, and the process that keeps them
//	group.go      its account and quota: control groups, of either version
//	network.go    the switch, and what a port is like
//	cord.go       a cable, and what it is like when it is slow: relay.go, or loses frames: filter.go
//	fault.go      what can be done to the network
//	machine.go    what can be done to a machine
//	lab.go        how all that is built, started and removed
//	file.go       the cluster's file
//
// Nothing is left behind, whatever becomes of the process that owns a lab. Namespaces, file systems, programs in the kernel
// and packet relays end with it; what runs on a machine is killed by the kernel when its keeper ends, whose input is a pipe
// from the owner. Control groups and the lab's directory, which the kernel keeps, are removed by a process that waits for
// the owner's end, and by the next lab.
//
// A network alone, for what needs no more, is made of spaces (network namespaces) that are joined by cables (veth pairs). A
// space has no name that the rest of the machine could see, and lasts for as long as a process runs in it or a Space is open.
//
// It needs root.
package testbed
