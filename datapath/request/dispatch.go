package request

import (
	"net/netip"
	"time"

	"muster/cluster"
	"muster/internal/loop"
)

const (
	pauseTime  = int64(100 * time.Millisecond) // before nodes that have all failed are tried once more
	pausesMost = 2
	newTime    = int64(10 * time.Millisecond) // before a service's first table is looked for again
)

// dispatch gives the request to a node: a new one, or one that another node has failed.
func (c *client) dispatch() {
	ex, v, w := &c.ex, c.v, c.w
	t := v.table
	if ex.table != t {
		ex.ask.Forget() // its indexes are of another table
		ex.table = t
	}
	if t == nil {
		c.noTable()
		return
	}
	v.turn++
	ex.ask.Turn, ex.ask.Random, ex.ask.Now = v.turn, w.random.Uint64(), w.loop.Now()
	for {
		i := t.Pick(&ex.ask)
		if i < 0 {
			c.noNode()
			return
		}
		if t.Shares[i].Live.Enter() { // false: another loop has just taken the last place
			c.assign(i, t.Shares[i].Live, v.targets[i])
			return
		}
	}
}

// assign has a node answer whose Live has been entered.
func (c *client) assign(share int, live *cluster.Live, t *target) {
	ex := &c.ex
	ex.share, ex.live, ex.target = share, live, t
	ex.attempts++
	ex.sent, ex.wrote, ex.stopped = 0, false, false
	if !ex.started { // the times are those of the node that began the response
		ex.nodeAt, ex.sentAt = c.w.loop.Now(), 0
	}
	if c.cfg.Kind != cluster.TCP && !ex.fresh && !ex.upgrade && c.cfg.ProxySend == 0 {
		// A request that must not be done twice goes only where the kernel still sees a connection.
		if u := t.takeIdle(!ex.idempotent); u != nil {
			c.attach(u)
			return
		}
	}
	fd, err := loop.Dial(t.addr, netip.Addr{})
	if err != nil {
		c.dialFailed()
		return
	}
	u := &nodeConn{w: c.w, t: t, c: c}
	if err := u.conn.Open(c.w.loop, fd, u); err != nil {
		loop.Discard(fd)
		c.dialFailed()
		return
	}
	ex.up = u
	c.phase = connecting
	t.owe(c.w)
	c.timer.Set(int64(c.cfg.Timeouts.Connect))
}

// connected goes on once the node's connection is there.
func (c *client) connected() bool {
	ex := &c.ex
	if !ex.up.conn.Writable() {
		return false
	}
	if err := ex.up.conn.Err(); err != nil {
		c.dialFailed()
		return true
	}
	if c.cfg.ProxySend > 0 {
		ex.up.out.add(&c.w.pool, c.introduction())
	}
	if c.cfg.Kind == cluster.TCP {
		c.openTunnel()
		return true
	}
	c.attach(ex.up)
	return true
}

func (c *client) attach(u *nodeConn) {
	ex := &c.ex
	u.c = c
	u.uses++
	ex.up = u
	if c.phase != connecting { // then it owes the answer already
		u.t.owe(c.w)
	}
	c.phase = waiting
	if ex.bodyDone {
		c.timer.Set(int64(c.cfg.Timeouts.Response))
	} else {
		c.timer.Set(int64(c.cfg.Timeouts.Stall))
	}
	u.conn.Assume(false, true)
	c.pumpRequest()
}

// dialFailed passes the node over for a while: others need not find out for themselves.
func (c *client) dialFailed() {
	c.ex.live.Avoid.Store(c.w.loop.Now() + avoidTime)
	c.attemptFailed(ConnectFailed)
}

// noTable is when the service is so new that nothing has been said of its nodes: the client waits, as if they were busy.
func (c *client) noTable() {
	if c.w.loop.Now() > c.ex.headAt+int64(c.cfg.Timeouts.Queue) {
		c.answer(503, NoNode)
		return
	}
	c.phase = pausing
	c.timer.Set(newTime)
}

// noNode is when the table gives no node: all are full, or out, or have been tried.
func (c *client) noNode() {
	ex, v := &c.ex, c.v
	full, active := false, false
	for i := range v.table.Shares {
		if s := &v.table.Shares[i]; s.Weight > 0 {
			active = true
			full = full || s.Live.Full()
		}
	}
	switch {
	case full && c.v.s.waiting.Load() >= int64(c.cfg.Limits.Queue):
		c.answer(503, QueueFull)
	case full:
		c.phase = queued
		c.v.count.Queued.Add(1)
		c.v.s.waiting.Add(1)
		v.queue.push(c)
		c.timer.Set(int64(c.cfg.Timeouts.Queue))
	case active && ex.pauses < pausesMost:
		ex.pauses++
		ex.ask.Forget()
		c.phase = pausing
		c.timer.Set(pauseTime)
	case c.cfg.Fallback.Addr.IsValid() && !ex.lastResort():
		v.last.Enter()
		c.assign(-1, &v.last, c.w.target(c.cfg.Fallback.Addr))
	case active:
		c.answer(502, ConnectFailed)
	default:
		c.answer(503, NoNode)
	}
}

// lastResort says whether the fallback server has been asked already.
func (ex *exchange) lastResort() bool { return ex.attempts > 0 && ex.share < 0 }

// leaveQueue takes the client out of the queue.
func (c *client) leaveQueue() {
	c.v.queue.remove(c)
	c.v.s.waiting.Add(-1)
}

// admit lets requests out of the queue for as long as a node has room.
func (v *view) admit(w *worker) {
	for v.s.waiting.Load() > 0 && v.table != nil {
		ask := cluster.Ask{Turn: v.turn, Random: w.random.Uint64(), Now: w.loop.Now()}
		if v.table.Pick(&ask) < 0 {
			return
		}
		c := v.queue.pop()
		if c == nil {
			return
		}
		v.s.waiting.Add(-1)
		c.phase = reading
		c.dispatch()
		c.run()
	}
}

// wakeOthers tells the other loops that a node has room again.
func (v *view) wakeOthers(w *worker) {
	for _, o := range w.p.workers {
		if o != w {
			s := v.s
			o.loop.Post(func() {
				if ov := o.views[s]; ov != nil {
					ov.admit(o)
				}
			})
		}
	}
}
