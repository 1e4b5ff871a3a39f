package serve

import (
	"bytes"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"muster/datapath/http1"
	"muster/internal/loop"
)

const (
	acceptTurn  = 4                      // connections that one loop accepts before the others may
	acceptPause = 100 * time.Millisecond // after there were no descriptors left
	drainGrace  = 500 * time.Millisecond // a request that is on its way when the server stops is still answered
	sweepEvery  = 15 * time.Second
	lineEvery   = time.Second // how long a line of the access log may wait
	lineBuffer  = 32 << 10
)

// A worker is one loop with its connections. All of it belongs to the loop's thread.
type worker struct {
	server *Server
	log    *slog.Logger
	loop   *loop.Loop
	site   *site
	n      counters

	listeners []*listener
	conns     []*conn
	free      []*conn
	buffers   [][]byte // of readSize
	again     []*conn  // have more to do, and have used up their turn
	resume    func()
	paused    bool
	pause     loop.Timer
	idle      chan struct{} // closed when it is draining and has no connection

	req    http1.Request // of the head that is being answered
	out    []byte        // heads and short bodies, before they are written
	path   []byte
	spans  []span
	common []byte // the fields of every response: Date, Server
	wall   time.Time
	turn   int64                     // when wall and common were made
	told   struct{ second, n int64 } // lines about malformed requests
	sweep  loop.Timer
	lines  bytes.Buffer // of the access log
	flush  loop.Timer
}

type counters struct {
	open                      int
	accepted, requests        uint64
	responses                 [6]uint64
	malformed, timedOut, sent uint64
	hits, misses              uint64
	draining                  bool
}

func newWorker(s *Server, l *loop.Loop) *worker {
	w := &worker{server: s, log: s.log, loop: l, site: s.site.Load(), idle: make(chan struct{}), out: make([]byte, 0, 64<<10)}
	w.resume = w.resumeAll
	w.pause.Init(l, w.acceptAgain)
	w.sweep.Init(l, w.sweepCache)
	w.flush.Init(l, w.flushLines)
	w.paused = true // until it starts
	w.take(s.ports.open)
	return w
}

func (w *worker) start() {
	w.acceptAgain()
	w.sweep.Set(int64(sweepEvery))
}

// A listener accepts for one worker.
type listener struct {
	w    *worker
	port *port
}

// Ready accepts what waits, though not without end: level-triggered, it is told again.
func (l *listener) Ready(loop.Events) {
	for range acceptTurn {
		if !l.accept() {
			return
		}
	}
}

// accept takes one connection. It returns false when there is none, or none can be taken now.
func (l *listener) accept() bool {
	w := l.w
	if len(w.conns) >= max(1, w.site.Connections/len(w.server.workers)) {
		w.stopAccepting()
		return false
	}
	fd, from, err := loop.Accept(l.port.fd)
	switch err {
	case nil:
		c := w.conn()
		if err := c.begin(fd, from); err != nil {
			loop.Discard(fd)
			w.free = append(w.free, c)
		}
	case loop.ErrAgain:
		return false
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		w.log.Warn("no descriptor or memory for another connection", "error", err)
		w.stopAccepting()
		w.pause.Set(int64(acceptPause))
		return false
	}
	return true // others, such as ECONNABORTED, are the client's affair
}

func (w *worker) stopAccepting() {
	if !w.paused {
		w.paused = true
		for _, l := range w.listeners {
			w.loop.Remove(l.port.fd)
		}
	}
}

func (w *worker) acceptAgain() {
	if w.n.draining {
		return
	}
	w.paused = false
	for _, l := range w.listeners {
		w.watch(l)
	}
}

func (w *worker) conn() *conn {
	if n := len(w.free); n > 0 {
		c := w.free[n-1]
		w.free = w.free[:n-1]
		return c
	}
	c := &conn{w: w}
	c.timer.Init(w.loop, c.expire)
	return c
}

