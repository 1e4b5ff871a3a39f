// Package serve is the built-in web server of a traffic node: it serves a tree of files, by RFC 9110, from a few loops.
//
// Its way of a request, and where each step lives:
//
//	1 connection    worker.go       accept, time-outs, drain
//	2 head          conn.go         read, parse (datapath/http1), one answer after the other
//	3 path          path.go         decoded and made canonical, or refused
//	4 document      cache.go        small ones and heads are kept ready; tree.go opens the others, beneath the root
//	5 answer        answer.go       coding, preconditions, ranges, in the order of RFC 9110 13.2.2
//	6 reply         write.go        one write for a small document, sendfile for a large one
//
// A document has the ETag that nginx would give it, so that a download which broke on one node can go on from another,
// whatever that one runs.
package serve
