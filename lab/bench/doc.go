// Package bench measures Muster beside its peers: on the same nodes, with the same load, in turn, in one run.
//
// The figure to trust is processor time a request: user and system time of all processes under test around a bounded
// run, divided by the requests of that run. Requests a second and latencies depend on how the machine's processors are
// shared between clients, nodes and the server under test. Each contender is measured in several rounds, A B C A B C, so
// that what disturbs the machine disturbs all; a figure is the median of its rounds. A request that fails ends the
// benchmark: what answers wrongly is not fast.
package bench
