// Package console is a node's window: an HTTP API that says how the node and its cluster are and takes an operator's wishes.
//
//	GET  /v1/status              all that the node knows               Status
//	GET  /v1/events?after=N      the last changes of state             Events
//	POST /v1/nodes/NAME/wish     {"wish": "drain", "reason": "..."}    ready, drain or maint; a director's
//	POST /v1/reload              reads the file again
//	POST /v1/reports/mute        {"muted": true}                       stops the node's load reports, for drills
//	POST /v1/detach              begins to take the node out of the kernel and its VIPs off its machine
//	GET  /metrics                Prometheus
//	GET  /healthz                whether the process is alive
//	GET  /readyz                 whether it does its work, and why not
//
// It is served on a Unix socket that only its owner may open, and on the admin port of each of the node's addresses.
// Whoever reaches the admin port may read, but for the lines that applications have printed: they are for who may change
// something. That takes the token there, which everybody who has the cluster key can derive. The port speaks plain HTTP, and a token that travels over it can be
// read on the way: it belongs on a network that the cluster trusts. On the socket no token is needed.
//
// An error is answered as {"error": "...", "hint": "..."}.
package console
