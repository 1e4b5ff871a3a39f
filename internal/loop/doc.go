// Package loop runs connections by the thousand on a few threads: one epoll set a thread, non-blocking sockets, callbacks.
//
// A goroutine a connection costs a read that finds nothing, a park and a wake for every request. A loop reads only what
// epoll has said is there, and serves all that is ready in one turn. Everything that belongs to a loop is touched from
// its own thread alone, so what is built on it needs no locks; other goroutines reach it through Post.
package loop
