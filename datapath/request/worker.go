package request

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"muster/cluster"
	"muster/datapath/http1"
	"muster/internal/loop"
)

// A worker is one loop and everything on it: clients, the connections to nodes, the queues. Only its own thread touches
// it, but for clients and what other workers Post.
type worker struct {
	p       *Proxy
	index   int
	loop    *loop.Loop
	clients atomic.Int64
	all     list // every client
	doors   map[*listener]*door
	views   map[*service]*view
	targets map[netip.AddrPort]*target
	pool    pool
	random  *rand.PCG
	sweep   loop.Timer
	empty   func() // called once when draining and without clients

	req  http1.Request
	resp http1.Response
	head []byte // where heads for clients are put together

	logged http1.Request // read again for the log
	warned struct {
		since int64
		n     int
	}
}

// view is a worker's side of a service.
type view struct {
	s       *service
	cfg     *Service
	table   *cluster.Table
	targets []*target // beside table.Shares
	queue   queue
	turn    uint64
	tokens  int // thousandths of a retry that may be made
	count   *counters
	last    cluster.Live // counts the fallback server
	lines   lines
}

// target is a worker's side of an address that nodes' applications listen on.
type target struct {
	addr  netip.AddrPort
	idle  []*nodeConn // the last used at the end
	keep  bool        // whether connections may wait here for the next request
	heard int64       // when it last answered, or began to owe an answer; bytes of a body may have been on their way for long
	owed  int         // connections and answers that it has been asked for and has not begun to give
}

func newWorker(p *Proxy, index int, l *loop.Loop) *worker {
	w := &worker{
		p: p, index: index, loop: l,
		doors: map[*listener]*door{}, views: map[*service]*view{}, targets: map[netip.AddrPort]*target{},
		random: rand.NewPCG(rand.Uint64(), rand.Uint64()),
		head:   make([]byte, 0, 4096),
	}
	w.sweep.Init(l, w.tidy)
	return w
}

// view returns the worker's side of a service.
func (w *worker) view(s *service) *view {
	v := w.views[s]
	if v == nil {
		v = &view{s: s, count: &s.count[w.index], tokens: retryBurst}
		v.turn = uint64(w.index) << 32 // loops do not walk in step
		w.views[s] = v
		v.refresh(w)
	}
	return v
}

// refresh takes in what has changed of services and tables.
func (w *worker) refresh() {
	for _, s := range *w.p.services.Load() {
		w.view(s)
	}
	for s, v := range w.views {
		v.refresh(w)
		if s.gone.Load() && s.clients.Load() == 0 {
			delete(w.views, s)
		}
	}
	for _, d := range w.doors {
		d.attend()
	}
	for c := w.all.first; c != nil; c = c.next {
		c.notice()
	}
	for _, v := range w.views {
		v.admit(w)
	}
}

func (v *view) refresh(w *worker) {
	v.cfg = v.s.cfg.Load()
	t := v.s.table.Load()
	if t == nil || t == v.table {
		return
	}
	v.table = t
	v.targets = make([]*target, len(t.Shares))
	for i := range t.Shares {
		share := &t.Shares[i]
		tgt := w.target(share.Addr)
		// A node that gets no new work is not kept waiting for it: a drained one can then see that it is done.
		tgt.keep = share.Weight > 0
		if !tgt.keep {
			tgt.closeIdle()
		}
		v.targets[i] = tgt
	}
}

func (w *worker) target(at netip.AddrPort) *target {
	t := w.targets[at]
	if t == nil {
		t = &target{addr: at, keep: true}
		w.targets[at] = t
	}
	return t
}

const (
	sweepSoon  = int64(50 * time.Millisecond) // while answers are owed, or log lines wait
	sweepLater = int64(time.Second)           // while connections wait
	idleTime   = int64(30 * time.Second)      // less than the keep-alive time of every web server that nodes are likely to run
	idleMost   = 256                          // connections that wait, for each target and loop
	avoidTime  = int64(time.Second)           // that a node is passed over after it refused a connection
	quietLeast = int64(100 * time.Millisecond)
)

// stir has tidy called soon: there is something to look after. An idle director does not wake up.
func (w *worker) stir() {
	if due := w.sweep.Due(); due == 0 || due > w.loop.Now()+sweepSoon {
		w.sweep.Set(sweepSoon)
	}
}

// tidy closes connections that have waited too long, and passes over nodes that have gone quiet.
func (w *worker) tidy() {
	now := w.loop.Now()
	again := int64(0)
	for _, t := range w.targets {
		n := 0
		for n < len(t.idle) && now-t.idle[n].since > idleTime {
			t.idle[n].conn.Close()
			n++
		}
		t.idle = slices.Delete(t.idle, 0, n)
		switch {
		case t.owed > 0:
			again = sweepSoon
		case len(t.idle) > 0 && again == 0:
			again = sweepLater
		}
	}
	overdue := false
	for _, v := range w.views {
		overdue = v.watch(now) || overdue
		v.flushLog(w.p.logs)
	}
	if overdue {
		for c := w.all.first; c != nil; c = c.next {
			c.notice()
		}
	}
	if again > 0 {
		w.sweep.Set(again)
	}
}

