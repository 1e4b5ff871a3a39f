// Package share turns weights into slots: a table of fixed size, each slot of which belongs to one node.
//
// Who hashes to a slot goes to its node, so the table is all that directors must agree on. It depends on the names and
// weights alone: not on the order in which they are listed, not on what was before, not on the machine. Every director
// builds the same one.
//
// # Build: Maglev hashing
//
// Eisenbud et al., Maglev, NSDI 2016, 3.4: every node has its own permutation of the slots, offset + i*skip mod size, and
// the nodes take turns, each taking the next slot of its permutation that is still free. Ours differs in how often a node's
// turn comes: its number of slots is fixed beforehand, in proportion to its weight, and its turns are spread evenly over
// the whole, so a table of any weights takes the same time to fill.
//
// # Rebuild: what is lost is dealt anew, nothing else moves
//
// Maglev's balance is exact, and its price is that one removed node makes others change places too: in 65,537 slots, one
// of 100 nodes moves 1.6 times its own share, one of 1,000 seven times. (A freed slot goes to the next node that wanted it, which then leaves the one it
// took instead, and so on to the end of the permutations.) A node that fails should not cost ten nodes' clients their
// place. So Rebuild starts from the table of the nominal weights, those of the configuration. A node that is now worth
// less keeps the first part of its slots; each slot that it gives up looks, in an order of its own, for a slot that still
// has its owner, and goes to that owner. What is not given up never moves.
package share
