package request

import (
	"io"

	"muster/datapath/http1"
	"muster/internal/loop"
)

// pumpResponse moves what the node has sent on to the client. It reads no more while the client has not taken the last.
func (c *client) pumpResponse() bool {
	ex, w := &c.ex, c.w
	u := ex.up
	if !c.out.empty() {
		return false
	}
	n, err := u.conn.Read(w.loop.Scratch)
	if err != nil {
		return c.nodeEnded(err)
	}
	u.heard = w.loop.Now()
	data := w.loop.Scratch[:n]
	if c.phase == streaming {
		c.passBody(nil, 0, data)
		return true
	}
	if u.in != nil {
		u.in = append(w.pool.grow(u.in, n), data...)
		data = u.in
	}
	c.readResponse(data)
	return true
}

func (c *client) nodeEnded(err error) bool {
	switch {
	case err == loop.ErrAgain:
		return false
	case c.phase == waiting:
		c.attemptFailed(NodeClosed)
	case c.ex.framing == http1.BodyClose && err == io.EOF:
		c.ex.reusable = false
		if c.ex.mode == chunked && !c.write([]byte(http1.LastChunk)) {
			return false
		}
		c.finish()
	default:
		c.attemptFailed(Truncated)
	}
	return true
}

// readResponse reads a response's head, and interim ones ahead of it.
func (c *client) readResponse(data []byte) {
	ex, w := &c.ex, c.w
	u := ex.up
	r := &w.resp
	for {
		r.Reset()
		err := r.Parse(data, &c.cfg.Limits.Head, ex.verb)
		switch {
		case err == http1.ErrMore:
			if u.in == nil {
				if len(data) > 0 {
					u.in = append(w.pool.take(len(data)), data...)
				}
			} else {
				u.in = u.in[:copy(u.in, data)]
			}
			return
		case err != nil:
			c.w.p.log.Warn("a node's response is not HTTP", "service", c.v.s.name, "node", u.t.addr, "reason", err.Error())
			c.attemptFailed(BadResponse)
			return
		case r.Status == 101:
			c.switchProtocols(r, data)
			return
		case r.Status < 200:
			if !ex.oldClient && !c.write(data[:r.Size]) {
				return
			}
			data = data[r.Size:]
		default:
			c.beginResponse(r, data)
			return
		}
	}
}

// beginResponse passes the head on, and what has come of the body.
func (c *client) beginResponse(r *http1.Response, data []byte) {
	ex, u := &c.ex, c.ex.up
	u.t.heard = u.heard
	if !ex.started {
		ex.firstAt = loop.Monotonic()
		ex.live.Observe(ex.firstAt - ex.sentAt)
	}
	u.t.owed--
	c.phase = streaming
	ex.reusable = r.KeepAlive
	if ex.resume.tries > 0 {
		c.continueResponse(r, data)
		return
	}
	ex.status, ex.framing, ex.respLeft = r.Status, r.Body, r.Length
	switch {
	case r.Body == http1.BodyClose && ex.oldClient:
		c.keep = false
	case r.Body == http1.BodyClose:
		ex.mode = chunked
	case r.Body == http1.BodyChunked && ex.oldClient:
		ex.mode, c.keep = unchunked, false
	}
	if !ex.bodyDone || c.w.p.draining.Load() {
		c.keep = false // a client that is still sending is told to stop
	}
	if r.Body == http1.BodyLength && int64(len(data)-r.Size) < r.Length {
		c.rememberForResume(r)
		c.timer.Set(c.stallTime())
	}
	ex.started = true
	head := c.responseHead(r, data)
	size := r.Size
	if head != nil {
		data, size = data[size:], 0
	}
	c.passBody(head, size, data)
	if u.in != nil && c.ex.up == u {
		c.w.pool.give(u.in)
		u.in = nil
	}
}

