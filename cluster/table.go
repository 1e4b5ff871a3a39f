package cluster

import (
	"net/netip"
	"sync/atomic"
)

// A Member is what the cluster's picture says of one node of one pool: all that a schedule decides from.
type Member struct {
	Node   string
	Addr   netip.AddrPort // where its application listens
	State  State
	Gone   bool    // see Share
	Weight int     // as configured, 0..1000; 100 is the norm
	Ramp   float64 // slow start: the part of its share that it gets yet, above 0 to 1
	Index  Index   // HAS index of its newest report
	Room   Index   // index `load` of its newest report
	Live   *Live   // never nil
}

// A Table is the one thing in which the control path and the data path meet: a schedule makes it, the data path
// follows it. It is immutable, and swapped whole.
type Table struct {
	Pool     string
	Schedule string   // the name of the schedule that made it
	Shares   []Share  // every node of the pool, whatever its state, in the order of the file
	Slots    []uint16 // indexes into Shares; what a slot means is the schedule's affair

	// Choose picks the share that a new request goes to, or -1 when none may take it. It does not allocate, and may be
	// called from any goroutine.
	Choose func(*Table, *Ask) int
}

// A Share is one node's place in a Table.
type Share struct {
	Node   string
	Addr   netip.AddrPort
	State  State
	Gone   bool   // the node itself is silent, has left or is in maintenance: what it had is lost. An application that is merely down keeps its connections (HAS 3.19.1: quiescent)
	Weight uint32 // 0: it keeps its connections and gets no new ones
	Live   *Live  // never nil
}

// An Ask is one question to a Table. The data path fills it; a zero Ask is a valid one.
type Ask struct {
	Key    uint64 // hash of the client's address
	Port   uint16 // the client's port
	Turn   uint64 // one more than at the asker's last question
	Random uint64 // random bits
	Now    int64  // monotonic nanoseconds, the clock of Live.Avoid
	Any    bool   // take a node that is being avoided too: there is no other

	tried [4]uint16
	n     uint8
}

// Tried notes that the share has been tried for this request and must not be chosen again. Past four nodes the oldest is
// forgotten.
func (a *Ask) Tried(i int) {
	a.tried[a.n%uint8(len(a.tried))] = uint16(i)
	a.n++
}

// Tries is how many shares have been tried.
func (a *Ask) Tries() int { return int(a.n) }

// Forget makes the tried shares eligible again: the table that they were indexes of has been replaced.
func (a *Ask) Forget() { a.n = 0 }

// May says whether the share may take the request: it has weight, room below its limit, and has not been tried.
func (a *Ask) May(t *Table, i int) bool {
	s := &t.Shares[i]
	if s.Weight == 0 || s.Live.Full() || !a.Any && s.Live.Avoided(a.Now) {
		return false
	}
	for _, tried := range a.tried[:min(a.n, uint8(len(a.tried)))] {
		if int(tried) == i {
			return false
		}
	}
	return true
}

// Pick asks the table, first for a node that is not being avoided, then for any. It returns -1 when no node may take
// the request.
func (t *Table) Pick(a *Ask) int {
	if len(t.Shares) == 0 {
		return -1
	}
	a.Any = false
	if i := t.Choose(t, a); i >= 0 {
		return i
	}
	a.Any = true
	return t.Choose(t, a)
}

// Live is what the data path counts of one node in one pool, as it happens. All loops of a director write it; it fills a
// cache line of its own.
type Live struct {
	Active atomic.Int64 // requests (http) or connections (tcp) under way
	Limit  atomic.Int64 // most of them at a time; 0 means no limit
	Time   atomic.Int64 // moving average of the time to the first byte of a response, in nanoseconds; 0 means unknown
	Avoid  atomic.Int64 // not to be chosen before this time (monotonic nanoseconds), if there is another
	Served atomic.Int64 // responses (http) or connections (tcp) that the node has brought to an end
	Failed atomic.Int64 // times that it did not: no connection, no response, half a response
	// Overdue says that the node's report has not come when it should have. It may be nothing; with an answer that is owed
	// it is enough to ask another node.
	Overdue atomic.Bool
	_       [12]byte
}

// Full says whether the node is at its limit.
func (l *Live) Full() bool {
	limit := l.Limit.Load()
	return limit > 0 && l.Active.Load() >= limit
}

// Enter counts one more request or connection, unless the node is at its limit: then it says false.
func (l *Live) Enter() bool {
	n := l.Active.Add(1)
	if limit := l.Limit.Load(); limit > 0 && n > limit {
		l.Active.Add(-1)
		return false
	}
	return true
}

// Leave takes back one Enter that said true.
func (l *Live) Leave() { l.Active.Add(-1) }

// Avoided says whether the data path has just found the node not to answer.
func (l *Live) Avoided(now int64) bool { return l.Avoid.Load() > now }

// Observe takes one response time into the average: an eighth of the way to each new figure, as TCP does for its round
// trip (RFC 6298 2).
func (l *Live) Observe(ns int64) {
	old := l.Time.Load()
	if old == 0 {
		l.Time.Store(ns)
		return
	}
	l.Time.Store(old + (ns-old)/8)
}
