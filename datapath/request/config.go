package request

import (
	"io"
	"net/netip"
	"time"

	"muster/cluster"
	"muster/datapath/http1"
)

// A Service is one service as the data path runs it. Zero values mean the defaults stated beside each field.
type Service struct {
	Name     string
	Kind     cluster.Kind
	Listen   []netip.AddrPort
	Ahead    bool // this machine may not have the addresses of Listen yet: another director has them
	Pool     string
	Threads  int // loops that take its connections, at most as many as there are; 0 means all
	Limits   Limits
	Timeouts Timeouts
	Retry    Retry

	XForwarded bool // tell the node the client's address, scheme and host in X-Forwarded-For, -Proto and -Host
	Forwarded  bool // the same in Forwarded (RFC 7239)
	Via        bool // name this hop in Via (RFC 9110 7.6.3)

	ProxyAccept bool           // a PROXY protocol header comes ahead of the connection
	ProxyTrust  []netip.Prefix // from whom such a header is believed
	ProxySend   int            // version of the PROXY protocol header that nodes get: 0 none, 1, 2

	Fallback Fallback
	Log      AccessLog
}

// Limits bound what a service takes on.
type Limits struct {
	Connections int          // of clients at a time; 0 means 10,000
	PerSource   int          // of clients from one address at a time; 0 means no limit
	Queue       int          // requests that wait for a node at a time; 0 means 1,000
	Requests    int          // on one connection; 0 means no limit
	BodyRate    int          // bytes a second that a request's body must come at, on average; 0 means 500, less than 0 no limit
	Head        http1.Limits // of requests and responses
}

// Timeouts bound what a service waits for.
type Timeouts struct {
	Head     time.Duration // for a whole head, from its first byte; 0 means 10s
	Idle     time.Duration // for the next request on a connection; 0 means 60s
	Connect  time.Duration // for a connection to a node; 0 means 1s
	Response time.Duration // for the head of a node's response; 0 means 30s
	Stall    time.Duration // between two bytes of a body, either way; 0 means 30s
	Queue    time.Duration // for a node with room; 0 means 5s
	Tunnel   time.Duration // between two bytes of a tunnel, either way; 0 means 1h
	Out      time.Duration // for a sign of life of a node that is out, before its requests go elsewhere; 0 means 200ms
}

// Retry says how a request that one node has failed comes to another.
type Retry struct {
	Attempts   int     // nodes that are asked in all; 0 means 3
	Idempotent bool    // also when the node may have acted on it, if doing it twice is doing it once (RFC 9110 9.2.2)
	Budget     float64 // most retries for each request, over time; 0 means 0.2, less than 0 none
}

// Fallback is who answers when no node of the pool can: a server, or a page.
type Fallback struct {
	Addr   netip.AddrPort
	Status int    // of the page; 0 means 503
	Body   []byte // the page; empty means one line of text that says why
}

// AccessLog says where a line for each request goes.
type AccessLog struct {
	Format string    // "combined", "json" or "off"; empty means off
	To     io.Writer // one write holds whole lines; never called by two goroutines at once
}

func (s Service) withDefaults() Service {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	def(&s.Limits.Connections, 10_000)
	def(&s.Limits.Queue, 1000)
	def(&s.Limits.BodyRate, 500)
	dur(&s.Timeouts.Head, 10*time.Second)
	dur(&s.Timeouts.Idle, time.Minute)
	dur(&s.Timeouts.Connect, time.Second)
	dur(&s.Timeouts.Response, 30*time.Second)
	dur(&s.Timeouts.Stall, 30*time.Second)
	dur(&s.Timeouts.Queue, 5*time.Second)
	dur(&s.Timeouts.Tunnel, time.Hour)
	dur(&s.Timeouts.Out, 200*time.Millisecond)
	def(&s.Retry.Attempts, 3)
	if s.Retry.Budget == 0 {
		s.Retry.Budget = 0.2
	}
	def(&s.Fallback.Status, 503)
	return s
}
