// Package cluster holds the words that every part of Muster shares: node, service, pool, load, state, share table.
//
// It imports nothing of ours. The control path makes a Table, the data path follows it; neither knows the other.
package cluster
