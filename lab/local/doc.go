// Package local runs a whole cluster on this machine, without root: each node is a process of its own, on an address of
// 127.0.0.0/8, from a file in a directory of their own. Nothing of the program is replaced; demos, drills and benchmarks
// stand on it.
//
// Nothing is left behind. Whatever becomes of the process that started them, the nodes end with it (internal/spawn), and
// what they run ends with them. A process that is killed cannot remove its directory: the next cluster does.
package local
