// Package datapath is the way of a request. Its steps, and where each one lives:
//
//	1 connection in   request/accept.go    which service is it for? may it come?
//	2 head            request/client.go    read by http1, which refuses what could be read in two ways
//	3 node            request/dispatch.go  asked of the share table (control/schedule made it)
//	4 forward         request/head.go      as it came, plus who the client is
//	5 node            serve/conn.go        the built-in web server, or an application of the node's own
//	6 reply           request/respond.go   streamed back as it comes
//	7 trouble         request/retry.go     another node, whenever that cannot harm
package datapath
