package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"muster/internal/loop"
)

type state uint8

const (
	free       state = iota // has nothing to do
	connecting              // its connection is being made
	waiting                 // for the answer
	resting                 // after a failure, before the next request
)

// pause is how long a client rests after a failure: one that is refused would else ask again at once.
const pause = 10 * time.Millisecond

// A client asks one request after another, on one connection at a time.
type client struct {
	g      *Generator
	target int
	from   netip.Addr

	state state
	conn  loop.Conn
	limit loop.Timer // no progress
	rest  loop.Timer // resting, or between two reads of a slow client

	req   *request
	at    int64 // when the request was due
	sent  int
	reply reply
	ok    bool // the body is right so far
	sum   *xxhash.Digest
	gap   gap
	node  string
	took  int64 // slow client: bytes read since the last pause
}

func newClient(g *Generator, i int) *client {
	c := &client{g: g, target: i % len(g.cfg.Targets), sum: xxhash.New()}
	if len(g.cfg.From) > 0 {
		c.from = g.cfg.From[i%len(g.cfg.From)]
	}
	c.limit.Init(g.loop, c.late)
	c.rest.Init(g.loop, c.rested)
	return c
}

// begin starts a request that was due at the given time.
func (c *client) begin(r *request, at, now int64) {
	c.req, c.at, c.sent, c.ok, c.took = r, at, 0, true, 0
	c.reply.reset(r.head)
	c.gap.due(at)
	if r.Sum != 0 {
		c.sum.Reset()
	}
	c.limit.Set(int64(c.g.cfg.Timeout) + now - c.g.loop.Now())
	if c.conn.IsOpen() {
		c.state = waiting
		c.write()
		return
	}
	c.connect()
}

func (c *client) connect() {
	c.state = connecting
	fd, err := loop.Dial(c.g.cfg.Targets[c.target], c.from)
	if err == nil && c.g.cfg.ReadRate > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) // else the kernel reads what the client does not
	}
	if err == nil {
		if err = c.conn.Open(c.g.loop, fd, c); err != nil {
			loop.Discard(fd)
		}
	}
	if err != nil {
		c.unreached(err)
	}
}

func (c *client) unreached(err error) {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		c.fail(Refused, "")
	case errors.Is(err, unix.ETIMEDOUT):
		c.fail(ConnectTimeout, "")
	default:
		c.fail(Unreachable, err.Error())
	}
}

// Ready is told of the connection's events.
func (c *client) Ready(ev loop.Events) {
	c.conn.Note(ev)
	switch c.state {
	case connecting:
		if ev&(loop.Out|loop.Hup) == 0 {
			return
		}
		if err := c.conn.Err(); err != nil {
			c.unreached(err)
			return
		}
		c.state = waiting
		c.g.lap.Connects++
		c.write()
	case waiting:
		if c.sent < len(c.req.wire[c.target]) && c.conn.Writable() {
			c.write()
		}
		if c.state == waiting && c.conn.Readable() {
			c.read()
		}
	default:
		// The server has closed an idle connection, as it may, or says something that nobody asked for.
		if c.conn.Readable() {
			c.close()
		}
	}
}

func (c *client) write() {
	wire := c.req.wire[c.target]
	n, err := c.conn.Write(wire[c.sent:])
	c.sent += n
	switch {
	case err == nil, errors.Is(err, loop.ErrAgain):
	case c.conn.Readable():
		c.read() // it is why the server takes no more
	default:
		c.lost(err)
	}
}

func (c *client) read() {
	for c.state == waiting && !c.rest.IsSet() {
		buf := c.g.loop.Scratch
		if c.g.cfg.ReadRate > 0 {
			if buf = c.ration(buf); len(buf) == 0 {
				return
			}
		}
		n, err := c.conn.Read(buf)
		switch {
		case errors.Is(err, loop.ErrAgain):
			return
		case errors.Is(err, io.EOF) && c.reply.eof():
			c.close()
			c.done()
		case err != nil:
			c.lost(err)
		default:
			c.took += int64(n)
			c.limit.Set(int64(c.g.cfg.Timeout))
			complete, err := c.reply.feed(buf[:n], c.body)
			if err != nil {
				c.fail(Malformed, err.Error())
			} else if complete {
				c.done()
			}
		}
	}
}

