package request

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"muster/cluster"
	"muster/internal/loop"
)

// listener is a listening socket. All loops wait for it; the kernel wakes one of them for each connection.
type listener struct {
	at      netip.AddrPort
	fd      int
	service atomic.Pointer[service]
	users   atomic.Int32 // workers that watch it; the last one to leave closes it
}

// door is a worker's place at a listener.
type door struct {
	w        *worker
	l        *listener
	watching bool
	again    loop.Timer
}

func (w *worker) listen(l *listener) {
	d := &door{w: w, l: l}
	d.again.Init(w.loop, d.open)
	w.doors[l] = d
	d.attend()
}

// attend has this loop watch the socket if the service wants so many loops.
func (d *door) attend() {
	most := d.l.service.Load().cfg.Load().Threads
	switch wanted := most == 0 || d.w.index < most; {
	case wanted && !d.watching:
		d.watching = true
		d.open()
	case !wanted && d.watching:
		d.close()
	}
}

func (d *door) close() {
	d.watching = false
	d.again.Stop()
	d.w.loop.Remove(d.l.fd)
}

func (d *door) open() {
	if err := d.w.loop.Add(d.l.fd, d, loop.In, false); err != nil {
		d.w.p.log.Error("a loop does not listen", "address", d.l.at, "error", err)
	}
}

func (w *worker) unlisten(l *listener) {
	if d := w.doors[l]; d != nil {
		if d.watching {
			d.close()
		}
		delete(w.doors, l)
	}
	if l.users.Add(-1) == 0 {
		loop.Discard(l.fd)
	}
}

// acceptPause is how long a loop takes nobody when it could not: the socket would be ready again at once.
const acceptPause = int64(100 * time.Millisecond)

// acceptTurn is how many connections a loop takes before it looks after those that it has.
const acceptTurn = 16

// Ready takes connections.
func (d *door) Ready(loop.Events) {
	for range acceptTurn {
		fd, from, err := loop.Accept(d.l.fd)
		if err == loop.ErrAgain {
			return
		}
		if err != nil {
			// Out of descriptors or memory, most likely: the connection stays in the kernel's queue.
			if d.w.mayWarn() {
				d.w.p.log.Warn("a connection was not accepted", "address", d.l.at, "error", err)
			}
			d.w.loop.Remove(d.l.fd)
			d.again.Set(acceptPause)
			return
		}
		s := d.l.service.Load()
		if w := d.w.lighter(s.cfg.Load().Threads); w != d.w {
			if w.loop.Post(func() { w.admit(s, fd, from) }) {
				continue
			}
		}
		d.w.admit(s, fd, from)
	}
}

// lighter returns the worker with the fewest clients, of the first most, if it has clearly fewer than this one.
func (w *worker) lighter(most int) *worker {
	least := w
	workers := w.p.workers
	if most > 0 && most < len(workers) {
		workers = workers[:most]
	}
	for _, o := range workers {
		if o.clients.Load() < least.clients.Load() {
			least = o
		}
	}
	if mine := w.clients.Load(); mine-least.clients.Load() > 1+mine/8 {
		return least
	}
	return w
}

// admit begins a client's connection, unless there are too many.
func (w *worker) admit(s *service, fd int, from netip.AddrPort) {
	cfg := s.cfg.Load()
	count := &s.count[w.index]
	count.Connections.Add(1)
	switch {
	case s.clients.Load() >= int64(cfg.Limits.Connections):
		count.refuse(TooManyConnections)
		turnAway(fd, cfg)
		return
	case !s.sources.enter(from.Addr(), cfg.Limits.PerSource):
		count.refuse(TooManyFromSource)
		turnAway(fd, cfg)
		return
	}
	c := w.newClient(s, from)
	if err := c.conn.Open(w.loop, fd, c); err != nil {
		w.p.log.Error("a connection cannot be watched", "client", from, "error", err)
		loop.Discard(fd)
		w.dropClient(c)
		return
	}
	c.begin(cfg)
}

var full = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n" +
	"Retry-After: 1\r\nConnection: close\r\n\r\nToo many connections.\n")

// turnAway tells a client at once that it may not come, rather than let it wait.
func turnAway(fd int, cfg *Service) {
	if cfg.Kind == cluster.HTTP {
		loop.TurnAway(fd, full)
		return
	}
	loop.Discard(fd)
}

// sources counts the connections of each client address, while a limit is set.
type sources struct {
	mu sync.Mutex
	n  map[netip.Addr]int
}

func (s *sources) enter(a netip.Addr, limit int) bool {
	if limit == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[a] >= limit {
		return false
	}
	if s.n == nil {
		s.n = map[netip.Addr]int{}
	}
	s.n[a]++
	return true
}

func (s *sources) leave(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[a]--; s.n[a] <= 0 {
		delete(s.n, a)
	}
}
