package request

import (
	"bytes"
	"strconv"

	"muster/datapath/http1"
)

// resume is what another node needs to know to finish a response that one has begun (RFC 9110 14, 13.1.5): the same
// representation, from the byte at which it broke off. The client notices nothing.
type resume struct {
	etag  []byte // strong; empty: the response cannot be finished by another node
	total int64
	tries int
}

// conditions are the fields with which a request asks for something else than the whole, whatever its state.
const conditions = 1<<http1.Range | 1<<http1.IfRange | 1<<http1.IfMatch | 1<<http1.IfNoneMatch | 1<<http1.IfModifiedSince |
	1<<http1.IfUnmodifiedSince

const resumesMost = 4

// mayResume says whether the response to the request can be finished by another node.
func mayResume(r *http1.Request) bool {
	return r.Verb == http1.GET && !r.Has.Any(conditions) && r.Body == http1.BodyNone
}

// rememberForResume keeps what a second node would need to know. The ETag tells whether it has the same bytes; a weak one
// does not.
func (c *client) rememberForResume(r *http1.Response) {
	ex := &c.ex
	ex.resume.etag = ex.resume.etag[:0]
	if !ex.resumable || r.Status != 200 || r.Has.Has(http1.AcceptRanges) && !bytes.Equal(r.Value(http1.AcceptRanges), []byte("bytes")) {
		return
	}
	if e := r.Value(http1.ETag); len(e) > 2 && e[0] == '"' && len(e) < 256 {
		ex.resume.etag = append(ex.resume.etag, e...)
		ex.resume.total = r.Length
	}
}

func (c *client) canResume() bool {
	ex := &c.ex
	return len(ex.resume.etag) > 0 && ex.resume.tries < resumesMost && ex.framing == http1.BodyLength && c.cfg.Retry.Idempotent
}

// prepareResume makes the request one for the rest.
func (c *client) prepareResume() {
	ex := &c.ex
	b := ex.replay[:ex.headSize-2] // without the empty line, and without what an earlier try put there
	b = append(b, "Range: bytes="...)
	b = strconv.AppendInt(b, ex.passed, 10)
	b = append(b, "-\r\nIf-Range: "...)
	b = append(b, ex.resume.etag...)
	ex.replay = append(b, "\r\n\r\n"...)
	ex.fresh = false
}

// continueResponse takes the rest from a second node, if it is the rest.
func (c *client) continueResponse(r *http1.Response, data []byte) {
	ex := &c.ex
	want := append(c.w.head[:0], "bytes "...)
	want = strconv.AppendInt(want, ex.passed, 10)
	want = append(want, '-')
	want = strconv.AppendInt(want, ex.resume.total-1, 10)
	want = append(want, '/')
	want = strconv.AppendInt(want, ex.resume.total, 10)
	c.w.head = want
	if r.Status != 206 || r.Body != http1.BodyLength || r.Length != ex.respLeft ||
		!bytes.Equal(r.Value(http1.ContentRange), want) || !bytes.Equal(r.Value(http1.ETag), ex.resume.etag) {
		c.attemptFailed(Truncated) // it has another version: a third node may have ours
		return
	}
	c.timer.Set(int64(c.cfg.Timeouts.Stall))
	c.passBody(nil, 0, data[r.Size:])
}
