package serve

import (
	"bytes"
	"math/rand/v2"
	"strconv"

	"muster/datapath/http1"
)

// answer puts the response to a request into the output, and settles what becomes of the request's body.
func (c *conn) answer(r *http1.Request) {
	w := c.w
	w.n.requests++
	c.last = !r.KeepAlive || w.n.draining
	if r.Body != http1.BodyNone {
		c.body(r)
	}
	switch r.Verb {
	case http1.GET, http1.HEAD:
		c.document(r)
	case http1.OPTIONS:
		c.line(r, 204)
		w.out = append(w.out, "Allow: GET, HEAD, OPTIONS\r\n\r\n"...)
		c.out.heads = w.out
		c.note(r, 204, 0)
	case http1.OtherVerb:
		c.fail(r, 501)
	default:
		c.fail(r, 405)
	}
}

// body arranges that the request's body, which means nothing to us, is read and thrown away; a long one, or one that the
// client holds back until it is told to send it, ends the connection instead.
func (c *conn) body(r *http1.Request) {
	switch {
	case r.Expect100 || r.Body == http1.BodyLength && r.Length > bodyLimit:
		c.last, c.linger = true, true
	case r.Body == http1.BodyChunked:
		c.chunks, c.skip = new(http1.Chunked), bodyLimit
	default:
		c.skip = r.Length
	}
	c.linger = c.linger || c.last
}

// document answers GET and HEAD.
func (c *conn) document(r *http1.Request) {
	w := c.w
	now := w.loop.Now()
	s := w.site
	path := r.Path
	var p *page
	if bytes.IndexByte(path, '%') < 0 { // the cache knows decoded paths
		p = s.cache.get(path, now)
	}
	if p == nil { // by another spelling, perhaps
		var status int
		if path, status = clean(w.path[:0], r.Path); status != 0 {
			c.fail(r, status)
			return
		}
		w.path = path
		if !bytes.Equal(path, r.Path) {
			p = s.cache.get(path, now)
		}
	}
	if p != nil && s.fresh(p, now) {
		w.n.hits++
		if c.page(r, p) {
			return
		}
	}
	w.n.misses++
	if s.Dynamic != nil {
		if body, ctype, ok := s.Dynamic(string(path), string(r.Query)); ok {
			c.generated(r, body, ctype)
			return
		}
	}
	f := s.load(string(path), now)
	switch {
	case f.page != nil:
		s.cache.put(f.page, now)
		c.page(r, f.page)
		f.page.release()
		return
	case p != nil:
		s.cache.drop(p)
	}
	switch f.status {
	case 200:
		c.listing(r, string(path), f.dir)
	case 301:
		c.redirect(r, string(path))
	default:
		c.fail(r, f.status)
	}
}

// page answers with a page. It returns false when the page's file has just been closed: it was put out of the cache.
func (c *conn) page(r *http1.Request, p *page) bool {
	f := p.forms[identity]
	if p.many && r.Has.Has(http1.AcceptEncoding) {
		f = prefer(r).pick(p)
	}
	if f.file != nil && !f.file.hold() {
		return false
	}
	w := c.w
	status := 0
	if r.Has.Any(conditional) {
		status = condition(r, f, w.wall)
	}
	if status == 0 && r.Verb == http1.GET && r.Has.Has(http1.Range) && c.ranges(r, f) {
		return true
	}
	switch {
	case status == 0:
		c.whole(r, f)
		return true
	case status == 304:
		c.line(r, 304)
		w.out = append(w.out, f.validators...)
		w.out = append(w.out, "\r\n"...)
		c.out.heads = w.out
		c.note(r, 304, 0)
	default:
		c.fail(r, status)
	}
	if f.file != nil {
		f.file.release()
	}
	return true
}