// ration cuts the buffer to what a slow client may read now; when that is nothing it sets the timer that reads on.
func (c *client) ration(b []byte) []byte {
	const beat = 50 * time.Millisecond
	quota := max(1, int64(c.g.cfg.ReadRate)*int64(beat)/int64(time.Second))
	if c.took >= quota {
		c.took = 0
		c.rest.Set(int64(beat))
		return nil
	}
	return b[:min(int64(len(b)), quota-c.took)]
}

// body takes bytes of the answer's body.
func (c *client) body(b []byte) {
	c.g.lap.Bytes += int64(len(b))
	c.g.slot(c.g.loop.Now()).Bytes += int64(len(b))
	if c.req.Sum != 0 {
		_, _ = c.sum.Write(b) // never fails
	}
	if want := c.req.Body; c.ok && want != nil {
		from := c.reply.body - int64(len(b))
		c.ok = c.reply.body <= int64(len(want)) && bytes.Equal(b, want[from:c.reply.body])
	}
}

// done judges a complete answer.
func (c *client) done() {
	r, req := &c.reply, c.req
	switch {
	case r.status != req.Status:
		c.fail(BadStatus, fmt.Sprintf("%d", r.status))
	case !req.head && (req.Length > 0 || req.Body != nil) && r.body != req.Length:
		c.fail(WrongLength, fmt.Sprintf("%d bytes, not %d", r.body, req.Length))
	case !c.ok, req.Sum != 0 && !req.head && c.sum.Sum64() != req.Sum:
		c.fail(WrongBody, "")
	default:
		c.succeed()
	}
}

func (c *client) succeed() {
	g, now := c.g, loop.Monotonic()
	took := now - c.at
	s := g.count(now)
	s.Slowest = max(s.Slowest, time.Duration(took))
	_ = g.lap.Latency.RecordValue(min(max(took, 1), latencyMax)) // which is within its bounds
	if c.node != string(c.reply.node) {
		c.node = string(c.reply.node)
	}
	g.lap.Nodes[c.node]++
	g.active--
	g.lap.Gap = max(g.lap.Gap, g.gap.end(now, g.active > 0))
	g.lap.ClientGap = max(g.lap.ClientGap, c.gap.end(now, false))
	c.ended(now, false)
}

// lost fails the request because its connection is gone.
func (c *client) lost(err error) {
	switch {
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		c.fail(Reset, "")
	case errors.Is(err, io.EOF) && !c.reply.begun:
		c.fail(Closed, fmt.Sprintf("after %d bytes of the request", c.sent))
	case errors.Is(err, io.EOF):
		c.fail(Truncated, fmt.Sprintf("after %d bytes of the body", c.reply.body))
	default:
		c.fail(Reset, err.Error())
	}
}

// late is called when the request has made no progress for too long.
func (c *client) late() {
	switch {
	case c.state == connecting:
		c.fail(ConnectTimeout, "")
	case c.state == waiting && c.reply.begun:
		c.fail(Timeout, fmt.Sprintf("after %d bytes of the body", c.reply.body))
	case c.state == waiting:
		c.fail(Timeout, "no answer")
	}
}

func (c *client) fail(k Kind, text string) {
	g, now := c.g, loop.Monotonic()
	g.countFailed(k, now)
	if len(g.lap.Failures) < failuresMax {
		g.lap.Failures = append(g.lap.Failures, Failure{
			At: time.Duration(now - g.start), Kind: k,
			Target: g.cfg.Targets[c.target].String(), Path: c.req.Path, Text: text,
		})
	}
	g.active--
	if g.cfg.Rate > 0 {
		g.lap.ClientGap = max(g.lap.ClientGap, c.gap.end(now, false))
	}
	if k != BadStatus && k != WrongBody && k != WrongLength { // after those the connection is in order
		c.close()
	}
	c.ended(now, true)
}

// ended readies the client for its next request.
func (c *client) ended(now int64, failed bool) {
	c.state = free
	c.limit.Stop()
	c.rest.Stop()
	if c.g.cfg.Close || !c.reply.keep || c.sent < len(c.req.wire[c.target]) {
		c.close()
	}
	if failed && !c.g.stopping {
		c.state = resting
		c.rest.Set(int64(pause))
		return
	}
	c.g.next(c, now)
}

// rested is called after the pause that follows a failure, and after that between two reads of a slow client.
func (c *client) rested() {
	switch c.state {
	case resting:
		c.state = free
		c.g.next(c, loop.Monotonic())
	case waiting:
		c.read()
	}
}

func (c *client) close() { c.conn.Close() }

// stop drops whatever the client does.
func (c *client) stop() {
	c.limit.Stop()
	c.rest.Stop()
	c.close()
	c.state = free
}
