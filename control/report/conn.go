package report

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// A Conn is a UDP socket on one LAN. Its methods do not wait, and one goroutine calls them.
type Conn interface {
	// Read hands take the datagrams that have arrived, up to a bound, and returns how many. take must not keep b.
	Read(take func(b []byte, from netip.AddrPort)) int
	// Write sends one datagram, or returns why not.
	Write(b []byte, to netip.AddrPort) error
	Close() error
}

// Listen opens a socket on each of the node's addresses, one for each LAN. A Reporter's have port 0, a Receiver's the
// port of the file. They belong to the Reporter or Receiver that they are handed to, whose Run closes them.
func Listen(addrs []netip.AddrPort) ([]Conn, error) {
	var conns []Conn
	for _, a := range addrs {
		c, err := listen(a)
		if err != nil {
			closeAll(conns)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				return nil, fmt.Errorf("listen for reports on UDP %s: another program has the port; stop it, or set ports.report", a)
			case errors.Is(err, syscall.EADDRNOTAVAIL):
				return nil, fmt.Errorf("listen for reports on UDP %s: this machine does not have the address; correct the node's addresses", a)
			}
			return nil, fmt.Errorf("listen for reports on UDP %s: %w", a, err)
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []Conn) {
	for _, c := range conns {
		_ = c.Close() // datagrams have no end to lose
	}
}

// read takes what has arrived on every LAN, and returns how many datagrams that were.
func read(conns []Conn, take func(lan int, b []byte, from netip.AddrPort)) (n int) {
	for lan, c := range conns {
		n += c.Read(func(b []byte, from netip.AddrPort) { take(lan, b, from) })
	}
	return n
}

// A clock runs only while its loop does. What the loop was kept from running for, it jumps over: at most one step counts.
type clock struct {
	now  time.Duration
	last time.Time
	step time.Duration
}

func newClock(step time.Duration) clock { return clock{last: time.Now(), step: step} }

// tick brings the clock up to date; the loop calls it whenever it does anything.
func (c *clock) tick() {
	t := time.Now()
	c.now += min(t.Sub(c.last), c.step)
	c.last = t
}
