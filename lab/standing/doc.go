// Package standing keeps a lab of package testbed up in the background, for somebody to look at and to break: a process of
// its own owns it, and answers on a socket.
//
// Whatever becomes of that process, the lab ends with it. What stands is found by its name, below /run, where only root
// gets; a lock says whether it still does.
package standing
