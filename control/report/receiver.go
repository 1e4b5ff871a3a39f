package report

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"muster/cluster"
	"muster/internal/wire"
)

// ReceiverConfig is how a director listens. Only Name must be set.
type ReceiverConfig struct {
	Name     string        // of the director
	Interval time.Duration // between beacons to a node; 0 means 200 ms
	Timeout  time.Duration // a node that is silent for as long is dropped; longer than Interval; 0 means 700 ms

	// All are called from Run's goroutine, in the order in which things happen, and must not wait. Nil ones are not called.
	Heard   func(cluster.Load)              // for each new report; the load is the callee's to keep
	Overdue func(node string, overdue bool) // a report has not come when it should have; or, with false, one has come since
	Silent  func(node, reason string)       // the node is no longer heard, or has said that it leaves
}

// The times of the file's defaults, the shortest time between two answers to a node that proves nothing, how long a silent
// node is still sent beacons, how often an interval the sockets are looked into, and after how many datagrams in one look
// the next comes sooner.
const (
	defaultInterval = 200 * time.Millisecond
	defaultTimeout  = 700 * time.Millisecond
	answerGap       = 20 * time.Millisecond
	linger          = time.Minute
	looks           = 8
	many            = 128
)

// A Receiver keeps the latest load of every node that still reports.
type Receiver struct {
	cfg   ReceiverConfig
	log   *slog.Logger
	conns []Conn

	mu     sync.Mutex
	party  *wire.Party
	nodes  map[string]*node
	list   []*node // of the nodes that report; most room first
	clock  clock
	due    time.Duration // when the next beacons go out
	epoch  uint64
	least  uint64
	counts wire.Counts
	late   uint64 // authentic, but older than what is known
	broken uint64 // authentic, but not to be decoded
	sent   uint64
	unsent uint64
	named  [len(wire.Counts{})]bool // refusals that were logged, by verdict
	out    []byte                   // for sealing
	plain  []byte
}

// A node is what a director knows of one that reports, or might.
type node struct {
	name     string
	peer     *wire.Peer
	message  message
	place    int // in the list; -1: not there
	lans     []lan
	overdue  bool
	locked   bool // it is not heard, and datagrams that name it cannot be opened
	reports  uint64
	sessions uint64
}

// A lan is how a node is heard on one of them.
type lan struct {
	addr    netip.AddrPort // where its last report came from
	heard   time.Duration  // when, by the receiver's clock
	newest  uint64         // its sequence
	silent  bool
	answers time.Duration // no answer to an unproven datagram before this
}

// NewReceiver returns a receiver that will listen on the sockets, one for each LAN. It knows no nodes yet.
func NewReceiver(cfg ReceiverConfig, key wire.Key, conns []Conn, log *slog.Logger) (*Receiver, error) {
	cfg.Interval = cmp.Or(cfg.Interval, defaultInterval)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Interval < time.Millisecond {
		return nil, fmt.Errorf("interval %v of reports: at least 1 ms", cfg.Interval)
	}
	if cfg.Timeout <= cfg.Interval {
		return nil, fmt.Errorf("timeout %v: must be longer than the interval of reports, %v", cfg.Timeout, cfg.Interval)
	}
	party, err := wire.NewParty(key, cfg.Name, wire.Beacon, wire.Report)
	if err != nil {
		return nil, err
	}
	if cfg.Heard == nil {
		cfg.Heard = func(cluster.Load) {}
	}
	if cfg.Overdue == nil {
		cfg.Overdue = func(string, bool) {}
	}
	if cfg.Silent == nil {
		cfg.Silent = func(string, string) {}
	}
	return &Receiver{
		cfg: cfg, log: log.With("part", "report"), conns: conns,
		party: party, nodes: map[string]*node{},
		out: make([]byte, 0, wire.MaxDatagram), plain: make([]byte, 0, 64),
	}, nil
}

// SetNodes makes these the only nodes that are listened to. Those that stay are not disturbed; one that is taken out
// leaves the list without a call of Silent.
func (r *Receiver) SetNodes(names []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.party.SetPeers(names); err != nil {
		return err
	}
	nodes := make(map[string]*node, len(names))
	for _, name := range names {
		n := r.nodes[name]
		if n == nil {
			n = &node{name: name, peer: r.party.Peer(name), place: -1, lans: make([]lan, len(r.conns))}
		}
		nodes[name] = n
	}
	for name, n := range r.nodes {
		if nodes[name] == nil {
			r.drop(n)
		}
	}
	r.nodes = nodes
	return nil
}

