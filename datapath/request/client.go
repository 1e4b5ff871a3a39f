package request

import (
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"muster/cluster"
	"muster/datapath/http1"
	"muster/internal/loop"
)

// phase is what a client's connection is at.
type phase uint8

const (
	resting     phase = iota // between requests
	introducing              // the PROXY header is due
	reading                  // part of a head has come
	queued                   // all nodes are at their limit
	pausing                  // all nodes have been tried; once more after a moment
	connecting               // a node's connection is being made
	waiting                  // the request is on its way to the node, the response has not begun
	streaming                // the response has begun
	tunnelling               // bytes both ways, of no meaning to us
	closing                  // what is written must go out, then it ends
	lingering                // the end is sent; what still comes is thrown away
	closed
)

// A client is one connection of a client of a service, and the request that it is at.
type client struct {
	conn   loop.Conn
	w      *worker
	v      *view
	cfg    *Service // of the request under way
	from   netip.AddrPort
	source netip.Addr // from, unless a proxy ahead has named another
	key    uint64     // hash of its address

	phase    phase
	timer    loop.Timer
	in       []byte         // came, and has not been looked at or is part of a head
	half     *http1.Request // in has been looked at and is not a whole head; this knows how far it goes
	out      pending        // towards the client
	eof      bool           // the client of a tunnel has sent its end
	keep     bool           // another request may follow the one under way
	requests int
	lingered int    // bytes thrown away
	tagged   []byte // header fields that say who the client is, the same for each request

	ex exchange

	running, again bool
	prev, next     *client
}

const (
	readFirst  = 64 << 10 // of one read of what may be a head
	lingerMost = 256 << 10
	lingerTime = int64(2e9)
)

func (w *worker) newClient(s *service, from netip.AddrPort) *client {
	c := &client{w: w, v: w.view(s), from: from, source: from.Addr()}
	c.timer.Init(w.loop, c.late)
	s.clients.Add(1)
	w.clients.Add(1)
	w.all.add(c)
	return c
}

// dropClient forgets a client; its connection is closed.
func (w *worker) dropClient(c *client) {
	c.timer.Stop()
	w.all.remove(c)
	w.clients.Add(-1)
	c.v.s.clients.Add(-1)
	if c.v.cfg.Limits.PerSource > 0 {
		c.v.s.sources.leave(c.source)
	}
	w.checkEmpty()
}

// begin is called once the connection is there.
func (c *client) begin(cfg *Service) {
	c.cfg = cfg
	c.introduce(c.from)
	c.conn.Assume(false, true)
	switch {
	case cfg.ProxyAccept && trusted(cfg.ProxyTrust, c.source):
		c.phase = introducing
		c.timer.Set(int64(cfg.Timeouts.Head))
	case cfg.Kind == cluster.TCP:
		c.startTunnel()
	default:
		c.timer.Set(int64(cfg.Timeouts.Head))
	}
	c.run()
}

// introduce says who the client is.
func (c *client) introduce(from netip.AddrPort) {
	c.from = from
	b := from.Addr().As16()
	c.key = xxhash.Sum64(b[:])
	c.tagged = appendTags(c.tagged[:0], c.cfg, from)
}

// Ready is told of the client's connection.
func (c *client) Ready(ev loop.Events) {
	c.conn.Note(ev)
	c.run()
}

// turnsMost is how much one client may have done before others get their turn: some megabytes of a body.
const turnsMost = 32

// run does what can be done until nothing more can. Events of the client, of its node and of its timer all end here. What
// is called on the way may call it again: then it goes round once more.
func (c *client) run() {
	if c.running {
		c.again = true
		return
	}
	c.running = true
	for n := 0; c.phase != closed && (c.turn() || c.again); n++ {
		c.again = false
		if n == turnsMost {
			c.w.loop.Post(c.run)
			break
		}
	}
	c.running = false
}

// turn does one thing, and says whether there may be more to do.
func (c *client) turn() bool {
	if c.conn.Gone() && c.phase != streaming && c.phase != tunnelling {
		c.cut(ClientGone)
		return false
	}
	if !c.out.empty() && c.conn.Writable() {
		before := c.out.off
		if err := c.out.flush(&c.w.pool, &c.conn); err != nil && err != loop.ErrAgain {
			c.cut(ClientGone)
			return false
		}
		switch {
		case c.phase != streaming:
		case c.out.empty(): // the node's turn
			c.timer.Set(c.stallTime())
		case c.out.off != before:
			c.timer.Set(int64(c.cfg.Timeouts.Stall))
		}
	}
	switch c.phase {
	case resting, reading:
		// One request at a time: the next is read when the last answer is on its way.
		return c.out.empty() && c.readHead()
	case introducing:
		return c.readIntroduction()
	case connecting:
		return c.connected()
	case waiting, streaming:
		sent := c.pumpRequest()
		if c.phase != waiting && c.phase != streaming {
			return true
		}
		return c.pumpResponse() || sent
	case tunnelling:
		return c.pumpTunnel()
	case closing:
		if c.out.empty() {
			c.linger()
			return true
		}
	case lingering:
		return c.readRest()
	}
	return false
}

