package loop

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrAgain says that nothing can be read or written now; the sink will be told when it can.
var ErrAgain = errors.New("not ready")

// A Conn is a stream socket on a loop. It remembers what epoll has said and what the last call met, so that it never
// asks the kernel for what is known not to be there. Its zero value is a closed connection.
type Conn struct {
	loop *Loop
	fd   int
	open bool
	in   bool // there may be something to read
	out  bool // there may be room to write
	hup  bool // an end has been announced: read on until it is met, even after a short read
	gone bool // both ways: nothing that is written will arrive
}

// Open takes the descriptor of a non-blocking socket and has the sink told of its events. An error leaves the descriptor
// to the caller.
func (c *Conn) Open(l *Loop, fd int, s Sink) error {
	if err := l.Add(fd, s, In|Out, true); err != nil {
		return err
	}
	*c = Conn{loop: l, fd: fd, open: true}
	return nil
}

// Note takes in the events that the sink was told; the sink calls it first.
func (c *Conn) Note(ev Events) {
	if ev&In != 0 {
		c.in = true
	}
	if ev&Out != 0 {
		c.out = true
	}
	if ev&Hup != 0 {
		c.in, c.out, c.hup = true, true, true
	}
	if ev&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.gone = true
	}
}

// IsOpen says whether the connection has a descriptor.
func (c *Conn) IsOpen() bool { return c.open }

// FD is the descriptor, for socket options.
func (c *Conn) FD() int { return c.fd }

// Readable says whether a Read may bring something.
func (c *Conn) Readable() bool { return c.in }

// Writable says whether a Write may take something.
func (c *Conn) Writable() bool { return c.out }

// Assume says that the connection may be read or written though no event has said so: it was just accepted with its
// first bytes, or connected at once.
func (c *Conn) Assume(in, out bool) { c.in, c.out = c.in || in, c.out || out }

// Hup says whether an end of the connection has been announced.
func (c *Conn) Hup() bool { return c.hup }

// Gone says whether the connection has ended both ways, as by a RST: nothing that is written will arrive.
func (c *Conn) Gone() bool { return c.gone }

// Close closes the connection; a second call does nothing.
func (c *Conn) Close() {
	if c.open {
		c.open = false
		c.loop.Close(c.fd)
	}
	c.in, c.out = false, false
}

// Release gives the descriptor up, open and watched no longer.
func (c *Conn) Release() int {
	c.loop.Remove(c.fd)
	c.open, c.in, c.out = false, false, false
	return c.fd
}

// Read reads once. It returns ErrAgain when there is nothing yet, and io.EOF at the end.
func (c *Conn) Read(b []byte) (int, error) {
	if !c.in {
		return 0, ErrAgain
	}
	n, errno := recv(c.fd, b, 0)
	switch {
	case errno == unix.EAGAIN:
		c.in = false
		return 0, ErrAgain
	case errno != 0:
		return 0, errno
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	// A short read has emptied the socket: epoll will tell of what comes next. An announced end will not be told again.
	if n < len(b) && !c.hup {
		c.in = false
	}
	return n, nil
}

// Write writes what there is room for. It returns ErrAgain when it could not write everything.
func (c *Conn) Write(b []byte) (int, error) {
	return c.write(b, 0)
}

// WriteMore is Write for bytes that more will follow at once: the kernel may wait for them to fill its packets.
func (c *Conn) WriteMore(b []byte) (int, error) {
	return c.write(b, unix.MSG_MORE)
}

func (c *Conn) write(b []byte, flags int) (int, error) {
	if !c.out {
		return 0, ErrAgain
	}
	n, errno := send(c.fd, b, flags)
	return c.wrote(n, len(b), errno)
}

// Write2 writes two buffers with one call.
func (c *Conn) Write2(a, b []byte) (int, error) {
	if !c.out {
		return 0, ErrAgain
	}
	n, errno := sendv(c.fd, a, b)
	return c.wrote(n, len(a)+len(b), errno)
}

func (c *Conn) wrote(n, all int, errno unix.Errno) (int, error) {
	switch {
	case errno == unix.EAGAIN:
		c.out = false
		return 0, ErrAgain
	case errno != 0:
		return 0, errno
	case n < all:
		// The socket is full: epoll will tell when there is room.
		c.out = false
		return n, ErrAgain
	}
	return n, nil
}

// SendFile sends up to n bytes of the file from the offset. It returns ErrAgain when the socket is full, and io.EOF when
// the file ended before.
func (c *Conn) SendFile(file int, offset int64, n int) (int, error) {
	if !c.out {
		return 0, ErrAgain
	}
	m, errno := sendfile(c.fd, file, &offset, n)
	if errno == 0 && m == 0 && n > 0 {
		return 0, io.EOF
	}
	// A short count may be the file's or the pipe's affair: only EAGAIN says that the socket is full.
	switch {
	case errno == unix.EAGAIN:
		c.out = false
		return 0, ErrAgain
	case errno != 0:
		return 0, errno
	}
	return m, nil
}

// CloseWrite sends the end of what this side has to say (FIN).
func (c *Conn) CloseWrite() error { return unix.Shutdown(c.fd, unix.SHUT_WR) }

// Reset closes the connection with a RST: the peer learns that it was cut, and the socket does not linger.
func (c *Conn) Reset() {
	if c.open {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // then it ends with a FIN
		c.Close()
	}
}

// Quiet says whether nothing has come on a connection on which nothing is due: no byte, no end.
func (c *Conn) Quiet() bool {
	var b [1]byte
	_, errno := recv(c.fd, b[:], unix.MSG_PEEK)
	return errno == unix.EAGAIN
}

// Err is the error that the socket holds, as after a connect that was not done at once.
func (c *Conn) Err() error {
	n, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// Dial begins a connection and returns its descriptor; it is there when the socket becomes writable and Conn.Err is nil.
// A valid from is the local address to come from.
func Dial(to netip.AddrPort, from netip.Addr) (int, error) {
	fd, err := stream(to)
	if err != nil {
		return -1, err
	}
	if from.IsValid() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // fewer ports without it, no more
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
			rawClose(fd)
			return -1, fmt.Errorf("bind to %s: %w", from, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		rawClose(fd)
		return -1, fmt.Errorf("connect to %s: %w", to, err)
	}
	return fd, nil
}

// stream opens a non-blocking TCP socket of the address's family.
func stream(of netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if of.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // slower without it, no more; accepted sockets inherit it
	return fd, nil
}

// Discard closes a descriptor that no loop watches.
func Discard(fd int) { rawClose(fd) }

// TurnAway sends a connection that no loop watches a last word, as far as it takes it at once, and closes it.
func TurnAway(fd int, word []byte) {
	_, _ = send(fd, word, 0) // it is turned away all the same
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	var b [4096]byte
	_, _ = recv(fd, b[:], 0) // a request that was there already would turn the close into a reset
	rawClose(fd)
}
