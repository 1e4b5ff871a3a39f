// Package drill breaks a running cluster, part after part, and says what its clients saw.
//
// The cluster is the demo's: real nginx on two traffic nodes, the built-in web server on the others, all with the same
// documents, each node a process of its own. While clients ask for the documents, and check each byte of what they get, a
// drill kills, freezes, silences, drains and reconfigures nodes, and brings each back. A step goes on when the director
// sees what it has done; nothing waits for a fixed time.
//
//	drill.go      the cluster, and one step after the other
//	steps.go      what is done to it
//	clients.go    who asks, and what they saw
//	result.go     what is said of it
package drill
