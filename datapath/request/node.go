package request

import "muster/internal/loop"

// A nodeConn is a connection to a node's application. It answers one client's request, or waits for the next.
type nodeConn struct {
	conn  loop.Conn
	w     *worker
	t     *target
	c     *client // nil while it waits
	out   pending // towards the node, besides the replay
	in    []byte  // part of a response's head
	uses  int
	since int64 // when it began to wait
	heard int64 // when a byte last came
	eof   bool
}

// Ready is told of the node's connection.
func (u *nodeConn) Ready(ev loop.Events) {
	u.conn.Note(ev)
	if u.c != nil {
		u.c.run()
		return
	}
	if ev&(loop.In|loop.Hup) != 0 { // nothing is due: it is the end, or nonsense
		u.t.forget(u)
		u.close()
	}
}

// takeIdle gives a connection that waits, or nil. With sure, it asks the kernel whether the connection still stands.
func (t *target) takeIdle(sure bool) *nodeConn {
	for len(t.idle) > 0 {
		last := len(t.idle) - 1
		u := t.idle[last]
		t.idle[last] = nil
		t.idle = t.idle[:last]
		if !sure || u.conn.Quiet() {
			return u
		}
		u.close()
	}
	return nil
}

func (t *target) forget(u *nodeConn) {
	for i, v := range t.idle {
		if v == u {
			t.idle = append(t.idle[:i], t.idle[i+1:]...)
			return
		}
	}
}

// rest has the connection wait for another request.
func (u *nodeConn) rest() {
	u.c = nil
	if !u.t.keep || len(u.t.idle) >= idleMost || u.w.p.draining.Load() || u.conn.Hup() {
		u.close()
		return
	}
	u.since = u.w.loop.Now()
	u.t.idle = append(u.t.idle, u)
}

func (u *nodeConn) close() {
	u.c = nil
	u.conn.Close()
	u.out.drop(&u.w.pool)
	if u.in != nil {
		u.w.pool.give(u.in)
		u.in = nil
	}
}
