// Package vip keeps a machine's network as its VIPs need it, and puts everything back when it is told to.
//
// A director answers for its VIPs: they stand on its port, other machines are told so, and its ports let packets through.
// A traffic node takes packets for a VIP as its own without anybody on the LAN hearing of it: the VIP stands on the
// loopback interface, ARP and neighbour discovery keep silent about it, and what came through a tunnel is unpacked by a
// program of ours, since kernels may lack the modules. Where a node was given packets by nat, its answers go back through
// the director.
//
// Whatever is changed is noted in a journal first (internal/netset), so that it is undone also after a crash, and only if
// it is still as it was left.
package vip
