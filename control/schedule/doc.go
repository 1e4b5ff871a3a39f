// Package schedule turns what is known of a pool's nodes into the share table that says which of them gets a request.
//
// A policy weighs the nodes (weight.go), lays out the table's slots (turn.go, or Maglev from control/share), and gives the
// table the function by which the data path chooses (walk.go). Each policy is one small file that names its source:
//
//	by turn       rr.go wrr.go has.go load.go
//	by count      lc.go wlc.go p2c.go leasttime.go
//	by hash       sh.go mh.go
//	by chance     random.go
//
// Whatever the policy: only a node that is active and has weight gets new requests, each in proportion to its weight, and
// one that is in its slow start gets a part that grows. A node whose turn it is but which may not take the request (full,
// avoided, or tried already) is passed over for another. Zones, which move nodes between pools by load, are in zone.go.
package schedule