// readHead reads the head of a request, and acts on it when it is whole.
func (c *client) readHead() bool {
	w := c.w
	data := c.in
	if data == nil || c.half != nil {
		n, err := c.conn.Read(w.loop.Scratch[:readFirst])
		if err != nil {
			return c.readFailed(err)
		}
		c.ex.bytesIn += int64(n)
		data = w.loop.Scratch[:n]
		if c.in != nil {
			c.in = append(w.pool.grow(c.in, n), data...)
			data = c.in
		}
	}
	if c.phase == resting {
		c.phase = reading
		c.ex.began = loop.Monotonic()
		c.cfg = c.v.cfg
	}
	r := c.half
	if r == nil {
		r = &w.req
		r.Reset()
	}
	switch err := r.Parse(data, &c.cfg.Limits.Head); {
	case err == nil:
		c.half = nil
		used := c.startExchange(r, data)
		c.keepInput(data, used)
		if c.phase == reading {
			c.dispatch()
		}
		return true
	case err == http1.ErrMore:
		if c.half == nil {
			c.half = &http1.Request{}
			c.timer.Set(int64(c.cfg.Timeouts.Head))
		}
		if c.in == nil {
			c.in = append(w.pool.take(len(data)), data...)
		}
		return c.conn.Readable()
	default:
		c.refuse(err)
		return true
	}
}

// keepInput keeps what has come behind the part of data that was used.
func (c *client) keepInput(data []byte, used int) {
	w := c.w
	switch {
	case used == len(data):
		if c.in != nil {
			w.pool.give(c.in)
			c.in = nil
		}
	case c.in != nil:
		c.in = c.in[:copy(c.in, data[used:])]
	default:
		c.in = append(w.pool.take(len(data)-used), data[used:]...)
	}
}

func (c *client) readFailed(err error) bool {
	switch {
	case err == loop.ErrAgain:
	case c.phase == reading:
		c.cut(ClientGone)
	default:
		c.close()
	}
	return false
}

// linger sends the end of what is said, and goes on reading for a while: a connection that is closed with bytes unread is
// reset, and the reset may overtake the answer (RFC 9112 9.6).
func (c *client) linger() {
	if c.conn.CloseWrite() != nil {
		c.close()
		return
	}
	c.phase = lingering
	c.timer.Set(lingerTime)
}

func (c *client) readRest() bool {
	n, err := c.conn.Read(c.w.loop.Scratch)
	c.lingered += n
	if err == loop.ErrAgain {
		return false
	}
	if err != nil || c.lingered > lingerMost {
		c.close()
		return false
	}
	return true
}

// late is the timer: what was waited for has not come.
func (c *client) late() {
	switch c.phase {
	case resting, introducing, lingering:
		if c.phase == introducing {
			c.v.count.refuse(HeadTimeout)
		}
		c.close()
	case reading:
		c.answer(408, HeadTimeout)
	case queued:
		c.leaveQueue()
		c.answer(503, QueueTimeout)
	case pausing:
		c.dispatch()
	case connecting:
		c.ex.live.Avoid.Store(c.w.loop.Now() + avoidTime)
		c.attemptFailed(ConnectFailed)
	case waiting:
		if !c.ex.bodyDone && c.ex.flushed() {
			c.answer(408, BodyTimeout)
		} else {
			c.attemptFailed(NodeTimeout)
		}
	case streaming:
		if !c.out.empty() {
			c.cut(BodyTimeout)
		} else {
			c.attemptFailed(NodeStalled)
		}
	case tunnelling:
		c.endTunnel(OK)
	case closing:
		c.cut(BodyTimeout)
	}
	c.run()
}

// notice looks at what a new table or file means for the client.
func (c *client) notice() {
	switch c.phase {
	case resting:
		if c.v.s.gone.Load() && c.in == nil {
			c.close()
		}
	case connecting, waiting, streaming:
		c.noticeOut()
	}
}

// close ends the connection in order.
func (c *client) close() {
	if c.phase == closed {
		return
	}
	c.phase = closed
	c.conn.Close()
	if c.in != nil {
		c.w.pool.give(c.in)
		c.in = nil
	}
	c.out.drop(&c.w.pool)
	c.w.dropClient(c)
}

// cut ends the connection, whatever it is at, with a RST: the client must not take half an answer for a whole one.
func (c *client) cut(why Cause) {
	switch c.phase {
	case closed:
		return
	case queued:
		c.leaveQueue()
	case tunnelling:
		c.endTunnel(why)
		return
	}
	switch {
	case c.phase > reading && c.phase <= streaming:
		c.ex.cause = why
		c.endExchange(false)
	case why != ClientGone || c.phase == reading:
		c.v.count.refuse(why)
	}
	if why != ClientGone || c.conn.Gone() {
		c.conn.Reset()
	}
	c.close()
}
