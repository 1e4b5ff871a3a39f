package request

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"muster/cluster"
	"muster/internal/loop"
	"muster/internal/run"
)

// Config is what a proxy is started with.
type Config struct {
	Threads int           // loops that serve; 0 means one for each processor
	Drain   time.Duration // how long connections may finish when the proxy is told to stop; 0 means 30s
}

// A Proxy serves the clients of all services of kind http and tcp on one director.
type Proxy struct {
	cfg     Config
	log     *slog.Logger
	workers []*worker
	logs    *logWriter

	mu        sync.Mutex // over Apply
	services  atomic.Pointer[map[string]*service]
	listeners map[netip.AddrPort]*listener
	draining  atomic.Bool
}

// service is what runs of a Service: the part that outlives a change of the file.
type service struct {
	name    string
	cfg     atomic.Pointer[Service]
	table   atomic.Pointer[cluster.Table]
	gone    atomic.Bool // no longer in the file: its connections end after the request that they are at
	clients atomic.Int64
	waiting atomic.Int64 // requests in the queues of all loops
	retries atomic.Int64 // thousandths of a retry that may be made
	sources sources
	count   []counters // by worker
}

// New returns a proxy without services. It opens the loops and nothing else.
func New(cfg Config, log *slog.Logger) (*Proxy, error) {
	if cfg.Threads == 0 {
		cfg.Threads = runtime.NumCPU()
	}
	if cfg.Drain == 0 {
		cfg.Drain = 30 * time.Second
	}
	p := &Proxy{cfg: cfg, log: log, listeners: map[netip.AddrPort]*listener{}, logs: newLogWriter(log)}
	p.services.Store(&map[string]*service{})
	for i := range cfg.Threads {
		l, err := loop.New()
		if err != nil {
			return nil, err
		}
		p.workers = append(p.workers, newWorker(p, i, l))
	}
	return p, nil
}

// Apply makes the services those of the list: new ones begin, changed ones go on under their new settings from the next
// request of each connection, and those that are gone finish what they are at. Either all of it happens, or, when an
// address cannot be listened on, none; the error says which. It may be called before Run and while it runs.
func (p *Proxy) Apply(list []Service) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := map[netip.AddrPort]*Service{}
	for i := range list {
		for _, at := range list[i].Listen {
			want[at] = &list[i]
		}
	}
	opened := map[netip.AddrPort]*listener{}
	for at, cfg := range want {
		if p.listeners[at] != nil {
			continue
		}
		listen := loop.Listen
		if cfg.Ahead {
			listen = loop.ListenAhead
		}
		fd, err := listen(at, 4096)
		if err != nil {
			for _, l := range opened {
				loop.Discard(l.fd)
			}
			return fmt.Errorf("service %s: %w", cfg.Name, err)
		}
		l := &listener{at: at, fd: fd}
		l.users.Store(int32(len(p.workers)))
		opened[at] = l
	}

	old, services := *p.services.Load(), map[string]*service{}
	for _, cfg := range list {
		s := old[cfg.Name]
		if s == nil {
			s = &service{name: cfg.Name, count: make([]counters, len(p.workers))}
			s.retries.Store(retryBurst)
		}
		cfg = cfg.withDefaults()
		s.cfg.Store(&cfg)
		services[cfg.Name] = s
	}
	for name, s := range old {
		if services[name] == nil {
			s.gone.Store(true)
		}
	}
	p.services.Store(&services)
	maps.Copy(p.listeners, opened)
	var closed []*listener
	for at, l := range p.listeners {
		if want[at] == nil {
			closed = append(closed, l)
			delete(p.listeners, at)
			continue
		}
		l.service.Store(services[want[at].Name])
	}
	p.each(func(w *worker) {
		for _, l := range opened {
			w.listen(l)
		}
		for _, l := range closed {
			w.unlisten(l)
		}
		w.refresh()
	})
	return nil
}

// SetTable has new requests of a service follow the table. Requests under way at a node that the table calls out are
// given up soon, if nothing comes of them.
func (p *Proxy) SetTable(name string, t *cluster.Table) {
	s := (*p.services.Load())[name]
	if s == nil {
		return // it has been removed meanwhile
	}
	s.table.Store(t)
	p.each((*worker).refresh)
}

// each has every worker do f on its own thread.
func (p *Proxy) each(f func(*worker)) {
	for _, w := range p.workers {
		w.loop.Post(func() { f(w) })
	}
}

// Run serves until the context ends, then lets what is under way finish, for as long as Config.Drain allows.
func (p *Proxy) Run(ctx context.Context) error {
	tasks := []run.Task{{Name: "access log", Run: p.logs.Run}}
	for _, w := range p.workers {
		tasks = append(tasks, run.Task{Name: fmt.Sprintf("loop %d", w.index), Run: w.loop.Run})
	}
	tasks = append(tasks, run.Task{Name: "drain", Run: func(ctx context.Context) error {
		<-ctx.Done()
		p.drain()
		return nil
	}})
	return run.All(ctx, tasks)
}

// drain stops listening and waits until the workers have no clients left, or the time is up.
func (p *Proxy) drain() {
	p.mu.Lock()
	listeners := slices.Collect(maps.Values(p.listeners))
	clear(p.listeners)
	p.mu.Unlock()
	p.draining.Store(true)
	empty := make(chan struct{}, len(p.workers))
	p.each(func(w *worker) {
		for _, l := range listeners {
			w.unlisten(l)
		}
		w.drain(func() { empty <- struct{}{} })
	})
	late := time.NewTimer(p.cfg.Drain)
	defer late.Stop()
	for range p.workers {
		select {
		case <-empty:
		case <-late.C:
			p.log.Warn("connections were cut: they did not finish within the drain time", "drain", p.cfg.Drain)
			p.cut()
			return
		}
	}
	p.cut()
}

// cut closes what is left, and waits for it.
func (p *Proxy) cut() {
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Add(1)
		if !w.loop.Post(func() { w.cut(); wg.Done() }) {
			wg.Done()
		}
	}
	wg.Wait()
}

// Addrs are the addresses that the proxy listens on.
func (p *Proxy) Addrs() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.AddrPort
	for _, l := range p.listeners {
		all = append(all, loop.LocalAddr(l.fd))
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all
}