// whole sends all of a document.
func (c *conn) whole(r *http1.Request, f *form) {
	w := c.w
	c.line(r, 200)
	switch {
	case r.Verb == http1.HEAD:
		w.out = append(w.out, f.fields...)
		if f.file != nil {
			f.file.release()
		}
	case f.whole != nil:
		w.out = append(w.out, f.whole...)
	default:
		w.out = append(w.out, f.fields...)
		c.content(f, span{0, f.size})
	}
	c.out.heads = w.out
	c.note(r, 200, f.size)
}

// content puts a part of a document behind the heads. The output takes over the share in the file.
func (c *conn) content(f *form, s span) {
	if f.file == nil {
		c.out.body = f.body[s.off : s.off+s.n]
		return
	}
	c.out.file, c.out.off, c.out.left = f.file, s.off, s.n
}

// ranges sends parts of a document, if the request's Range is good for any (RFC 9110 14.2). Otherwise it returns false.
func (c *conn) ranges(r *http1.Request, f *form) bool {
	w := c.w
	if r.Has.Has(http1.IfRange) && !unchanged(r, f, w.wall) {
		return false
	}
	list, ok := spans(w.spans, r.Value(http1.Range), f.size)
	if !ok {
		return false
	}
	w.spans = list
	switch len(list) {
	case 0:
		if f.file != nil {
			f.file.release()
		}
		c.line(r, 416)
		w.out = append(w.out, "Content-Range: bytes */"...)
		w.out = strconv.AppendInt(w.out, f.size, 10)
		w.out = append(w.out, "\r\n"...)
		c.text(r, 416)
		return true
	case 1:
		c.line(r, 206)
		w.out = append(w.out, "Content-Type: "...)
		w.out = append(w.out, f.ctype...)
		w.out = append(w.out, "\r\nContent-Range: "...)
		w.out = appendRange(w.out, list[0], f.size)
		w.out = append(w.out, "\r\nContent-Length: "...)
		w.out = strconv.AppendInt(w.out, list[0].n, 10)
		w.out = append(w.out, "\r\n"...)
		w.out = f.appendCoding(w.out)
		w.out = append(w.out, f.validators...)
		w.out = append(w.out, "\r\n"...)
		c.content(f, list[0])
		c.out.heads = w.out
		c.note(r, 206, list[0].n)
		return true
	}
	c.multipart(r, f, list)
	return true
}

func appendRange(b []byte, s span, size int64) []byte {
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, s.off, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, s.off+s.n-1, 10)
	b = append(b, '/')
	return strconv.AppendInt(b, size, 10)
}

