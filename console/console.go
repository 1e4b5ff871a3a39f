package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"muster/cluster"
)

// Config says where the console is served. The zero value serves it nowhere.
type Config struct {
	Listen []netip.AddrPort // the admin port, on each of the node's addresses
	Socket string           // path of the Unix socket; empty means none
	Key    []byte           // the cluster key; empty: nothing can be changed over TCP
}

// Parts are what the console shows and what it can ask for. It calls them from many goroutines. A nil function is one that
// this node does not have.
type Parts struct {
	Status func() Status
	Events *Events
	Wish   func(node string, wish cluster.Wish, reason string) error
	Reload func() error
	Mute   func(muted bool) error
	Detach func() error
}

// The bounds of what is served.
const (
	bodyLimit   = 64 << 10
	headLimit   = 16 << 10
	connLimit   = 256 // connections at a time on the socket, and on all addresses together
	headTimeout = 5 * time.Second
	readTimeout = 10 * time.Second
	sendTimeout = 30 * time.Second
	idleTimeout = time.Minute
	stopTimeout = 2 * time.Second // for requests under way when told to stop
)

// A Console serves one node's API.
type Console struct {
	cfg      Config
	parts    Parts
	registry *prometheus.Registry
	log      *slog.Logger
	token    string

	mu    sync.Mutex
	rates map[string]rate
}

// New returns a console. It registers the metrics of what Status shows, of the process and of the Go runtime.
func New(cfg Config, parts Parts, registry *prometheus.Registry, log *slog.Logger) *Console {
	c := &Console{cfg: cfg, parts: parts, registry: registry, log: log, rates: map[string]rate{}}
	if parts.Events == nil {
		c.parts.Events = new(Events)
	}
	if len(cfg.Key) > 0 {
		c.token = Token(cfg.Key)
	}
	registry.MustRegister(metrics{parts.Status}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return c
}

// Run serves until the context ends. Each address must be free.
func (c *Console) Run(ctx context.Context) error {
	var open sync.WaitGroup
	defer open.Wait()
	failed := make(chan error, len(c.cfg.Listen)+1)
	serve := func(l net.Listener, s *http.Server) {
		open.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
			}
		})
	}
	public, private := c.server(false), c.server(true)
	defer stop(public)
	defer stop(private)
	if c.cfg.Socket != "" {
		l, err := listenSocket(c.cfg.Socket)
		if err != nil {
			return err
		}
		defer l.remove()
		serve(l, private)
	}
	for _, addr := range c.cfg.Listen {
		l, err := net.Listen("tcp", addr.String())
		if err != nil {
			return explainListen(addr.String(), err)
		}
		serve(l, public)
	}
	tick := time.NewTicker(rateTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case now := <-tick.C:
			c.measure(now)
		}
	}
}

func (c *Console) server(trusted bool) *http.Server {
	var conns atomic.Int64
	return &http.Server{
		Handler:           c.Handler(trusted),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      sendTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headLimit,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ConnState: func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if conns.Add(1) > connLimit {
					_ = conn.Close() // what was asked on it is not known yet
				}
			case http.StateClosed, http.StateHijacked:
				conns.Add(-1)
			}
		},
	}
}

func stop(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close() // whoever is still there has had its time
	}
}

func explainListen(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("serve the API on %s: the port is in use; stop what listens there, or set ports: {admin: ...}", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("serve the API on %s: this machine does not have the address; correct the node's addresses", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("serve the API on %s: only root may listen there; set ports: {admin: ...} to 1024 or more", addr)
	}
	return fmt.Errorf("serve the API on %s: %w", addr, err)
}

// rateTime is the time between two measurements of the rates.
const rateTime = time.Second

// A rate is how fast a count grew between the last two looks at it.
type rate struct {
	count  uint64
	at     time.Time
	second float64
}

// measure looks at what is counted.
func (c *Console) measure(now time.Time) {
	status := c.parts.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	rates := map[string]rate{}
	each(&status, func(name string, count uint64, _ *float64) {
		old := c.rates[name]
		next := rate{count: count, at: now}
		if passed := now.Sub(old.at).Seconds(); !old.at.IsZero() && passed > 0 && count >= old.count {
			next.second = float64(count-old.count) / passed
		}
		rates[name] = next
	})
	c.rates = rates
}

// status is what the parts show, with the rates.
func (c *Console) status() Status {
	status := c.parts.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	each(&status, func(name string, _ uint64, second *float64) { *second = c.rates[name].second })
	return status
}

// each calls f for whatever has a rate: its name, what is counted, and where the rate belongs.
func each(s *Status, f func(name string, count uint64, second *float64)) {
	if s.Director == nil {
		return
	}
	for i := range s.Director.Services {
		v := &s.Director.Services[i]
		count := v.Requests
		if v.Kind != cluster.HTTP || v.Packets != nil {
			count = v.Connections
		}
		f(v.Name, count, &v.Rate)
		if p := v.Packets; p != nil {
			f(v.Name+" packets", p.Packets, &p.Rate)
		}
		for j := range v.Members {
			m := &v.Members[j]
			f(v.Name+" "+m.Node, uint64(max(m.Served, 0)), &m.Rate)
			if p := m.Packets; p != nil {
				f(v.Name+" "+m.Node+" packets", p.Packets, &p.Rate)
			}
		}
	}
}
