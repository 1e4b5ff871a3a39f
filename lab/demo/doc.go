// Package demo is the first thing that a newcomer does with Muster: a whole cluster on one machine, to look at and to kill
// parts of. It writes the cluster's file and a site for it, says what to try, and brings back nodes that were killed.
package demo
