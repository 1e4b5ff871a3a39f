// Package load puts HTTP/1.1 load on a server and says precisely what its clients saw.
//
// One thread runs all clients, on internal/loop, with a parser of its own: it takes little from the cores that it shares
// with what it measures, and it shares no code with the servers whose framing it checks.
//
// Closed loop: each client asks again as soon as it has its answer. Open loop (Config.Rate): requests are due at fixed
// times, whatever became of those before, and a latency counts from the time at which the request was due. A server that
// stalls is thus charged for every request that it kept waiting (no coordinated omission).
//
// A failed request is counted once, by what the client saw, and never sent again: what a browser would hide, this shows.
//
// The longest gap is the longest time in which a request was due and none succeeded. It runs from the last success, or
// from when the oldest unanswered request was due if that is later, to the next success; a failure does not end it. Gap
// takes all clients together; ClientGap is the worst that any one client saw. (In an open loop a request belongs to no
// client in particular, so there ClientGap is the longest that one request took, whether it failed or not.)
package load
