// Package member is the one picture of node states, from which everything else decides.
//
// What is known comes in: the reports of the nodes and their silence (control/report), the results of the checks in those
// reports, the wishes of the operator, the moves between zones, the configuration. What follows from it goes out: for each
// node, and for each node in each of its pools, a state with its reason, and for each pool the members that a schedule
// makes a table of. The rules, in the order in which they decide:
//
//	the wish is maint                          out
//	no report yet, or silent for the timeout   out
//	the application of a pool does not answer  out, in that pool
//	the wish is drain                          in-transition while work is under way, then standby
//	lent to another pool                       the same, in the pool that has lent it; active in the other
//	otherwise                                  active, after a slow start
//
// A node that comes back starts slowly: its share grows from a twentieth to the whole in the slow start time of the pool. A
// pool that has been without any active node is not to be nursed but opened, so nodes that come within the slow start time
// of the first one start at full speed; a fresh cluster does.
//
// rules.go holds the rules, picture.go and configure.go what comes in, snapshot.go what goes out, run.go what happens by
// itself as time goes by.
package member
