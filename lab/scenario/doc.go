// Package scenario does things to a lab's cluster while clients ask, and says what they saw.
//
// A scenario states what it does and what clients must see of it (scenarios.go), and how its cluster is: machines with a
// network of their own (lab/testbed), each with a real muster node, some with nginx. While clients ask for documents, on kept
// connections, on new ones and in slow downloads, and check each byte, the scenario pulls plugs, kills, freezes, drains, floods;
// then it looks whether all was as it must be. What must be so and what was found is in the result, beside what clients saw.
//
//	scenarios.go  the list
//	run.go        one scenario after the other
//	stage.go      what a scenario can do and ask
//	clients.go    who asks, and what they saw
//	cluster.go    the cluster's file
//	packets.go    packets that no client would send
//	programs.go   wrk, curl and dig
//	result.go     what is said of it
//
// No scenario says how long something may take, but for what the protocols give: a time that is measured is a figure, and a
// bound on it is generous.
package scenario
