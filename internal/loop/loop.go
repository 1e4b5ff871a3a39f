package loop

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Events say what a file descriptor has become ready for.
type Events uint32

// In: there is something to read, or an end. Out: there is room to write. Hup: the connection is gone, or the peer will
// send no more.
const (
	In  Events = unix.EPOLLIN
	Out Events = unix.EPOLLOUT
	Hup Events = unix.EPOLLHUP | unix.EPOLLRDHUP | unix.EPOLLERR
)

// A Sink is told of a file descriptor's events, on the loop's thread.
type Sink interface{ Ready(Events) }

// scratchSize is the most that one read takes from a connection: a 64 kB reply with its head comes in one piece.
const scratchSize = 256 << 10

// A Loop is one thread's worth of connections. Only New, Post and Run may be called from elsewhere than its own
// callbacks.
type Loop struct {
	// Scratch is for whatever a callback reads; it is the callback's until it returns.
	Scratch []byte

	epfd, wakefd int
	sinks        []slot // by file descriptor
	now          int64
	wheel        wheel
	events       [256]unix.EpollEvent
	busy         bool // the last wait brought events

	mu     sync.Mutex
	posted []func()
	ended  bool
	woken  atomic.Bool
	spare  []func() // the slice that posted was, to be it again
}

type slot struct {
	sink Sink
	gen  uint32 // tells an event for the connection that had this descriptor before
}

var start = time.Now()

// Monotonic is the clock of the loops: nanoseconds since some moment before any loop began.
func Monotonic() int64 { return int64(time.Since(start)) + 1 }

// New returns a loop that has not begun.
func New() (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll set: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd) // nothing was in it
		return nil, fmt.Errorf("create an eventfd: %w", err)
	}
	l := &Loop{epfd: epfd, wakefd: wakefd, Scratch: make([]byte, scratchSize), now: Monotonic()}
	l.wheel.init(l.now)
	if err := l.Add(wakefd, wakeup{l}, In, false); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Now is the time at which this turn of the loop began, on the clock of Monotonic.
func (l *Loop) Now() int64 { return l.now }

// Add has the sink told of the descriptor's events. Edge-triggered, it is told once of each change: it must then read or
// write until there is no more. Otherwise it is told each turn for as long as the descriptor is ready, and of several
// loops that wait for the same descriptor one is told.
func (l *Loop) Add(fd int, s Sink, ev Events, edge bool) error {
	for fd >= len(l.sinks) {
		l.sinks = append(l.sinks, make([]slot, max(64, len(l.sinks)))...)
	}
	p := &l.sinks[fd]
	p.gen++
	p.sink = s
	e := unix.EpollEvent{Events: uint32(ev), Fd: int32(fd), Pad: int32(p.gen)}
	if edge {
		e.Events |= unix.EPOLLET | unix.EPOLLRDHUP
	} else {
		e.Events |= unix.EPOLLEXCLUSIVE
	}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		p.sink = nil
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	return nil
}

// Remove ends the telling; the descriptor stays open.
func (l *Loop) Remove(fd int) {
	l.forget(fd)
	_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, fd, nil) // fails only if it was never added
}

// Close closes a descriptor that was added.
func (l *Loop) Close(fd int) {
	l.forget(fd)
	rawClose(fd) // which takes it out of the epoll set as well
}

func (l *Loop) forget(fd int) {
	if fd < len(l.sinks) {
		l.sinks[fd].sink = nil
		l.sinks[fd].gen++
	}
}

// Post has f called on the loop's thread, soon. It says false, and does not call f, when the loop has ended.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, f)
	l.wake()
	l.mu.Unlock()
	return true
}

// wake ends the loop's wait. The caller has mu, and the loop has not ended: its descriptor might be somebody else's.
func (l *Loop) wake() {
	if l.woken.CompareAndSwap(false, true) {
		one := [8]byte{1}
		_, _ = unix.Write(l.wakefd, one[:]) // a full counter wakes as well
	}
}

// wakeup is the sink of the loop's own eventfd: being woken is all it is for.
type wakeup struct{ l *Loop }

func (w wakeup) Ready(Events) {
	var b [8]byte
	_, _ = unix.Read(w.l.wakefd, b[:]) // only to make it wait again
}

// Run turns the loop until the context ends. What is still open then is the caller's to close, before it stops the loop.
func (l *Loop) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer l.close()
	defer context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.ended {
			l.wake()
		}
	})()
	for ctx.Err() == nil {
		n, err := l.wait()
		if err != nil {
			return fmt.Errorf("wait for events: %w", err)
		}
		l.now = Monotonic()
		for i := range l.events[:n] {
			e := &l.events[i]
			if p := &l.sinks[e.Fd]; p.sink != nil && p.gen == uint32(e.Pad) {
				p.sink.Ready(Events(e.Events))
			}
		}
		l.runPosted()
		l.wheel.advance(l.now)
	}
	l.runPosted()
	return nil
}

// shortWait is for how many milliseconds a loop waits without giving its place up to the Go scheduler.
const shortWait = 1

// wait waits for events. Under load there is something within the millisecond, and leaving the scheduler and coming back,
// with the runtime's monitor woken to look after the place, would cost a twentieth of all the time spent on a request. The
// runtime can still have the thread when it wants it: it sends a signal, which ends the wait. A loop that had no events the
// last time leaves at once: a place that is held keeps the monitor awake.
func (l *Loop) wait() (int, error) {
	n, errno := 0, unix.Errno(0)
	if l.busy {
		n, errno = epollWait(l.epfd, l.events[:], shortWait, true)
	}
	if n == 0 && errno == 0 {
		n, errno = epollWait(l.epfd, l.events[:], l.wheel.sleep(Monotonic()), false)
	}
	l.busy = n > 0
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

func (l *Loop) runPosted() {
	if !l.woken.Load() {
		return
	}
	l.woken.Store(false)
	l.mu.Lock()
	todo := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, f := range todo {
		f()
		todo[i] = nil
	}
	l.spare = todo
}

func (l *Loop) close() {
	l.mu.Lock()
	l.ended = true
	rest := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range rest { // posted between the last turn and now; Post has promised to call them
		f()
	}
	_ = unix.Close(l.wakefd)
	_ = unix.Close(l.epfd)
}
