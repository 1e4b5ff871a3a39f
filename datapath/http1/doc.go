// Package http1 reads and writes HTTP/1.1 message heads and the chunked coding, in place and without allocating.
//
// What it returns are slices of the caller's buffer. It is strict on purpose: where two readers could understand a
// message differently (where it ends, for whom it is), the message is refused, so that nothing can be smuggled past a
// director. Beyond what RFC 9112 demands it refuses:
//
//   - Content-Length more than once or as a list, even with equal values; Content-Length beside Transfer-Encoding
//   - any transfer coding but one final "chunked", and any Transfer-Encoding in HTTP/1.0
//   - white space around a chunk size; framing and routing fields in trailers
//   - bare LF as a line end, folded lines, white space before the colon
//   - a Host that is not a plain name or address with an optional port; an absolute target whose authority is not
//     byte for byte (but for case) the Host
//   - Connection options that name Host, Content-Length or Transfer-Encoding
//   - a fragment, a control or a non-ASCII byte in the target; a bad percent-encoding in its path
//
// One empty line ahead of a request line is skipped (RFC 9112 2.2); a second one is refused.
package http1
