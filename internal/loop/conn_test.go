package loop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run turns a loop until the test ends.
func run(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
	return l
}

// on does something on the loop's thread, and waits for it.
func on(t *testing.T, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { f(); close(done) }) {
		t.Fatal("the loop has ended")
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the loop does not do what it is told")
	}
}

// told is a sink that passes its events on.
type told struct {
	Conn
	events chan Events
}

func (s *told) Ready(ev Events) {
	s.Note(ev)
	s.events <- ev
}

// pair is a connection on the loop and the descriptor of its other end.
func pair(t *testing.T, l *Loop) (*told, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &told{events: make(chan Events, 100)}
	on(t, l, func() {
		if err := s.Open(l, fds[0], s); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { on(t, l, s.Close) })
	return s, fds[1]
}

func (s *told) next(t *testing.T) Events {
	t.Helper()
	select {
	case ev := <-s.events:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was told")
		return 0
	}
}

func TestConn(t *testing.T) {
	l := run(t)
	s, peer := pair(t, l)
	if ev := s.next(t); ev&Out == 0 {
		t.Errorf("a new connection is not writable: %x", ev)
	}
	on(t, l, func() {
		if _, err := s.Read(l.Scratch); err != ErrAgain {
			t.Errorf("reading nothing: got %v", err)
		}
		if n, err := s.Write2([]byte("hello "), []byte("world")); n != 11 || err != nil {
			t.Errorf("Write2: got %d, %v", n, err)
		}
		if !s.Quiet() {
			t.Error("a connection on which nothing came is not quiet")
		}
	})
	b := make([]byte, 100)
	if n, err := unix.Read(peer, b); string(b[:n]) != "hello world" || err != nil {
		t.Errorf("got %q, %v", b[:n], err)
	}
	_, _ = unix.Write(peer, []byte("abcdef"))
	for s.next(t)&In == 0 {
		continue
	}
	on(t, l, func() {
		if s.Quiet() {
			t.Error("a connection on which something came is quiet")
		}
		for _, want := range []string{"abcd", "ef"} {
			if n, err := s.Read(b[:4]); string(b[:n]) != want || err != nil {
				t.Errorf("got %q, %v, want %q", b[:n], err, want)
			}
		}
		if _, err := s.Read(b); err != ErrAgain || s.Readable() {
			t.Errorf("after a short read: %v, readable %v", err, s.Readable())
		}
	})
	_, _ = unix.Write(peer, []byte("last words"))
	_ = unix.Close(peer)
	for s.next(t)&Hup == 0 {
		continue
	}
	on(t, l, func() {
		if !s.Hup() || !s.Gone() {
			t.Errorf("hup %v, gone %v", s.Hup(), s.Gone())
		}
		if n, err := s.Read(b); string(b[:n]) != "last words" || err != nil {
			t.Errorf("got %q, %v", b[:n], err)
		}
		if _, err := s.Read(b); err != io.EOF {
			t.Errorf("at the end: got %v", err)
		}
		if _, err := s.Write([]byte("x")); err != syscall.EPIPE {
			t.Errorf("writing to nobody: got %v", err)
		}
		s.Close()
		s.Close()
		if s.IsOpen() {
			t.Error("open after Close")
		}
		if _, err := s.Read(b); err != ErrAgain {
			t.Errorf("reading what is closed: got %v", err)
		}
	})
}

// A full socket takes a part; the rest goes when the loop has told that there is room.
func TestConnFull(t *testing.T) {
	l := run(t)
	s, peer := pair(t, l)
	defer unix.Close(peer)
	s.next(t)
	file := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("0123456789abcdef"), 100000)
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rest := want
	var off int64
	for _, fromFile := range []bool{false, true} {
		var got []byte
		buf := make([]byte, 64<<10)
		for len(got) < len(want) {
			var err error
			on(t, l, func() {
				for err == nil {
					var n int
					if fromFile {
						n, err = s.SendFile(int(f.Fd()), off, 1<<30)
						off += int64(n)
					} else {
						n, err = s.Write(rest)
						rest = rest[n:]
					}
					if !fromFile && len(rest) == 0 {
						return
					}
				}
			})
			if err != nil && err != ErrAgain && !(err == io.EOF && off == int64(len(want))) {
				t.Fatal(err)
			}
			for {
				n, err := unix.Read(peer, buf)
				if err == unix.EAGAIN {
					break
				}
				got = append(got, buf[:n]...)
			}
			if err == ErrAgain {
				for s.next(t)&Out == 0 {
					continue
				}
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("from a file %v: what arrived is not what was sent", fromFile)
		}
	}
}

// An event that is on its way for a connection that has been closed must not reach the one that has its descriptor now.
func TestStaleEvent(t *testing.T) {
	l := run(t)
	a, peerA := pair(t, l)
	b, peerB := pair(t, l)
	a.next(t)
	b.next(t)
	var fresh *told
	old := 0
	on(t, l, func() {
		// Both become readable before the loop looks again; the one that is told first closes the other, and opens a
		// connection that gets its descriptor.
		kill := func(self, other *told) sinkFunc {
			return func(ev Events) {
				self.Note(ev)
				if ev&In == 0 || fresh != nil {
					if fresh != nil {
						old++
					}
					return
				}
				fd := other.FD()
				other.Close()
				fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if fds[0] != fd {
					_ = unix.Dup3(fds[0], fd, unix.O_CLOEXEC)
					_ = unix.Close(fds[0])
				}
				fresh = &told{events: make(chan Events, 100)}
				if err := fresh.Open(l, fd, fresh); err != nil {
					t.Error(err)
				}
				peerB = fds[1]
			}
		}
		l.sinks[a.FD()].sink, l.sinks[b.FD()].sink = kill(a, b), kill(b, a)
		_, _ = unix.Write(peerA, []byte("x"))
		_, _ = unix.Write(peerB, []byte("x"))
		_ = unix.Close(peerB)
	})
	on(t, l, func() {})
	on(t, l, func() {
		if fresh == nil {
			t.Fatal("nobody was told")
		}
		if ev := <-fresh.events; ev&(In|Hup) != 0 {
			t.Errorf("the new connection was told %x, which is the old one's", ev)
		}
		if old > 0 {
			t.Error("a closed connection was told")
		}
		fresh.Close()
	})
	_ = unix.Close(peerA)
	_ = unix.Close(peerB)
}

type sinkFunc func(Events)

func (f sinkFunc) Ready(ev Events) { f(ev) }

func TestRelease(t *testing.T) {
	l := run(t)
	s, peer := pair(t, l)
	s.next(t)
	var fd int
	on(t, l, func() { fd = s.Release() })
	_, _ = unix.Write(peer, []byte("x"))
	on(t, l, func() {})
	on(t, l, func() {
		if len(s.events) > 0 || s.IsOpen() {
			t.Error("a connection that was given up is told, or open")
		}
		Discard(fd)
	})
	_ = unix.Close(peer)
}

func TestListenDialAccept(t *testing.T) {
	l := run(t)
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := Listen(netip.MustParseAddrPort(at), 16)
		if err != nil {
			t.Fatal(err)
		}
		addr := LocalAddr(ln)
		if addr.Port() == 0 || addr.Addr() != netip.MustParseAddrPort(at).Addr() {
			t.Errorf("listens on %s", addr)
		}
		if _, err := Listen(addr, 16); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("twice on one port: got %v", err)
		}
		if _, _, err := Accept(ln); err != ErrAgain {
			t.Errorf("nobody waits: got %v", err)
		}
		from := netip.Addr{}
		if addr.Addr().Is4() {
			from = netip.MustParseAddr("127.0.0.9")
		}
		fd, err := Dial(addr, from)
		if err != nil {
			t.Fatal(err)
		}
		c := &told{events: make(chan Events, 100)}
		on(t, l, func() {
			if err := c.Open(l, fd, c); err != nil {
				t.Error(err)
			}
		})
		for c.next(t)&Out == 0 {
			continue
		}
		served, peer, err := Accept(ln)
		if err != nil {
			t.Fatal(err)
		}
		if from.IsValid() && peer.Addr() != from || peer != LocalAddr(fd) {
			t.Errorf("the connection is from %s, want %s %s", peer, from, LocalAddr(fd))
		}
		on(t, l, func() {
			if err := c.Err(); err != nil {
				t.Error(err)
			}
			c.Reset()
		})
		// The peer learns that it was cut.
		got := make([]byte, 1)
		fds := []unix.PollFd{{Fd: int32(served), Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, 10_000)
		if _, err := unix.Read(served, got); err != unix.ECONNRESET {
			t.Errorf("after a reset: got %v", err)
		}
		Discard(served)
		Discard(ln)

		// Nobody listens there any more.
		fd, err = Dial(addr, netip.Addr{})
		if err != nil {
			continue
		}
		r := &told{events: make(chan Events, 100)}
		on(t, l, func() {
			if err := r.Open(l, fd, r); err != nil {
				t.Error(err)
			}
		})
		for r.next(t)&Hup == 0 {
			continue
		}
		on(t, l, func() {
			if err := r.Err(); err != unix.ECONNREFUSED {
				t.Errorf("connecting to nobody: got %v", err)
			}
			r.Close()
		})
	}
}

