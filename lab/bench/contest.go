package bench

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"muster/lab/load"
	"muster/lab/peer"
	"muster/lab/usage"
)

// A Server is a running server under test. *peer.Process is one.
type Server interface {
	PIDs() ([]int, error) // all its processes
	Stop()                // ends them and waits until they have ended
}

// Options say how to measure. The zero value is what the command line does.
type Options struct {
	Sizes       []int         // of replies, in bytes; nil means 1,024 and 65,536
	Connections int           // of the clients; 0 means 32
	Rounds      int           // of each contender; 0 means 5
	Round       time.Duration // how long one is; 0 means 2s
	Warm        time.Duration // load ahead of each round that is not measured; 0 means 200ms
	Clients     []int         // of the ladder; nil means those of HAS Table 12 up to 32
	Documents   int           // of the tree; 0 means 6,200

	// Pin keeps the server under test to the last processor, and clients and nodes to the others.
	Pin bool

	// Stock leaves nginx the buffers that it has by itself, which make it slower with long replies.
	Stock bool

	// Progress, if not nil, is told of each round that begins, from the goroutine that measures.
	Progress func(done, all int, what string)
}

func (o Options) withDefaults() Options {
	if o.Sizes == nil {
		o.Sizes = []int{1024, 65536}
	}
	if o.Clients == nil {
		o.Clients = []int{1, 4, 8, 12, 16, 24, 32}
	}
	for _, d := range []struct {
		p *int
		v int
	}{{&o.Connections, 32}, {&o.Rounds, 5}} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	if o.Round == 0 {
		o.Round = 2 * time.Second
	}
	if o.Warm == 0 {
		o.Warm = 200 * time.Millisecond
	}
	return o
}

// A Figure is what one contender achieved.
type Figure struct {
	CPU    float64 `json:"cpu_us"` // processor time of the server under test, a request, in microseconds
	Rate   float64 `json:"rps"`    // requests a second
	Median float64 `json:"p50_ms"`
	Slow   float64 `json:"p99_ms"`

	Failed int64 `json:"-"` // requests, in all rounds
}

// A contender is one server in a contest.
type contender struct {
	name   string
	addr   netip.AddrPort
	server Server
}

// A trial is one load that all contenders are put under.
type trial struct {
	name     string
	requests []load.Request
	clients  int
	tolerant bool // failures are a figure, not the end
}

// contest puts every contender under every trial in turn, round by round, and returns figures[trial][contender].
func contest(ctx context.Context, opt Options, contenders []contender, trials []trial) ([][]Figure, error) {
	rounds := make([][][]Figure, len(trials))
	for i := range rounds {
		rounds[i] = make([][]Figure, len(contenders))
	}
	for _, c := range contenders {
		if err := opt.ready(ctx, c, trials[0]); err != nil {
			return nil, err
		}
	}
	done, all := 0, opt.Rounds*len(trials)*len(contenders)
	for range opt.Rounds {
		for i, t := range trials {
			for j, c := range contenders {
				if opt.Progress != nil {
					opt.Progress(done, all, t.name+" "+c.name)
				}
				f, err := opt.round(ctx, c, t)
				if err != nil {
					return nil, err
				}
				rounds[i][j] = append(rounds[i][j], f)
				done++
			}
		}
	}
	if opt.Progress != nil {
		opt.Progress(done, all, "done")
	}
	figures := make([][]Figure, len(trials))
	for i := range trials {
		for j := range contenders {
			figures[i] = append(figures[i], medians(rounds[i][j]))
		}
	}
	return figures, nil
}

// ready waits until the contender answers as it should: a proxy may listen before it knows its nodes.
func (o Options) ready(ctx context.Context, c contender, t trial) error {
	const patience = 10 * time.Second
	for until := time.Now().Add(patience); ; {
		r, err := o.put(ctx, load.Config{
			Targets: []netip.AddrPort{c.addr}, Requests: t.requests, Connections: 4, Count: 40, Timeout: patience,
		})
		if err != nil || r.Failed == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s does not answer as it should: %v", c.name, r.Failures[0])
		}
	}
}

