package serve

import (
	"io"
	"net/netip"
	"time"

	"muster/datapath/http1"
	"muster/internal/loop"
)

const (
	readSize  = 16 << 10 // most bytes of requests that are read ahead
	turnReads = 4        // reads in a turn
	bodyLimit = 64 << 10 // a body that nobody wants is read up to here, and no further
	lingers   = 2 * time.Second
)

// A phase is what a connection waits for, and so which time-out it is under.
type phase uint8

const (
	phaseHead   phase = iota // the rest of a head
	phaseIdle                // the next request
	phaseBody                // the rest of a body that is thrown away
	phaseWrite               // room for a response
	phaseLinger              // the client's end, after ours
)

// A conn is one client's connection.
type conn struct {
	loop.Conn
	w     *worker
	from  netip.AddrPort
	at    int // in w.conns
	timer loop.Timer
	phase phase

	in      []byte         // has come, and is not used yet
	held    bool           // in may hold a whole request: it was put by because the client did not take the answer before
	partial *http1.Request // of an incomplete head
	skip    int64          // bytes of a body that are to be thrown away; of a chunked one, at most
	chunks  *http1.Chunked // of such a body, when it is chunked
	last    bool           // the response under way is the last one
	linger  bool           // and the client may still be sending
	queued  bool           // in w.again

	out output
}

func (c *conn) begin(fd int, from netip.AddrPort) error {
	if err := c.Open(c.w.loop, fd, c); err != nil {
		return err
	}
	w := c.w
	c.from, c.at = from, len(w.conns)
	c.last, c.linger, c.held = false, false, false
	w.conns = append(w.conns, c)
	w.n.accepted++
	w.n.open++
	c.wait(phaseHead)
	return nil
}

func (c *conn) close() {
	if c.IsOpen() {
		c.Close()
		c.ended()
	}
}

// cut closes the connection without what is still to be sent.
func (c *conn) cut() {
	if c.IsOpen() {
		c.Reset()
		c.ended()
	}
}

func (c *conn) ended() {
	w := c.w
	c.timer.Stop()
	c.out.forget()
	c.putIn(nil)
	c.partial, c.skip, c.chunks = nil, 0, nil
	last := len(w.conns) - 1
	w.conns[c.at] = w.conns[last]
	w.conns[c.at].at = c.at
	w.conns[last] = nil
	w.conns = w.conns[:last]
	w.n.open--
	w.free = append(w.free, c)
	w.left()
}

// wait starts the time-out of a phase. Those of a head, of a body and of lingering are for the whole of it.
func (c *conn) wait(p phase) {
	if p == c.phase && c.timer.IsSet() && p != phaseIdle && p != phaseWrite {
		return
	}
	c.phase = p
	d := c.w.site.Idle
	switch p {
	case phaseHead, phaseBody:
		d = c.w.site.Head
	case phaseWrite:
		d = c.w.site.Stall
	case phaseLinger:
		d = lingers
	case phaseIdle:
		if c.w.n.draining {
			d = drainGrace
		}
	}
	c.timer.Set(int64(d))
}

func (c *conn) expire() {
	w := c.w
	if c.phase == phaseHead && len(c.in) > 0 || c.phase == phaseBody || c.phase == phaseWrite {
		w.n.timedOut++
	}
	switch {
	case c.phase == phaseHead && len(c.in) > 0:
		w.follow()
		w.out = w.out[:0]
		c.refuse(408, "the request did not come in time")
		c.send()
	case c.phase == phaseWrite:
		c.cut() // or the kernel would go on for a client that takes nothing
	default:
		c.close()
	}
}

// Ready is told of the socket's events.
func (c *conn) Ready(ev loop.Events) {
	c.Note(ev)
	c.turn()
}

