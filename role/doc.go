// Package role joins the parts into what a node runs. A role is a list of tasks; a node with two roles runs both lists.
//
//	director.go      load reports -> the picture -> share tables -> the proxy that follows them
//	traffic.go       applications, their checks and the node's load -> reports to every director
//	node.go          what every node has: the console, reload, readiness
//	translate.go     the file, as each part's own Config
//
// Nothing is computed here. The order of a list is the order of its end, from the tail: a traffic node has itself taken
// out of the directors' tables before it stops to report, and reports for as long as its applications run; a director
// drains its clients while it still hears which nodes work.
package role
