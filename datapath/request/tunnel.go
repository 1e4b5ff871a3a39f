package request

import (
	"io"

	"muster/cluster"
	"muster/datapath/http1"
	"muster/internal/loop"
)

// startTunnel connects a client of a tcp service with a node.
func (c *client) startTunnel() {
	now := loop.Monotonic()
	c.ex = exchange{share: -1, began: now, headAt: now, whole: true, bodyDone: true, ask: cluster.Ask{Key: c.key, Port: c.from.Port()}}
	if c.v.tokens < retryBurst {
		c.v.tokens += int(c.cfg.Retry.Budget * 1000)
	}
	c.phase = reading
	c.dispatch()
}

// openTunnel begins to pass bytes once the node is connected.
func (c *client) openTunnel() {
	u := c.ex.up
	u.c = c
	u.uses++
	u.t.owed--
	u.t.heard = c.w.loop.Now()
	c.phase = tunnelling
	c.timer.Set(int64(c.cfg.Timeouts.Tunnel))
	c.forwardInput()
	c.conn.Assume(true, true)
	u.conn.Assume(true, true)
}

// forwardInput hands the node what the client has sent already.
func (c *client) forwardInput() {
	if c.in != nil {
		c.ex.up.out.add(&c.w.pool, c.in)
		c.w.pool.give(c.in)
		c.in = nil
	}
}

// switchProtocols passes on the answer 101, and from then on bytes both ways.
func (c *client) switchProtocols(r *http1.Response, data []byte) {
	ex, u := &c.ex, c.ex.up
	if !ex.upgrade || ex.oldClient {
		c.attemptFailed(BadResponse)
		return
	}
	ex.status, ex.started = 101, true
	ex.firstAt = loop.Monotonic()
	ex.live.Served.Add(1)
	u.t.owed--
	if u.in != nil {
		data = append([]byte(nil), data...)
		c.w.pool.give(u.in)
		u.in = nil
	}
	c.phase = tunnelling
	c.timer.Set(int64(c.cfg.Timeouts.Tunnel))
	if !c.write(data) {
		return
	}
	c.forwardInput() // the client did not wait for the answer
	c.conn.Assume(true, true)
}

// pumpTunnel passes on what there is, both ways.
func (c *client) pumpTunnel() bool {
	ex, u := &c.ex, c.ex.up
	up, errUp := c.pass(&c.conn, &c.eof, &u.conn, &u.out)
	ex.bytesIn += int64(up)
	down, errDown := 0, error(nil)
	if errUp == nil {
		down, errDown = c.pass(&u.conn, &u.eof, &c.conn, &c.out)
		ex.bytesOut += int64(down)
	}
	switch {
	case errUp != nil || errDown != nil:
		if ex.bytesOut == 0 && !c.eof {
			ex.cause = Truncated
		}
		c.endTunnel(ex.cause)
		return false
	case c.eof && u.eof && c.out.empty() && u.out.empty():
		c.endTunnel(OK)
		return false
	}
	if up+down > 0 {
		c.timer.Set(int64(c.cfg.Timeouts.Tunnel))
	}
	return up+down > 0
}

// pass moves bytes one way: what waits, then what has come. The end of one side is passed on when all before it has been.
func (c *client) pass(from *loop.Conn, ended *bool, to *loop.Conn, out *pending) (int, error) {
	if !out.empty() {
		if !to.Writable() {
			return 0, nil
		}
		if err := out.flush(&c.w.pool, to); err != nil {
			if err == loop.ErrAgain {
				return 0, nil
			}
			return 0, err
		}
		if *ended {
			return 0, finish(to)
		}
	}
	if *ended {
		return 0, nil
	}
	scratch := c.w.loop.Scratch
	n, err := from.Read(scratch)
	switch {
	case err == loop.ErrAgain:
		return 0, nil
	case err == io.EOF:
		*ended = true
		return 0, finish(to)
	case err != nil:
		return 0, err
	}
	m, err := to.Write(scratch[:n])
	if err != nil && err != loop.ErrAgain {
		return n, err
	}
	out.add(&c.w.pool, scratch[m:n])
	return n, nil
}

// finish passes an end on. That the other side has gone already will be met when it is read.
func finish(to *loop.Conn) error {
	_ = to.CloseWrite()
	return nil
}

// endTunnel closes both sides. A tunnel that was broken is reset: neither side must take what it has for all.
func (c *client) endTunnel(why Cause) {
	c.ex.cause = why
	broken := why != OK || !c.eof
	if c.cfg.Kind == cluster.TCP && !broken {
		c.ex.live.Served.Add(1)
	}
	c.endExchange(false)
	if broken {
		c.conn.Reset()
	}
	c.close()
}