// turn does all that can be done now, within bounds.
func (c *conn) turn() {
	if !c.IsOpen() {
		return
	}
	c.w.out = c.w.out[:0]
	if c.out.pending() && c.send() != done {
		return
	}
	if c.phase == phaseLinger {
		c.drop()
		return
	}
	for c.held {
		c.held = false
		if !c.serve(c.in) {
			return
		}
	}
	for range turnReads {
		if !c.Readable() {
			c.rest()
			return
		}
		b, err := c.read()
		switch {
		case err == loop.ErrAgain:
			c.rest()
			return
		case err != nil: // an end, or an error: nothing more will come, and nothing is due
			c.close()
			return
		}
		if !c.serve(b) {
			return
		}
	}
	c.w.later(c)
}

// read reads behind what is left of the read before; if there is nothing left, into the loop's scratch.
func (c *conn) read() ([]byte, error) {
	if len(c.in) == 0 {
		n, err := c.Read(c.w.loop.Scratch[:readSize])
		return c.w.loop.Scratch[:n], err
	}
	if len(c.in) == cap(c.in) { // the limit for heads has been raised since
		c.in = append(make([]byte, 0, 2*cap(c.in)), c.in...)
	}
	n, err := c.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	return c.in, err
}

// rest waits for more of what has begun, or for the next request. The first request of a connection is due in the time
// for a head.
func (c *conn) rest() {
	switch {
	case len(c.in) > 0:
		c.wait(phaseHead)
	case c.skip > 0:
		c.wait(phaseBody)
	case c.phase != phaseHead:
		c.wait(phaseIdle)
	}
}

// serve answers the requests in b, until there is no whole one, or the client does not take the answers. What it does not
// use is put by. It returns false when the connection must wait, or has ended.
func (c *conn) serve(b []byte) bool {
	w := c.w
	for len(b) > 0 && !c.last {
		if c.skip > 0 {
			n, err := c.throwAway(b)
			if err != nil { // what follows is anybody's guess
				c.last, c.linger = true, true
				break
			}
			b = b[n:]
			continue
		}
		r := &w.req
		if c.partial != nil {
			r = c.partial
		}
		err := r.Parse(b, &w.site.Limits)
		if err == http1.ErrMore {
			if c.partial == nil {
				w.req.Reset()
				c.partial = new(http1.Request)
			}
			break
		}
		c.partial = nil
		w.follow()
		if bad, ok := err.(*http1.Error); ok {
			w.malformed(c, bad)
			c.refuse(bad.Status, bad.Reason)
			break
		}
		b = b[r.Size:]
		c.answer(r)
		if !c.out.large() {
			continue
		}
		if p := c.send(); p == blocked {
			c.held = len(b) > 0 && !c.last
			c.putIn(b)
			return false
		} else if p == ended {
			return false
		}
	}
	if c.last {
		b = nil
	}
	c.putIn(b)
	if c.last || c.out.pending() {
		return c.send() == done
	}
	return true
}

// putIn keeps what was not used, in a buffer of the connection's own.
func (c *conn) putIn(b []byte) {
	switch {
	case len(b) == 0:
		if c.in != nil {
			if len(c.w.buffers) < 64 {
				c.w.buffers = append(c.w.buffers, c.in)
			}
			c.in = nil
		}
	case c.in == nil:
		c.in = append(c.w.buffer(), b...)
	default: // b is the end of in
		c.in = c.in[:copy(c.in[:cap(c.in)], b)]
	}
}

// throwAway uses up bytes of a body that nobody wants.
func (c *conn) throwAway(b []byte) (int, error) {
	if c.chunks == nil {
		n := int(min(c.skip, int64(len(b))))
		c.skip -= int64(n)
		return n, nil
	}
	n, end, err := c.chunks.Scan(b)
	if c.skip -= int64(n); end {
		c.chunks, c.skip = nil, 0
	} else if c.skip <= 0 && err == nil {
		err = io.ErrShortBuffer
	}
	return n, err
}

// drop reads what a client still sends after our last response, so that it gets to read that: bytes that were never read
// would make the kernel send a RST.
func (c *conn) drop() {
	for range turnReads {
		if _, err := c.Read(c.w.loop.Scratch); err == loop.ErrAgain {
			return
		} else if err != nil {
			c.close()
			return
		}
	}
	c.w.later(c)
}