// multipart sends several ranges as multipart/byteranges (RFC 9110 14.6).
func (c *conn) multipart(r *http1.Request, f *form, list []span) {
	w := c.w
	boundary := strconv.AppendUint(nil, rand.Uint64()|1<<63, 36)
	parts := make([]part, 0, len(list)+1)
	total := int64(0)
	for _, s := range list {
		b := append([]byte(nil), "\r\n--"...)
		b = append(b, boundary...)
		b = append(b, "\r\nContent-Type: "...)
		b = append(b, f.ctype...)
		b = append(b, "\r\nContent-Range: "...)
		b = appendRange(b, s, f.size)
		b = append(b, "\r\n\r\n"...)
		if f.file == nil {
			b = append(b, f.body[s.off:s.off+s.n]...)
			total += int64(len(b))
			parts = append(parts, part{head: b})
			continue
		}
		total += int64(len(b)) + s.n
		parts = append(parts, part{b, s})
	}
	end := "\r\n--" + string(boundary) + "--\r\n"
	total += int64(len(end))
	parts = append(parts, part{head: []byte(end)})
	c.line(r, 206)
	w.out = append(w.out, "Content-Type: multipart/byteranges; boundary="...)
	w.out = append(w.out, boundary...)
	w.out = append(w.out, "\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, total, 10)
	w.out = append(w.out, "\r\n"...)
	w.out = f.appendCoding(w.out)
	w.out = append(w.out, f.validators...)
	w.out = append(w.out, "\r\n"...)
	c.out.file, c.out.parts = f.file, parts
	c.out.heads = w.out
	c.note(r, 206, total)
}

// generated sends a body that was made for this request.
func (c *conn) generated(r *http1.Request, body []byte, ctype string) {
	w := c.w
	c.line(r, 200)
	w.out = append(w.out, "Content-Type: "...)
	w.out = append(w.out, ctype...)
	w.out = append(w.out, "\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, int64(len(body)), 10)
	w.out = append(w.out, "\r\n\r\n"...)
	switch {
	case r.Verb == http1.HEAD:
	case len(body) <= wholeSize:
		w.out = append(w.out, body...)
	default:
		c.out.body = body
	}
	c.out.heads = w.out
	c.note(r, 200, int64(len(body)))
}

// redirect sends the client to the same path with a slash at its end: the links in a directory's page are relative to it.
func (c *conn) redirect(r *http1.Request, path string) {
	w := c.w
	c.line(r, 301)
	w.out = append(w.out, "Location: "...)
	w.out = appendEscaped(w.out, path)
	w.out = append(w.out, '/')
	if r.Query != nil {
		w.out = append(w.out, '?')
		w.out = append(w.out, r.Query...)
	}
	w.out = append(w.out, "\r\n"...)
	c.text(r, 301)
}

// line puts the status line and the fields that every response has.
func (c *conn) line(r *http1.Request, status int) {
	w := c.w
	if status == 200 {
		w.out = append(w.out, "HTTP/1.1 200 OK\r\n"...)
	} else {
		w.out = http1.AppendStatusLine(w.out, status)
	}
	w.out = append(w.out, w.common...)
	if c.last {
		w.out = append(w.out, "Connection: close\r\n"...)
	} else if r.Minor == 0 {
		w.out = append(w.out, "Connection: keep-alive\r\n"...)
	}
}

// fail sends an error page.
func (c *conn) fail(r *http1.Request, status int) {
	c.line(r, status)
	if status == 405 {
		c.w.out = append(c.w.out, "Allow: GET, HEAD, OPTIONS\r\n"...)
	}
	c.text(r, status)
}

// text ends a head, and says in the body what the status is.
func (c *conn) text(r *http1.Request, status int) {
	w := c.w
	line := http1.StatusText(status)
	n := len("404 ") + len(line) + len("\n")
	w.out = append(w.out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, int64(n), 10)
	w.out = append(w.out, "\r\n\r\n"...)
	if r.Verb != http1.HEAD {
		w.out = strconv.AppendInt(w.out, int64(status), 10)
		w.out = append(w.out, ' ')
		w.out = append(w.out, line...)
		w.out = append(w.out, '\n')
	}
	c.out.heads = w.out
	c.note(r, status, int64(n))
}

// refuse answers what is no request, and ends the connection.
func (c *conn) refuse(status int, reason string) {
	w := c.w
	c.last, c.linger = true, true
	w.out = http1.AppendStatusLine(w.out, status)
	w.out = append(w.out, w.common...)
	w.out = append(w.out, "Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, int64(len(reason)+1), 10)
	w.out = append(w.out, "\r\n\r\n"...)
	w.out = append(w.out, reason...)
	w.out = append(w.out, '\n')
	c.out.heads = w.out
	w.n.responses[status/100]++
}

// listing sends a page that lists a directory, which it closes.
func (c *conn) listing(r *http1.Request, path string, dir int) {
	body, err := list(path, dir, c.w.site.Hidden)
	if err != nil {
		c.fail(r, 500)
		return
	}
	c.generated(r, body, "text/html; charset=utf-8")
}

// note counts a response, and writes the access log.
func (c *conn) note(r *http1.Request, status int, size int64) {
	c.w.n.responses[status/100]++
	if c.w.site.AccessLog != nil {
		c.logLine(r, status, size)
	}
}