func TestPost(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	var ran, promised atomic.Int64
	l.Post(func() { ran.Add(1) }) // before Run
	promised.Add(1)
	go func() { end <- l.Run(ctx) }()
	posters := make(chan struct{})
	for range 4 {
		go func() {
			for l.Post(func() { ran.Add(1) }) {
				promised.Add(1)
			}
			posters <- struct{}{}
		}()
	}
	for ran.Load() < 1000 {
		continue
	}
	cancel()
	if err := <-end; err != nil {
		t.Error(err)
	}
	for range 4 {
		<-posters
	}
	if ran.Load() != promised.Load() {
		t.Errorf("%d were promised, %d ran", promised.Load(), ran.Load())
	}
	if l.Post(func() { t.Error("ran after the end") }) {
		t.Error("a loop that has ended took a post")
	}
}

// A post from the loop's own thread runs in a later turn, after the events that are there.
func TestPostFromWithin(t *testing.T) {
	l := run(t)
	order := make(chan int, 2)
	on(t, l, func() {
		l.Post(func() { order <- 2 })
		order <- 1
	})
	if a, b := <-order, <-order; a != 1 || b != 2 {
		t.Errorf("got %d, %d", a, b)
	}
}

func TestTimerOnALoop(t *testing.T) {
	l := run(t)
	fired := make(chan int64, 1)
	var due int64
	var tm Timer
	on(t, l, func() {
		tm.Init(l, func() { fired <- l.Now() })
		tm.Set(30 * ms)
		due = tm.Due()
	})
	if at := <-fired; at < due {
		t.Errorf("fired %d ns early", due-at)
	}
}

func TestAdviceNamesTheSettingOfTheFamily(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.100:80":    "or set net.ipv4.ip_nonlocal_bind=1 where another director has it",
		"[2001:db8::1]:80": "or set net.ipv6.ip_nonlocal_bind=1 where another director has it",
	} {
		if got := advice(netip.MustParseAddrPort(addr), unix.EADDRNOTAVAIL); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q, want it to end with %q", addr, got, want)
		}
	}
}

// A director listens on an address that another machine has, to be ready when it takes it over.
func TestListenAhead(t *testing.T) {
	for _, text := range []string{"192.0.2.1:0", "[2001:db8::1]:0"} {
		at := netip.MustParseAddrPort(text)
		if fd, err := Listen(at, 1); err == nil {
			t.Errorf("%s: nobody has the address, and it can be listened on", at)
			Discard(fd)
		}
		fd, err := ListenAhead(at, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := LocalAddr(fd); got.Addr() != at.Addr() || got.Port() == 0 {
			t.Errorf("it listens on %s, want %s", got, at)
		}
		Discard(fd)
	}
}
