package request

import (
	"bytes"

	"muster/cluster"
	"muster/datapath/http1"
	"muster/internal/loop"
)

// An exchange is one request and its response.
type exchange struct {
	// The request.
	verb       http1.Verb
	oldClient  bool // HTTP/1.0: knows neither chunks nor 1xx
	upgrade    bool
	idempotent bool
	resumable  bool   // another node may finish the response (see resume.go)
	replay     []byte // the head for the node, and behind it as much of the body as has come and is kept
	headSize   int
	whole      bool // replay holds all that has been taken of the body: it can be sent again
	body       http1.Framing
	left       int64 // of a body of known length
	chunks     http1.Chunked
	bodyDone   bool
	sent       int  // of replay
	wrote      bool // something has been written to the node of this attempt
	stopped    bool // the node takes no more of the request: what it answers counts

	// The node.
	ask      cluster.Ask
	table    *cluster.Table
	share    int // in table; -1 is the fallback server
	live     *cluster.Live
	target   *target
	up       *nodeConn
	attempts int
	fresh    bool // no connection that waited: one has just failed
	pauses   int

	// The response.
	status    int
	started   bool // its head has been written to the client
	framing   http1.Framing
	respLeft  int64
	respChunk http1.Chunked
	mode      mode
	reusable  bool // the node's connection is good for another request, if all comes to its end
	passed    int64
	resume    resume

	cause                                  Cause
	began, headAt, nodeAt, sentAt, firstAt int64
	bytesIn, bytesOut                      int64
	retries                                int
}

// mode is how a body goes to the client.
type mode uint8

const (
	asItCame  mode = iota
	chunked        // it has neither length nor chunks: put into chunks
	unchunked      // the client knows no chunks
)

// startExchange takes in a request, and returns how much of data it used.
func (c *client) startExchange(r *http1.Request, data []byte) int {
	ex := &c.ex
	if ex.began == 0 { // it was there behind the one before
		ex.began = loop.Monotonic()
	}
	c.requests++
	c.v.count.Requests.Add(1)
	ex.verb, ex.oldClient = r.Verb, r.Minor == 0
	ex.idempotent = r.Verb.Idempotent()
	ex.upgrade = len(r.Upgrade) > 0 && !asksHTTP2(r.Upgrade)
	ex.resumable = mayResume(r)
	ex.body, ex.left = r.Body, r.Length
	ex.share = -1
	ex.ask = cluster.Ask{Key: c.key, Port: c.from.Port()}
	ex.headAt = loop.Monotonic()
	c.keep = r.KeepAlive && !c.v.s.gone.Load() && !c.w.p.draining.Load() &&
		(c.cfg.Limits.Requests == 0 || c.requests < c.cfg.Limits.Requests)

	// The body's beginning, if any has come, goes into the replay with the head.
	rest := data[r.Size:]
	n, err := ex.takeBody(rest)
	if err != nil {
		c.refuse(err)
		return len(data)
	}
	ex.replay = c.w.pool.take(r.Size + len(c.tagged) + tagRoom + n)
	c.requestHead(r, data)
	ex.headSize = len(ex.replay)
	ex.replay = append(ex.replay, rest[:n]...)
	ex.whole = true
	if c.v.tokens < retryBurst {
		c.v.tokens += int(c.cfg.Retry.Budget * 1000)
	}
	return r.Size + n
}

// asksHTTP2 says whether h2c is among the protocols. In that tunnel requests would reach the node unseen, past every limit
// and rule of the director; a server may go on with HTTP/1.1 as if it had not been asked (RFC 9110 7.8).
func asksHTTP2(upgrade []byte) bool {
	for p := range bytes.SplitSeq(upgrade, []byte(",")) {
		if http1.EqualFold(bytes.TrimSpace(p), "h2c") {
			return true
		}
	}
	return false
}

// takeBody says how much of b belongs to the body of the request.
func (ex *exchange) takeBody(b []byte) (n int, err error) {
	switch ex.body {
	case http1.BodyLength:
		n = int(min(int64(len(b)), ex.left))
		ex.left -= int64(n)
		ex.bodyDone = ex.left == 0
	case http1.BodyChunked:
		n, ex.bodyDone, err = ex.chunks.Scan(b)
	default:
		ex.bodyDone = true
	}
	return n, err
}

