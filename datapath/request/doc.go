// Package request is the way of a request through a director that proxies: it ends the client's connection, reads the
// request, and has a node of the pool answer it. Its steps, and where each one lives:
//
//	1 connection in  accept.go    which service is it for? may it come?
//	2 head           client.go    read and checked (datapath/http1), within its time and size
//	3 node           dispatch.go  asked of the share table (control/schedule made it); queued when all are full
//	4 forward        head.go      the head as it came, less what is between us and the client, plus who the client is
//	5 reply          respond.go   streamed back as it comes
//	6 trouble        retry.go     another node, when nothing can have been acted on; resume.go, when half a reply has come
//	7 afterwards     log.go, count.go
//
// Services of kind tcp, and connections that were upgraded, are tunnel.go. What muster itself says to a client is
// answer.go.
//
// Connections live on the loops of internal/loop, one a thread. A client, its request and the node that answers it are
// always on the same loop, so nothing here is locked; loops share only tables, counters and limits.
package request
