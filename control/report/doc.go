// Package report carries the load of each node to every director (HAS 3.22.3, 3.22.5).
//
// A Reporter, on every node, sends one datagram to each address of each director every interval: the node's load, whether
// its applications answer, and which directors it hears. It sends at once when an application's state changes, when a
// director has not accepted it yet, and a last time when it stops in order.
//
// A Receiver, on a director, keeps the list of the nodes that report, the one with most room first, and drops a node that
// is silent for the timeout on all LANs. It answers with a beacon, which carries what a node needs of the cluster: the
// least RAM of any node, for the load index, and the challenge that lets a session begin; see internal/wire.
//
// Silence is time in which the listener ran and heard nothing. A director that was frozen, or that its machine did not
// let run, first reads what has arrived meanwhile and throws nobody out for its own absence.
package report
