// Package peer runs real nginx and HAProxy beside ours, on the same nodes and with the same work to do.
//
// Each is one process with one thread that serves, on an address of 127.0.0.0/8, from a configuration that is written to
// a directory of its own; as root they run as nobody. All proxies keep connections alive on both sides, speak HTTP/1.1 to
// the nodes, add X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, and log nothing. Where a default makes a peer
// look bad, the configuration is what those who tune it use.
package peer
