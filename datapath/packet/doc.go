// Package packet dispatches in the kernel: an XDP program on the director's port sends what clients send on to the
// traffic nodes, and the nodes answer the clients themselves. User space never sees a packet of a known service; it
// fills tables, which the program reads.
package packet