// SetEpoch tells the nodes, with the next beacon, which share tables this director follows.
func (r *Receiver) SetEpoch(e uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch = e
}

// SetTimings changes ReceiverConfig's interval and timeout, from now on; 0 leaves one as it is. Where the timeout would not
// be longer than the interval, it returns an error and nothing changes.
func (r *Receiver) SetTimings(interval, timeout time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	interval, timeout = max(cmp.Or(interval, r.cfg.Interval), time.Millisecond), cmp.Or(timeout, r.cfg.Timeout)
	if timeout <= interval {
		return fmt.Errorf("timeout %v: must be longer than the interval of reports, %v", timeout, interval)
	}
	r.cfg.Interval, r.cfg.Timeout = interval, timeout
	r.clock.step = interval / 2
	return nil
}

func (r *Receiver) beat() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg.Interval / looks
}

// Run listens until the context ends, and closes the sockets.
//
// It looks into the sockets eight times an interval and does not wait for each datagram: to be woken costs several times
// what a report does. A report so comes late by at most an eighth of the interval.
func (r *Receiver) Run(ctx context.Context) error {
	defer closeAll(r.conns)
	timer := time.NewTimer(r.beat())
	defer timer.Stop()
	r.mu.Lock()
	r.clock = newClock(r.cfg.Interval / 2)
	r.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		// What has arrived comes first: silence is judged by what is known now.
		next := r.beat()
		if read(r.conns, r.take) > many {
			next /= looks
		}
		timer.Reset(next)
		for _, call := range r.judge() {
			call()
		}
		r.beacons()
	}
}

// take opens one datagram and does what follows from it.
func (r *Receiver) take(lan int, b []byte, from netip.AddrPort) {
	r.mu.Lock()
	call := r.open(lan, b, from)
	r.mu.Unlock()
	if call != nil {
		call()
	}
}

// open returns what is to be called, without the lock, because of a datagram.
func (r *Receiver) open(lan int, b []byte, from netip.AddrPort) (call func()) {
	r.clock.tick()
	o := r.party.Open(b)
	r.counts[o.Verdict]++
	if o.Verdict > wire.Unproven {
		r.refuse(o, from)
		return nil
	}
	n := r.nodes[o.Peer.Name()]
	l := &n.lans[lan]
	if o.Verdict == wire.Unproven {
		if r.clock.now >= l.answers {
			l.answers = r.clock.now + answerGap
			r.send(n, lan, from)
		}
		return nil
	}
	if o.First {
		n.sessions++
		for i := range n.lans {
			n.lans[i].newest = 0
		}
	}
	m, err := decodeMessage(o.Payload, &n.message)
	if err != nil {
		r.broken++
		if r.broken == 1 {
			r.log.Warn("cannot read a report; further ones are only counted", "node", n.name, "error", err)
		}
		return nil
	}
	if o.Sequence > l.newest {
		l.newest, l.addr, l.heard = o.Sequence, from, r.clock.now
		if l.silent {
			l.silent = false
			r.log.Info("node is heard again on a LAN", "node", n.name, "lan", lan)
		}
	}
	if !o.Newest {
		r.late++ // the copy of the same report for another LAN, mostly
		return nil
	}
	n.reports++
	m.load.Node = n.name
	n.message = m
	if m.ram > 0 && (r.least == 0 || m.ram < r.least) {
		r.least = m.ram
	}
	if m.leaving {
		if !r.drop(n) {
			return nil
		}
		r.log.Info("node leaves", "node", n.name)
		return func() { r.cfg.Silent(n.name, "it is stopping") }
	}
	if n.place < 0 {
		n.place, n.locked = len(r.list), false
		r.list = append(r.list, n)
		r.log.Info("node reports", "node", n.name, "from", from)
	}
	r.settle(n)
	return func() { r.cfg.Heard(m.load) }
}

