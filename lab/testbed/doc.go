// Package testbed makes networks on one machine: spaces (network namespaces), each like a machine with a network of its
// own, joined by cables (veth pairs).
//
// A space has no name that the rest of the machine could see, and neither has a cable's end outside its space: two
// networks cannot be in each other's way. A space lasts for as long as a process runs in it or a Space is open, and cables
// end with their spaces. So nothing is left of a process that was killed: the kernel closes its spaces, and what ran in
// them ends with it (internal/spawn).
//
// It needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN).
package testbed