// flushed says whether the node has taken all that has come of the request.
func (ex *exchange) flushed() bool {
	return ex.sent == len(ex.replay) && (ex.up == nil || ex.up.out.empty())
}

// pumpRequest moves what is there of the request on to the node.
func (c *client) pumpRequest() bool {
	ex := &c.ex
	u := ex.up
	if ex.stopped {
		return false
	}
	if !u.out.empty() || ex.sent < len(ex.replay) {
		if !u.conn.Writable() {
			return false
		}
		if err := c.sendReplay(); err != nil {
			if err != loop.ErrAgain {
				ex.stopped = true // it may have answered all the same: the read will tell
				u.conn.Assume(true, false)
				return true
			}
			return false
		}
	}
	if ex.bodyDone || !c.conn.Readable() {
		return false
	}
	return c.readBody()
}

// sendReplay writes what the node has not taken yet of the replay and of what came behind it.
func (c *client) sendReplay() error {
	ex := &c.ex
	u := ex.up
	if err := u.out.flush(&c.w.pool, &u.conn); err != nil { // the PROXY header, or body behind the replay
		return err
	}
	if ex.sent == len(ex.replay) {
		return nil
	}
	n, err := u.conn.Write(ex.replay[ex.sent:])
	ex.sent += n
	ex.wrote = ex.wrote || n > 0
	if ex.sent == len(ex.replay) && ex.sentAt == 0 {
		ex.sentAt = c.w.loop.Now()
	}
	return err
}

// readBody reads more of the request's body, and passes it on. It is called when nothing waits to be sent.
func (c *client) readBody() bool {
	ex := &c.ex
	w := c.w
	data := c.in
	if data == nil {
		n, err := c.conn.Read(w.loop.Scratch[:readFirst])
		if err != nil {
			if err != loop.ErrAgain {
				c.cut(ClientGone)
			}
			return false
		}
		ex.bytesIn += int64(n)
		data = w.loop.Scratch[:n]
	}
	c.timer.Set(c.bodyTime())
	n, err := ex.takeBody(data)
	if err != nil {
		c.refuse(err)
		return false
	}
	part := data[:n]
	if ex.whole && len(ex.replay)+n <= largeBuffer {
		ex.replay = append(w.pool.grow(ex.replay, n), part...)
		err = c.sendReplay()
	} else {
		ex.whole = false
		var m int
		m, err = ex.up.conn.Write(part)
		ex.up.out.add(&w.pool, part[m:])
	}
	c.keepInput(data, n)
	if err != nil && err != loop.ErrAgain {
		ex.stopped = true
		ex.up.conn.Assume(true, false)
	}
	if ex.bodyDone && !ex.started {
		c.timer.Set(int64(c.cfg.Timeouts.Response))
	}
	return true
}

// bodyTime is how long the next bytes of the body may take: no longer than a stall, and not so long that the body as a whole
// comes slower than it must. A client that sends a byte now and then would hold a place at a node for ever.
func (c *client) bodyTime() int64 {
	stall := int64(c.cfg.Timeouts.Stall)
	rate := int64(c.cfg.Limits.BodyRate)
	if rate < 0 {
		return stall
	}
	owed := c.ex.headAt + int64(c.cfg.Timeouts.Stall) + c.ex.bytesIn/rate*1e9 - c.w.loop.Now()
	return min(stall, max(owed, 1))
}

// endExchange lets go of the node and accounts for the exchange. With reuse, the node's connection waits for another.
func (c *client) endExchange(reuse bool) {
	ex := &c.ex
	c.letGo(reuse)
	c.account()
	if ex.replay != nil {
		c.w.pool.give(ex.replay)
	}
	etag := ex.resume.etag[:0] // its memory is used again
	*ex = exchange{resume: resume{etag: etag}}
}

// letGo parts from the node of this attempt.
func (c *client) letGo(reuse bool) {
	ex := &c.ex
	if ex.live == nil {
		return
	}
	ex.live.Leave()
	if u := ex.up; u != nil {
		ex.up = nil
		if c.phase == connecting || c.phase == waiting {
			u.t.owed--
		}
		if reuse {
			u.rest()
		} else {
			u.close()
		}
	}
	ex.live = nil
	c.v.admit(c.w)
	if c.v.s.waiting.Load() > 0 {
		c.v.wakeOthers(c.w)
	}
}