// follow takes the newest configuration, and brings the time, and what depends on it, up to date. It is called for each
// answer, and has nothing to do most of the time.
func (w *worker) follow() {
	now := w.loop.Now()
	s := w.server.site.Load()
	if s == w.site && now-w.turn < int64(100*time.Millisecond) && w.turn != 0 {
		return
	}
	if s != w.site {
		w.flushLines() // to the old site's log
	}
	w.site, w.turn, w.wall = s, now, time.Now()
	w.common = append(w.common[:0], "Date: "...)
	w.common = http1.AppendDate(w.common, w.wall)
	w.common = append(w.common, "\r\nServer: muster\r\n"...)
	if s.ShowName {
		w.common = append(w.common, "X-Muster-Node: "...)
		w.common = append(w.common, s.Name...)
		w.common = append(w.common, "\r\n"...)
	}
}

// malformed counts a request that is none, and says so in the log, though no more than a few times a second.
func (w *worker) malformed(c *conn, bad *http1.Error) {
	w.n.malformed++
	if s := w.wall.Unix(); s != w.told.second {
		w.told.second, w.told.n = s, 0
	}
	if w.told.n++; w.told.n <= 10 {
		w.log.Info("malformed request", "client", c.from, "reason", bad.Reason)
	}
}

// later gives the connection another turn, after the others have had theirs.
func (w *worker) later(c *conn) {
	if c.queued {
		return
	}
	c.queued = true
	if w.again = append(w.again, c); len(w.again) == 1 {
		w.loop.Post(w.resume)
	}
}

func (w *worker) resumeAll() {
	n := len(w.again)
	for i := range n {
		w.again[i].queued = false
		w.again[i].turn()
	}
	rest := copy(w.again, w.again[n:])
	clear(w.again[rest:])
	if w.again = w.again[:rest]; rest > 0 {
		w.loop.Post(w.resume)
	}
}

func (w *worker) buffer() []byte {
	size := max(readSize, w.site.Limits.Head)
	if n := len(w.buffers); n > 0 {
		b := w.buffers[n-1]
		w.buffers = w.buffers[:n-1]
		if cap(b) >= size {
			return b[:0]
		}
	}
	return make([]byte, 0, size)
}

func (w *worker) sweepCache() {
	w.sweep.Set(int64(sweepEvery))
	if w == w.server.workers[0] {
		w.server.site.Load().cache.sweep(w.loop.Now() - int64(sweepEvery))
	}
}

func (w *worker) flushLines() {
	if w.lines.Len() > 0 && w.site.AccessLog != nil {
		if _, err := w.site.AccessLog.Write(w.lines.Bytes()); err != nil {
			w.log.Warn("access log cannot be written", "error", err)
		}
	}
	w.lines.Reset()
}

// drain ends accepting, after what already waits, and the connections that have nothing under way. Those get a moment:
// the next request of a busy one may be on its way, and is answered with "Connection: close".
func (w *worker) drain() {
	for _, l := range w.listeners {
		for !w.paused && l.accept() {
			continue
		}
	}
	w.n.draining = true
	w.stopAccepting()
	for _, c := range w.conns {
		if c.phase == phaseIdle || c.phase == phaseHead && len(c.in) == 0 {
			c.timer.Set(int64(drainGrace))
		}
	}
	w.left()
}

// left is called when a connection has ended.
func (w *worker) left() {
	switch {
	case w.n.draining:
		if len(w.conns) == 0 {
			select {
			case <-w.idle:
			default:
				close(w.idle)
			}
		}
	case w.paused && !w.pause.IsSet():
		w.acceptAgain()
	}
}

// end closes everything; the loop stops after it.
func (w *worker) end() {
	w.n.draining = true
	w.stopAccepting()
	for len(w.conns) > 0 {
		w.conns[len(w.conns)-1].close()
	}
	w.flushLines()
}
