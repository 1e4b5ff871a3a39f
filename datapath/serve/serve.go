package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"muster/internal/loop"
)

// backlog is how many connections the kernel keeps until they are accepted.
const backlog = 4096

// A Server serves one site.
type Server struct {
	log     *slog.Logger
	site    atomic.Pointer[site]
	ports   ports
	workers []*worker
	started atomic.Bool
	closed  sync.Once
}

// New reads the configuration and opens the listening sockets; clients wait there until Run. A server that is not run
// must be closed.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	st, err := newSite(cfg)
	if err != nil {
		return nil, err
	}
	if len(cfg.Listen)+len(cfg.VIPs)+len(cfg.Listeners) == 0 {
		return nil, errors.New("serve: no address to listen on is given")
	}
	s := &Server{log: log.With("part", "serve")}
	s.site.Store(st)
	if s.ports.open, err = s.ports.add(cfg.Listen, cfg.VIPs); err != nil {
		s.Close()
		return nil, err
	}
	for _, fd := range cfg.Listeners {
		s.ports.open = append(s.ports.open, &port{addr: loop.LocalAddr(fd), fd: fd})
	}
	for range st.Threads {
		l, err := loop.New()
		if err != nil {
			s.Close()
			return nil, err
		}
		s.workers = append(s.workers, newWorker(s, l))
	}
	return s, nil
}

// Addrs are the addresses that the server listens on: those of Listen, then those of Listeners.
func (s *Server) Addrs() []netip.AddrPort { return s.ports.addrs() }

// Close gives up a server that was not run.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.ports.mu.Lock()
		defer s.ports.mu.Unlock()
		for _, p := range append(s.ports.open, s.ports.given...) {
			p.close()
		}
		s.ports.over = true
		s.site.Load().close()
		if s.started.CompareAndSwap(false, true) {
			never, stop := context.WithCancel(context.Background())
			stop()
			for _, w := range s.workers {
				_ = w.loop.Run(never) // returns at once, and gives up what it has
			}
		}
	})
}

// Reload serves by another configuration from the next request of each connection on, and listens where it says, if it does. No
// connection notices. When the configuration is wrong, or an address cannot be listened on, nothing changes.
func (s *Server) Reload(cfg Config) error {
	st, err := newSite(cfg)
	if err != nil {
		return err
	}
	if cfg.Listen != nil {
		if err := s.listen(cfg.Listen, cfg.VIPs); err != nil {
			st.close()
			return err
		}
	}
	s.site.Swap(st).close()
	for _, w := range s.workers {
		w.loop.Post(w.follow) // one that has nothing to do would keep the old root open
	}
	s.log.Info("site changed", "root", cfg.Root)
	return nil
}

// Run serves until the context ends. Then it accepts no more, lets what is under way finish, within the time of
// Config.Drain, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	if !s.started.CompareAndSwap(false, true) {
		return errors.New("serve: the server has been run or closed before; make another one")
	}
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ends := make(chan error, len(s.workers))
	for _, w := range s.workers {
		w.loop.Post(w.start)
		go func() { ends <- w.loop.Run(loops) }()
	}
	s.log.Info("web server serves", "root", s.site.Load().Root, "addresses", fmt.Sprint(s.Addrs()), "threads", len(s.workers))
	var err error
	left := len(s.workers)
	select {
	case <-ctx.Done():
		s.drain(s.site.Load().Drain)
	case err = <-ends: // a loop ends by itself only when it is broken
		left--
	}
	for _, w := range s.workers {
		w.loop.Post(w.end)
	}
	stop()
	for ; left > 0; left-- {
		err = errors.Join(err, <-ends)
	}
	s.log.Info("web server has stopped")
	return err
}

// drain waits for the workers to finish what they have, for so long at most.
func (s *Server) drain(most time.Duration) {
	for _, w := range s.workers {
		w.loop.Post(w.drain)
	}
	late := time.NewTimer(most)
	defer late.Stop()
	for _, w := range s.workers {
		select {
		case <-w.idle:
		case <-late.C:
			s.log.Warn("drain time is over; connections are cut", "drain", most)
			return
		}
	}
}

// A Status is what a server has done, and what it has.
type Status struct {
	Root        string
	Addresses   []netip.AddrPort
	Draining    bool
	Connections int // open now
	Accepted    uint64
	Requests    uint64
	Responses   [6]uint64 // by the first digit of their status
	Malformed   uint64    // requests that were refused by their form
	TimedOut    uint64    // connections that were closed because the client was too slow
	Sent        uint64    // bytes
	Pages       int       // in the cache
	CacheBytes  int64
	OpenFiles   int // in the cache
	Hits        uint64
	Misses      uint64
}

// Status asks the loops. It may be called at any time, from any goroutine but theirs.
func (s *Server) Status() Status {
	st := s.site.Load()
	sum := Status{Root: st.Root, Addresses: s.Addrs()}
	sum.Pages, sum.CacheBytes, sum.OpenFiles = st.cache.size()
	if !s.started.Load() {
		return sum
	}
	for _, w := range s.workers {
		got := make(chan counters, 1)
		if !w.loop.Post(func() { got <- w.n }) {
			got <- w.n // its loop has ended: nobody writes them any more
		}
		n := <-got
		sum.Draining = sum.Draining || n.draining
		sum.Connections += n.open
		sum.Accepted += n.accepted
		sum.Requests += n.requests
		for i := range n.responses {
			sum.Responses[i] += n.responses[i]
		}
		sum.Malformed += n.malformed
		sum.TimedOut += n.timedOut
		sum.Sent += n.sent
		sum.Hits += n.hits
		sum.Misses += n.misses
	}
	return sum
}