// watch has new requests pass over nodes that owe something and have not given a sign of life for long: a frozen one still
// accepts connections, and one that is cut off refuses none; both would gather requests until their reports are missed. It
// says whether the report of such a node is overdue as well.
func (v *view) watch(now int64) (overdue bool) {
	for i, t := range v.targets {
		live := v.table.Shares[i].Live
		if patience := max(quietLeast, 8*live.Time.Load()); t.owed > 0 && now-t.heard > patience {
			live.Avoid.Store(now + quietLeast)
			overdue = overdue || live.Overdue.Load()
		}
	}
	return overdue
}

// owe notes that the node has been asked for something.
func (t *target) owe(w *worker) {
	if t.owed == 0 {
		t.heard = w.loop.Now()
	}
	t.owed++
	w.stir()
}

// closeIdle closes the connections that wait.
func (t *target) closeIdle() {
	for _, u := range t.idle {
		u.conn.Close()
	}
	t.idle = nil
}

// drain has clients go as they finish, and calls empty when the last one has.
func (w *worker) drain(empty func()) {
	w.empty = empty
	for c := w.all.first; c != nil; {
		next := c.next
		if c.phase == resting && c.requests > 0 {
			c.close()
		}
		c = next
	}
	w.checkEmpty()
}

func (w *worker) checkEmpty() {
	if w.empty != nil && w.all.first == nil {
		w.empty()
		w.empty = nil
	}
}

// cut ends everything.
func (w *worker) cut() {
	w.empty = nil
	for c := w.all.first; c != nil; c = w.all.first {
		c.cut(Shutdown)
	}
	for _, t := range w.targets {
		t.closeIdle()
	}
	w.flushLogs()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// list is every client of a worker.
type list struct{ first *client }

func (l *list) add(c *client) {
	c.next, c.prev = l.first, nil
	if l.first != nil {
		l.first.prev = c
	}
	l.first = c
}

func (l *list) remove(c *client) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
}

// queue is first in, first out; a client that has gone is left in its place as nil.
type queue struct {
	items []*client
	head  int
}

func (q *queue) push(c *client) {
	if q.head > 64 && q.head*2 > len(q.items) {
		q.items = slices.Delete(q.items, 0, q.head)
		q.head = 0
	}
	q.items = append(q.items, c)
}

func (q *queue) pop() *client {
	for q.head < len(q.items) {
		c := q.items[q.head]
		q.items[q.head] = nil
		q.head++
		if c != nil {
			return c
		}
	}
	q.items, q.head = q.items[:0], 0
	return nil
}

func (q *queue) remove(c *client) {
	for i := q.head; i < len(q.items); i++ {
		if q.items[i] == c {
			q.items[i] = nil
			return
		}
	}
}

// pool keeps buffers for the next to need one. The last given back is the first given out: it is still in the cache.
type pool [len(bufferSizes)][][]byte

// bufferSizes are for a usual head, the largest head, and as much of a body as is kept.
var bufferSizes = [...]int{2 << 10, 16 << 10, largeBuffer}

// buffersKept is how many of each size wait for use; the rest is garbage.
var buffersKept = [len(bufferSizes)]int{4096, 512, 64}

const largeBuffer = 64 << 10

// take returns an empty buffer with room for n bytes.
func (p *pool) take(n int) []byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if last := len(p[i]) - 1; last >= 0 {
			b := p[i][last]
			p[i] = p[i][:last]
			return b
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// give takes a buffer back.
func (p *pool) give(b []byte) {
	for i, size := range bufferSizes {
		if cap(b) == size && len(p[i]) < buffersKept[i] {
			p[i] = append(p[i], b[:0])
		}
	}
}

// grow returns b with room for n more bytes, in a buffer of the pool.
func (p *pool) grow(b []byte, n int) []byte {
	if b == nil {
		return p.take(n)
	}
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := append(p.take(len(b)+n), b...)
	p.give(b)
	return bigger
}

// pending is output that a socket has not taken yet.
type pending struct {
	buf []byte
	off int
}

func (o *pending) empty() bool { return o.off == len(o.buf) }

func (o *pending) add(p *pool, b []byte) {
	if len(b) > 0 {
		o.buf = append(p.grow(o.buf, len(b)), b...)
	}
}

// flush writes what the socket takes. It returns loop.ErrAgain when there is more, or the error of the socket.
func (o *pending) flush(p *pool, c *loop.Conn) error {
	if o.empty() {
		return nil
	}
	n, err := c.Write(o.buf[o.off:])
	o.off += n
	if o.empty() {
		o.drop(p)
	}
	return err
}

func (o *pending) drop(p *pool) {
	if o.buf != nil {
		p.give(o.buf)
	}
	*o = pending{}
}
