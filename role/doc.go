// Package role joins the parts into what a node runs. A role is a list of tasks; a node with two roles runs both lists.
//
//	director.go      load reports -> the picture -> share tables -> the proxy and the kernel that follow them
//	packets.go       dispatch in the kernel, as far as this machine can do it
//	traffic.go       applications, their checks and the node's load -> reports to every director
//	network.go       the VIPs of both, on this machine's network
//	node.go          what every node has: the console, reload, readiness
//	translate.go     the file, as each part's own Config
//
// What a director has in the kernel outlives its process, and so do the VIPs that it answers for; a traffic node gives its
// VIPs up when the last of its connections has ended.
//
// Nothing is computed here. The order of a list is the order of its end, from the tail: a traffic node has itself taken
// out of the directors' tables before it stops to report, and reports for as long as its applications run; a director
// drains its clients while it still hears which nodes work.
package role