func (o Options) round(ctx context.Context, c contender, t trial) (Figure, error) {
	cfg := load.Config{
		Targets: []netip.AddrPort{c.addr}, Requests: t.requests, Connections: t.clients,
		Duration: o.Warm, Interval: time.Minute, Seed: 1,
	}
	if _, err := o.put(ctx, cfg); err != nil {
		return Figure{}, err
	}
	pids, err := c.server.PIDs()
	if err != nil {
		return Figure{}, err
	}
	before, err := usage.Of(pids...)
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w", c.name, err)
	}
	cfg.Duration = o.Round
	r, err := o.put(ctx, cfg)
	if err != nil {
		return Figure{}, err
	}
	after, err := usage.Of(pids...)
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w", c.name, err)
	}
	if r.Requests == 0 || r.Failed > 0 && !t.tolerant {
		return Figure{}, fmt.Errorf("%s under %s: %d of %d requests failed: %v", c.name, t.name, r.Failed, r.Requests, r.Failures)
	}
	return Figure{
		CPU:    float64(after.Sub(before).Total) / 1e3 / float64(r.Requests),
		Rate:   r.Rate(),
		Median: float64(r.Percentile(50)) / 1e6,
		Slow:   float64(r.Percentile(99)) / 1e6,
		Failed: r.Failed,
	}, nil
}

// put runs a load on the processors of the clients.
func (o Options) put(ctx context.Context, cfg load.Config) (*load.Result, error) {
	g, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	type end struct {
		r   *load.Result
		err error
	}
	ends := make(chan end, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, whose processors were changed, ends here
		if cpus := o.others(); cpus != nil {
			var set unix.CPUSet
			for _, c := range cpus {
				set.Set(c)
			}
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				ends <- end{nil, fmt.Errorf("keep the clients to processors %v: %w", cpus, err)}
				return
			}
		}
		r, err := g.Run(ctx)
		ends <- end{r, err}
	}()
	e := <-ends
	if e.err == nil {
		e.err = ctx.Err() // what was measured of a run that was cut says nothing
	}
	return e.r, e.err
}

// under is where the server under test runs, and others where the rest does; nil is anywhere.
func (o Options) under() []int {
	if n := runtime.NumCPU(); o.Pin && n > 1 {
		return []int{n - 1}
	}
	return nil
}

func (o Options) others() []int {
	var cpus []int
	if n := runtime.NumCPU(); o.Pin && n > 1 {
		for c := range n - 1 {
			cpus = append(cpus, c)
		}
	}
	return cpus
}

// start starts a peer as a contender.
func start(ctx context.Context, at string, cpus []int, makePeer func(netip.AddrPort) peer.Peer) (contender, error) {
	addr, err := peer.Free(netip.MustParseAddr(at))
	if err != nil {
		return contender{}, err
	}
	p := makePeer(addr)
	proc, err := p.Start(ctx, cpus...)
	if err != nil {
		return contender{}, err
	}
	return contender{p.Name, addr, proc}, nil
}

// medians are rounded to three digits after the point: more would be noise.
func medians(f []Figure) Figure {
	of := func(value func(Figure) float64) float64 {
		v := make([]float64, len(f))
		for i := range f {
			v[i] = value(f[i])
		}
		slices.Sort(v)
		return math.Round((v[(len(v)-1)/2]+v[len(v)/2])/2*1000) / 1000
	}
	var failed int64
	for i := range f {
		failed += f[i].Failed
	}
	return Figure{
		CPU:    of(func(f Figure) float64 { return f.CPU }),
		Rate:   of(func(f Figure) float64 { return f.Rate }),
		Median: of(func(f Figure) float64 { return f.Median }),
		Slow:   of(func(f Figure) float64 { return f.Slow }),
		Failed: failed,
	}
}