// passBody passes on what belongs to the response of head, of data[:size], which is the head as it came, and of the body
// that follows there.
func (c *client) passBody(head []byte, size int, data []byte) {
	ex := &c.ex
	n, done, err := ex.takeResponse(data[size:])
	if err != nil {
		c.w.p.log.Warn("a node's response breaks off", "service", c.v.s.name, "node", ex.up.t.addr, "reason", err.Error())
		c.attemptFailed(BadResponse)
		return
	}
	if size+n < len(data) {
		ex.reusable = false // it sent more than its response
	}
	ex.passed += int64(n)
	ok := true
	switch part := data[:size+n]; {
	case ex.mode == chunked:
		ok = c.write2(head, nil) && (n == 0 || c.writeChunk(part))
	case ex.mode == unchunked:
		ok = c.write2(head, nil) && c.writeUnchunked(part)
	default:
		ok = c.write2(head, part)
	}
	switch {
	case !ok:
	case done:
		c.finish()
	case c.out.empty():
		c.timer.Set(c.stallTime())
	default: // the client's turn
		c.timer.Set(int64(c.cfg.Timeouts.Stall))
	}
}

// stallTime is how long the node may take for the next bytes: not long, when its report is overdue and another node could go
// on.
func (c *client) stallTime() int64 {
	if c.ex.live.Overdue.Load() && c.canResume() {
		return int64(c.cfg.Timeouts.Out)
	}
	return int64(c.cfg.Timeouts.Stall)
}

// takeResponse says how much of b belongs to the body of the response, and whether it ends with it.
func (ex *exchange) takeResponse(b []byte) (n int, done bool, err error) {
	switch ex.framing {
	case http1.BodyLength:
		n = int(min(int64(len(b)), ex.respLeft))
		ex.respLeft -= int64(n)
		return n, ex.respLeft == 0, nil
	case http1.BodyChunked:
		if ex.mode == unchunked {
			scan := ex.respChunk // writeUnchunked goes over it again
			n, done, err = scan.Scan(b)
			return n, done, err
		}
		return ex.respChunk.Scan(b)
	case http1.BodyClose:
		return len(b), false, nil
	}
	return 0, true, nil
}

// writeChunk writes one chunk.
func (c *client) writeChunk(data []byte) bool {
	size := http1.AppendChunkSize(c.w.head[:0], len(data))
	c.w.head = size
	return c.write2(size, data) && c.write([]byte("\r\n"))
}

// writeUnchunked writes the data of chunks.
func (c *client) writeUnchunked(b []byte) bool {
	for len(b) > 0 {
		data, n, _, err := c.ex.respChunk.Next(b)
		if err != nil || n == 0 && len(data) == 0 {
			return true // the scan before has found nothing wrong; this is the end
		}
		if len(data) > 0 && !c.write(data) {
			return false
		}
		b = b[n:]
	}
	return true
}

// write writes to the client; what it does not take waits in out. It says false when the client is gone.
func (c *client) write(b []byte) bool { return c.write2(b, nil) }

func (c *client) write2(a, b []byte) bool {
	c.ex.bytesOut += int64(len(a) + len(b))
	n, err := 0, error(nil)
	switch {
	case !c.out.empty():
	case len(b) == 0 && len(a) == 0:
		return true
	case len(a) == 0:
		n, err = c.conn.Write(b)
	case len(b) == 0:
		n, err = c.conn.Write(a)
	default:
		n, err = c.conn.Write2(a, b)
	}
	if err != nil && err != loop.ErrAgain {
		c.cut(ClientGone)
		return false
	}
	if n < len(a) {
		c.out.add(&c.w.pool, a[n:])
		n = len(a)
	}
	c.out.add(&c.w.pool, b[n-len(a):])
	return true
}

// finish ends an exchange that went well.
func (c *client) finish() {
	ex := &c.ex
	whole := ex.bodyDone && ex.flushed()
	if !whole {
		c.keep = false
	}
	ex.live.Served.Add(1)
	c.endExchange(ex.reusable && whole && c.cfg.ProxySend == 0)
	c.after()
}

// after goes on to the client's next request, or to the end of the connection.
func (c *client) after() {
	switch {
	case c.keep:
		c.phase = resting
		c.timer.Set(int64(c.cfg.Timeouts.Idle))
	case c.out.empty() && c.in == nil && !c.conn.Readable():
		c.close()
	default:
		c.phase = closing
		c.timer.Set(int64(c.cfg.Timeouts.Stall))
	}
}
