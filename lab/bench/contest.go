package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"muster/lab/load"
	"muster/lab/peer"
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

	// Network is what a proxy's clients and nodes reach it by; empty means Auto.
	Network Network

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
	Cost   Cost  `json:"-"` // zero unless the contender has an account
}

// A contender is one server in a contest, or a cluster.
type contender struct {
	name    string
	server  Server // whose processor time counts
	targets []netip.AddrPort
	clients int                    // in place of the trial's, if it is not 0
	counts  func(node string) bool // whose answers are in the rate; nil means everybody's
	account *account               // finds more of what a request costs; may be nil
}

// one is a contender with one address.
func one(name string, addr netip.AddrPort, server Server) contender {
	return contender{name: name, server: server, targets: []netip.AddrPort{addr}}
}

// A trial is one load that all contenders are put under.
type trial struct {
	name     string
	requests []load.Request
	clients  int
	tolerant bool // failures are a figure, not the end
}

// A contest puts every contender under every trial in turn, round by round.
type contest struct {
	Options
	clients    func(func() error) error // does something where the load comes from
	contenders []contender
	trials     []trial
}

// run returns figures[trial][contender].
func (c *contest) run(ctx context.Context) ([][]Figure, error) {
	rounds := make([][][]Figure, len(c.trials))
	for i := range rounds {
		rounds[i] = make([][]Figure, len(c.contenders))
	}
	for _, one := range c.contenders {
		if err := c.ready(ctx, one, c.trials[0]); err != nil {
			return nil, err
		}
	}
	progress := c.Progress
	if progress == nil {
		progress = func(int, int, string) {}
	}
	done, all := 0, c.Rounds*len(c.trials)*len(c.contenders)
	for range c.Rounds {
		for i, t := range c.trials {
			for j, one := range c.contenders {
				progress(done, all, t.name+" "+one.name)
				f, err := c.round(ctx, one, t)
				if err != nil {
					return nil, err
				}
				rounds[i][j] = append(rounds[i][j], f)
				done++
			}
		}
	}
	progress(done, all, "done")
	figures := make([][]Figure, len(c.trials))
	for i := range c.trials {
		for j := range c.contenders {
			figures[i] = append(figures[i], medians(rounds[i][j]))
		}
	}
	return figures, nil
}

// ready waits until the contender answers as it should: a proxy may listen before it knows its nodes.
func (c *contest) ready(ctx context.Context, one contender, t trial) error {
	const patience = 10 * time.Second
	for until := time.Now().Add(patience); ; {
		r, err := c.put(ctx, load.Config{
			Targets: one.targets, Requests: t.requests, Connections: 4, Count: 40, Timeout: patience,
		})
		if err != nil || r.Failed == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s does not answer as it should: %v", one.name, r.Failures[0])
		}
	}
}

func (c *contest) round(ctx context.Context, one contender, t trial) (Figure, error) {
	cfg := load.Config{
		Targets: one.targets, Requests: t.requests, Connections: t.clients,
		Duration: c.Warm, Interval: time.Minute, Seed: 1,
	}
	if one.clients > 0 {
		cfg.Connections = one.clients
	}
	if _, err := c.put(ctx, cfg); err != nil {
		return Figure{}, err
	}
	cfg.Duration = c.Round
	processes, err := processes(one.server)
	if err != nil {
		return Figure{}, err
	}
	gauges := append([]gauge{processes}, one.account.plain()...)
	r, spent, err := c.between(ctx, cfg, gauges)
	if err != nil {
		return Figure{}, fmt.Errorf("%s under %s: %w", one.name, t.name, err)
	}
	if r.Requests == 0 || r.Failed > 0 && !t.tolerant {
		return Figure{}, fmt.Errorf("%s under %s: %d of %d requests failed: %v", one.name, t.name, r.Failed, r.Requests, r.Failures)
	}
	f := Figure{
		CPU:    spent[0],
		Rate:   one.rate(r),
		Median: float64(r.Percentile(50)) / 1e6,
		Slow:   float64(r.Percentile(99)) / 1e6,
		Failed: r.Failed,
	}
	if one.account != nil {
		f.Cost, err = c.account(ctx, one, cfg, spent)
		f.Cost.Busy = f.Cost.Machine / 1e6 * float64(r.Requests) / r.Elapsed.Seconds() / float64(cmp.Or(len(one.account.processors), runtime.NumCPU()))
	}
	return f, err
}

// rate is how many requests a second were answered by who counts.
func (o *contender) rate(r *load.Result) float64 {
	if o.counts == nil {
		return r.Rate()
	}
	var sum int64
	for node, n := range r.Nodes {
		if o.counts(node) {
			sum += n
		}
	}
	return float64(sum) / r.Elapsed.Seconds()
}

// between puts a load on, and returns what each gauge has grown by, in microseconds a request.
func (c *contest) between(ctx context.Context, cfg load.Config, gauges []gauge) (*load.Result, []float64, error) {
	spent := make([]float64, len(gauges))
	for i, g := range gauges {
		before, err := g()
		if err != nil {
			return nil, nil, err
		}
		spent[i] = -float64(before)
	}
	r, err := c.put(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	for i, g := range gauges {
		after, err := g()
		if err != nil {
			return nil, nil, err
		}
		spent[i] = (spent[i] + float64(after)) / 1e3 / float64(max(r.Requests, 1))
	}
	return r, spent, nil
}

// put runs a load where the clients are.
func (c *contest) put(ctx context.Context, cfg load.Config) (r *load.Result, err error) {
	g, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	err = c.clients(func() (err error) {
		r, err = g.Run(ctx)
		return err
	})
	if err == nil {
		err = ctx.Err()
	}
	if errors.Is(err, context.Canceled) { // what was measured of a run that was cut says nothing
		err = fmt.Errorf("the benchmark was interrupted, so there are no figures: %w", err)
	}
	return r, err
}

// start starts a peer as a contender.
func start(ctx context.Context, on peer.Host, p peer.Peer) (contender, error) {
	proc, err := p.Start(ctx, on)
	if err != nil {
		return contender{}, err
	}
	return one(p.Name, p.Addr, proc), nil
}

// medians are rounded to three digits after the point: more would be noise.
func medians(f []Figure) Figure {
	of := func(value func(Figure) float64) float64 {
		v := make([]float64, len(f))
		for i := range f {
			v[i] = value(f[i])
		}
		return rounded(middle(v))
	}
	var failed int64
	for i := range f {
		failed += f[i].Failed
	}
	out := Figure{
		CPU:    of(func(f Figure) float64 { return f.CPU }),
		Rate:   of(func(f Figure) float64 { return f.Rate }),
		Median: of(func(f Figure) float64 { return f.Median }),
		Slow:   of(func(f Figure) float64 { return f.Slow }),
		Failed: failed,
	}
	for i, p := range out.Cost.parts() {
		*p = of(func(f Figure) float64 { return *f.Cost.parts()[i] })
	}
	return out
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }
