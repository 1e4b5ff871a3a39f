package report

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"muster/cluster"
	"muster/internal/wire"
)

// A network is what the tests' sockets are on. Datagrams arrive at once, in order, unless pass says otherwise.
type network struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*memConn
	pass  func(from, to netip.AddrPort) bool
	tape  []datagram
}

type datagram struct {
	from, to netip.AddrPort
	b        []byte
}

func newNetwork() *network { return &network{conns: map[netip.AddrPort]*memConn{}} }

// cut makes the network carry only what pass allows; nil carries all.
func (w *network) cut(pass func(from, to netip.AddrPort) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass = pass
}

// taped returns everything that was sent so far.
func (w *network) taped() []datagram {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]datagram(nil), w.tape...)
}

// put delivers a datagram whoever made it.
func (w *network) put(d datagram) {
	w.mu.Lock()
	c := w.conns[d.to]
	w.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.in <- d:
	default: // as a full socket does
	}
}

type memConn struct {
	net  *network
	addr netip.AddrPort
	in   chan datagram
}

func (w *network) listen(addrs ...string) []Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	var conns []Conn
	for _, a := range addrs {
		c := &memConn{net: w, addr: netip.MustParseAddrPort(a), in: make(chan datagram, 1024)}
		w.conns[c.addr] = c
		conns = append(conns, c)
	}
	return conns
}

func (c *memConn) Read(take func(b []byte, from netip.AddrPort)) (n int) {
	for ; n < readBound; n++ {
		select {
		case d := <-c.in:
			take(d.b, d.from)
		default:
			return n
		}
	}
	return n
}

func (c *memConn) Write(b []byte, to netip.AddrPort) error {
	d := datagram{c.addr, to, bytes.Clone(b)}
	c.net.mu.Lock()
	c.net.tape = append(c.net.tape, d)
	pass := c.net.pass == nil || c.net.pass(c.addr, to)
	c.net.mu.Unlock()
	if pass {
		c.net.put(d)
	}
	return nil
}

func (c *memConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.net.conns[c.addr] == c {
		delete(c.net.conns, c.addr)
	}
	return nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// A listener is a receiver under test and what it has called.
type listener struct {
	*Receiver
	heard  chan cluster.Load
	silent chan string
}

var testKey = wire.Key{1, 2, 3}

// start runs a part until the test ends or stop is called, which waits for it.
func start(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func receiver(t testing.TB, conns []Conn, nodes ...string) *listener {
	t.Helper()
	l := &listener{heard: make(chan cluster.Load, 4096), silent: make(chan string, 4096)}
	r, err := NewReceiver(ReceiverConfig{
		Name:   "d1",
		Heard:  func(load cluster.Load) { l.heard <- load },
		Silent: func(node, reason string) { l.silent <- node + ": " + reason },
	}, testKey, conns, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetNodes(nodes); err != nil {
		t.Fatal(err)
	}
	l.Receiver = r
	return l
}

func reporter(t testing.TB, key wire.Key, name string, index cluster.Index, conns []Conn, directors ...string) *Reporter {
	t.Helper()
	r, err := NewReporter(ReporterConfig{
		Name: name,
		Measure: func(uint64) (cluster.Load, uint64) {
			return cluster.Load{Index: index, Room: index / 2, Busy: 100}, 4 << 30
		},
	}, key, conns, quiet())
	if err != nil {
		t.Fatal(err)
	}
	var addrs []netip.AddrPort
	for _, a := range directors {
		addrs = append(addrs, netip.MustParseAddrPort(a))
	}
	if err := r.SetDirectors([]Director{{Name: "d1", Addrs: addrs}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// drain empties a channel and returns what it held.
func drain[T any](c chan T) (all []T) {
	for {
		select {
		case v := <-c:
			all = append(all, v)
		default:
			return all
		}
	}
}

// second is one that does not end together with an interval: what happens at the same moment has no order. seen is when a director has surely looked at what was sent; settled, when two parts have surely found each other: a
// look of the director, one of the node, and another.
const (
	interval = 200 * time.Millisecond
	timeout  = 700 * time.Millisecond
	second   = time.Second + 30*time.Millisecond
	seen     = interval / looks
	settled  = 2*seen + interval/beats
)