// refuse logs what is new about datagrams that have no effect. Anybody can send them, so none of it may go on for ever: a
// node is named once until it is heard, which nobody else can bring about, and so is each kind.
func (r *Receiver) refuse(o wire.Opened, from netip.AddrPort) {
	if o.Claimed != nil {
		n := r.nodes[o.Claimed.Name()]
		if n.place < 0 && !n.locked {
			n.locked, r.named[o.Verdict] = true, true
			if o.Verdict == wire.WrongKey {
				r.log.Warn("a node's datagrams cannot be opened: its key differs", "node", n.name, "from", from)
			} else {
				r.log.Warn("a node's datagrams cannot be opened: its key differs, or they are for another director", "node", n.name, "from", from)
			}
		}
	}
	if !r.named[o.Verdict] {
		r.named[o.Verdict] = true
		r.log.Warn("refused a datagram; further ones of the kind are only counted", "why", o.Verdict, "from", from)
	}
}

// settle moves a node to where its index belongs (HAS 3.22.6: a sorted list, the least busy node at its head). Equals
// stand by name, so that all directors have the same list.
func (r *Receiver) settle(n *node) {
	before := func(a, b *node) bool {
		if a.message.load.Index != b.message.load.Index {
			return a.message.load.Index > b.message.load.Index
		}
		return a.name < b.name
	}
	swap := func(i, j int) {
		r.list[i], r.list[j] = r.list[j], r.list[i]
		r.list[i].place, r.list[j].place = i, j
	}
	for n.place > 0 && before(n, r.list[n.place-1]) {
		swap(n.place, n.place-1)
	}
	for n.place < len(r.list)-1 && before(r.list[n.place+1], n) {
		swap(n.place, n.place+1)
	}
}

// drop takes a node off the list and says whether it was there.
func (r *Receiver) drop(n *node) bool {
	if n.place < 0 {
		return false
	}
	r.list = slices.Delete(r.list, n.place, n.place+1)
	for i := n.place; i < len(r.list); i++ {
		r.list[i].place = i
	}
	n.place = -1
	return true
}

// overdueAfter is when a report is overdue, in quarters of the interval: later than one that was sent on time can be read.
const overdueAfter = 7

// judge drops the nodes that are silent on all LANs, and returns what is to be called, without the lock, for them and for
// those whose reports are overdue.
func (r *Receiver) judge() (calls []func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock.tick()
	// From the tail, because a dropped node moves those behind it.
	for _, n := range slices.Backward(r.list) {
		newest := slices.MaxFunc(n.lans, func(a, b lan) int { return cmp.Compare(a.heard, b.heard) }).heard
		if overdue := r.clock.now-newest >= overdueAfter*r.cfg.Interval/4; overdue != n.overdue {
			n.overdue = overdue
			calls = append(calls, func() { r.cfg.Overdue(n.name, overdue) })
		}
		silent := func(l lan) bool { return !l.addr.IsValid() || r.clock.now-l.heard >= r.cfg.Timeout }
		if !slices.ContainsFunc(n.lans, func(l lan) bool { return !silent(l) }) {
			r.drop(n)
			r.log.Info("node is silent", "node", n.name, "timeout", r.cfg.Timeout)
			reason := fmt.Sprintf("silent for %v", r.cfg.Timeout)
			calls = append(calls, func() { r.cfg.Silent(n.name, reason) })
			continue
		}
		for i := range n.lans {
			if l := &n.lans[i]; !l.silent && l.addr.IsValid() && silent(*l) {
				l.silent = true
				r.log.Info("node is silent on a LAN", "node", n.name, "lan", i)
			}
		}
	}
	return calls
}

// beacons answers every node where it was last heard, once an interval.
func (r *Receiver) beacons() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clock.now < r.due {
		return
	}
	r.due = r.clock.now + r.cfg.Interval
	// The node with the least RAM counts while it is silent too: the indexes of all nodes must not jump when it goes.
	r.least = 0
	for _, n := range r.nodes {
		if n.message.ram > 0 && (r.least == 0 || n.message.ram < r.least) {
			r.least = n.message.ram
		}
	}
	for _, n := range r.nodes {
		if n.message.leaving {
			continue
		}
		for i := range n.lans {
			if l := &n.lans[i]; l.addr.IsValid() && r.clock.now-l.heard < linger {
				r.send(n, i, l.addr)
			}
		}
	}
}

func (r *Receiver) send(n *node, lan int, to netip.AddrPort) {
	r.plain = beacon{epoch: r.epoch, least: r.least}.append(r.plain[:0])
	var err error
	r.out, err = n.peer.Seal(r.out[:0], r.plain)
	if err == nil {
		err = r.conns[lan].Write(r.out, to)
	}
	if err != nil {
		r.unsent++ // the node will be found silent, or not hear us
		return
	}
	r.sent++
}
