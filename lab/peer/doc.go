// Package peer runs real nginx and HAProxy beside ours, on the same nodes and with the same work to do.
//
// Each is one process with one thread that serves, on a host of its own (Host), from a configuration that is written to a
// directory of its own; as root they run as nobody. All proxies keep connections alive on both sides, speak HTTP/1.1 to
// the nodes, add X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, and log nothing. What is not about that is as
// shipped; where this makes a peer look bad, there is a tuned one beside it.
package peer
