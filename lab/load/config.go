package load

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Config says what load to make. Targets and Requests must be given; the zero value of the rest is a closed loop of 32
// keep-alive clients that goes on until it is stopped.
type Config struct {
	Targets  []netip.AddrPort // clients take them in turn
	From     []netip.Addr     // local addresses, which clients take in turn; none lets the kernel choose
	Requests []Request        // the mix

	Connections int           // how many clients, each with one connection; 0 means 32
	Close       bool          // one request a connection
	Rate        float64       // open loop: requests a second over all clients; 0 means closed loop
	InTurn      bool          // open loop: the client that has rested longest asks next, so that all connections stay in use
	Duration    time.Duration // 0 means no end
	Count       int64         // how many requests; 0 means no end
	Timeout     time.Duration // longest time in which a request makes no progress; 0 means 10s
	Interval    time.Duration // of Result.Series; 0 means 1s
	ReadRate    int           // bytes of answers that a client takes a second: slow downloads; 0 means as they come
	Seed        uint64        // of the order in which requests are drawn
	Sequence    bool          // send the requests in the order of the list, as WebBench does, rather than draw them by weight
}

// A Request is one thing to ask for, and what its answer must be.
type Request struct {
	Method string   // empty means GET
	Host   string   // empty means the target's address
	Path   string   // as it goes on the wire; empty means /
	Header []string // further lines, such as "Accept: text/html"
	Send   []byte   // the request's body
	Weight uint     // its part of the mix; 0 means 1

	Status int    // 0 means 200
	Length int64  // of the answer's body; 0 means any
	Sum    uint64 // xxhash of the answer's body; 0 means any
	Body   []byte // the answer's body; nil means any
}

// request is a Request as the clients use it.
type request struct {
	Request
	wire [][]byte // for each target
	head bool     // the answer has no body
}

func (c *Config) defaults() error {
	switch {
	case len(c.Targets) == 0:
		return errors.New("load: no target given")
	case len(c.Requests) == 0:
		return errors.New("load: no request given")
	case c.Rate < 0 || c.Connections < 0 || c.Duration < 0 || c.Count < 0 || c.Timeout < 0 || c.Interval < 0 || c.ReadRate < 0:
		return errors.New("load: a number below 0 in the configuration")
	}
	c.Connections = max(c.Connections, 0)
	if c.Connections == 0 {
		c.Connections = 32
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	return nil
}

func (c *Config) prepare() ([]request, error) {
	out := make([]request, len(c.Requests))
	for i, r := range c.Requests {
		if r.Method == "" {
			r.Method = "GET"
		}
		if r.Path == "" {
			r.Path = "/"
		}
		if r.Status == 0 {
			r.Status = 200
		}
		if r.Body != nil {
			r.Length = int64(len(r.Body))
		}
		for _, s := range append(slices.Clone(r.Header), r.Method, r.Path, r.Host) {
			if strings.ContainsAny(s, "\r\n\x00") {
				return nil, fmt.Errorf("load: request %d: %q does not fit on one line", i, s)
			}
		}
		out[i] = request{Request: r, head: r.Method == "HEAD"}
		for _, t := range c.Targets {
			out[i].wire = append(out[i].wire, r.bytes(t, c.Close))
		}
	}
	return out, nil
}

// bytes is the request as it goes to the target.
func (r *Request) bytes(target netip.AddrPort, last bool) []byte {
	host := r.Host
	if host == "" {
		host = target.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: muster-load\r\n", r.Method, r.Path, host)
	for _, h := range r.Header {
		b.WriteString(h + "\r\n")
	}
	if r.Send != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Send))
	}
	if last {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), r.Send...)
}
