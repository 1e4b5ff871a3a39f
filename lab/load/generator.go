package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"muster/internal/loop"
)

// A Generator makes one run of load.
type Generator struct {
	cfg     Config
	mix     *mix
	clients []*client
	idle    []*client // open loop: those that wait for a request to become due

	loop     *loop.Loop
	end      context.CancelFunc
	deadline loop.Timer
	timerfd  int // open loop: wakes when the next request is due
	armed    int64

	start    int64 // of the run, on the clock of the loops
	lapAt    int64
	begun    int64 // requests begun
	active   int   // requests under way
	stopping bool
	stopAt   int64
	interval int64
	gap      gap
	lap      *Result

	mu      sync.Mutex
	running *loop.Loop // nil before and after the run
	total   *Result
	rest    *Result // what came after the last Lap, once the run is over
}

// New checks the configuration. The run begins with Run.
func New(cfg Config) (*Generator, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	requests, err := cfg.prepare()
	if err != nil {
		return nil, err
	}
	return &Generator{
		cfg: cfg, mix: newMix(requests, cfg.Seed, cfg.Sequence), timerfd: -1,
		interval: int64(cfg.Interval), lap: newResult(), total: newResult(),
	}, nil
}

// Run makes the load until its duration or count is over, Stop is called or the context ends, and returns what its
// clients saw. Requests under way when it is told to stop are finished and counted; when the context ends they are
// dropped and not counted. An error says that there was no run.
func (g *Generator) Run(ctx context.Context) (*Result, error) {
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	own, end := context.WithCancel(context.Background())
	defer end()
	g.loop, g.end = l, end
	g.deadline.Init(l, g.stop)
	g.mu.Lock()
	g.running = l
	g.mu.Unlock()
	l.Post(func() { err = g.begin() })
	defer context.AfterFunc(ctx, func() { l.Post(g.drop) })()
	if lerr := l.Run(own); lerr != nil {
		return nil, lerr
	}
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = nil
	g.rest = g.endLap()
	return g.total.clone(), nil
}

// Lap returns what the clients saw since the last Lap, or since the start. A gap that is open counts as long as it has
// become, and goes on in the next lap.
func (g *Generator) Lap() *Result {
	g.mu.Lock()
	l := g.running
	g.mu.Unlock()
	done := make(chan *Result, 1)
	if l != nil && l.Post(func() { done <- g.endLap() }) {
		return <-done
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rest
	g.rest = nil
	if r == nil {
		r = newResult()
	}
	return r
}

// Stop ends the run as its duration would.
func (g *Generator) Stop() {
	g.mu.Lock()
	l := g.running
	g.mu.Unlock()
	if l != nil {
		l.Post(g.stop)
	}
}

func (g *Generator) begin() error {
	g.start = loop.Monotonic()
	g.lapAt = g.start
	g.lap.Series = []Interval{{}}
	if g.cfg.Rate > 0 {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err == nil {
			g.timerfd = fd
			err = g.loop.Add(fd, pacer{g}, loop.In, true)
		}
		if err != nil {
			g.end()
			return fmt.Errorf("create a timer: %w", err)
		}
	}
	for i := range g.cfg.Connections {
		g.clients = append(g.clients, newClient(g, i))
	}
	if g.cfg.Duration > 0 {
		g.deadline.Set(int64(g.cfg.Duration))
	}
	for _, c := range g.clients {
		g.next(c, g.start)
	}
	return nil
}

// next gives the client its next request, or lets it rest.
func (g *Generator) next(c *client, now int64) {
	at, ok := g.due(now)
	if ok && at <= now {
		g.begun++
		g.active++
		g.gap.due(at)
		c.begin(g.mix.pick(), at, now)
		return
	}
	if !ok { // no further request will be due
		c.close()
		g.finish()
		return
	}
	g.idle = append(g.idle, c)
	g.arm(at, now)
}

// due is when the next request is due.
func (g *Generator) due(now int64) (int64, bool) {
	if g.cfg.Count > 0 && g.begun >= g.cfg.Count {
		return 0, false
	}
	if g.cfg.Rate == 0 {
		return now, !g.stopping
	}
	at := g.start + int64(float64(g.begun)*1e9/g.cfg.Rate)
	return at, !g.stopping || at < g.stopAt
}

func (g *Generator) arm(at, now int64) {
	if g.armed == at {
		return
	}
	g.armed = at
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at-now, 1))}
	_ = unix.TimerfdSettime(g.timerfd, 0, &spec, nil) // cannot fail with these arguments
}

// pacer is the sink of the timer that wakes when a request is due.
type pacer struct{ g *Generator }

func (p pacer) Ready(loop.Events) {
	g := p.g
	var b [8]byte
	_, _ = unix.Read(g.timerfd, b[:]) // only to make it wait again
	g.armed = 0
	g.deal()
}

// deal hands what is due to the clients that wait.
func (g *Generator) deal() {
	for len(g.idle) > 0 {
		now := loop.Monotonic()
		at, ok := g.due(now)
		if ok && at > now {
			g.arm(at, now)
			return
		}
		g.next(g.rested(), now)
	}
}

// rested takes the client that rested last, whose connection is warm, or with InTurn the one that did so longest.
func (g *Generator) rested() (c *client) {
	if g.cfg.InTurn {
		c, g.idle = g.idle[0], g.idle[1:]
		return c
	}
	last := len(g.idle) - 1
	c, g.idle = g.idle[last], g.idle[:last]
	return c
}

// stop lets what is under way finish.
func (g *Generator) stop() {
	if g.stopping {
		return
	}
	g.stopping, g.stopAt = true, loop.Monotonic()
	if g.cfg.Rate > 0 { // what was due and finds no client in this time is not sent
		g.deadline.Fire = g.drop
		g.deadline.Set(int64(g.cfg.Timeout))
	}
	g.deal()
	for _, c := range g.clients {
		if c.state == resting {
			c.rest.Stop()
			c.rested()
		}
	}
	g.finish()
}

// finish ends the run when nothing is under way and nothing will come.
func (g *Generator) finish() {
	if _, more := g.due(loop.Monotonic()); g.active == 0 && !more {
		g.drop()
	}
}

// drop ends the run now.
func (g *Generator) drop() {
	now := loop.Monotonic()
	for at, ok := g.due(now); g.stopping && g.cfg.Rate > 0 && ok && at < g.stopAt; at, ok = g.due(now) {
		g.begun++
		g.countFailed(Unsent, now)
	}
	for _, c := range g.clients {
		c.stop()
	}
	if g.timerfd >= 0 {
		g.loop.Close(g.timerfd)
		g.timerfd = -1
	}
	g.end()
}

// count counts one more request that has ended, and returns the interval to count the rest in.
func (g *Generator) count(now int64) *Interval {
	g.lap.Requests++
	s := g.slot(now)
	s.Requests++
	return s
}

func (g *Generator) countFailed(k Kind, now int64) {
	g.count(now).Failed++
	g.lap.Failed++
	g.lap.Errors[k]++
}

func (g *Generator) slot(now int64) *Interval {
	since := time.Duration(now - g.start)
	for {
		s := &g.lap.Series[len(g.lap.Series)-1]
		if since < s.Start+time.Duration(g.interval) {
			return s
		}
		if len(g.lap.Series) >= seriesMax {
			g.lap.Series = join(g.lap.Series)
			g.interval *= 2
			continue
		}
		g.lap.Series = append(g.lap.Series, Interval{Start: s.Start + time.Duration(g.interval)})
	}
}

// join makes one interval of each two.
func join(in []Interval) []Interval {
	out := in[:0]
	for i, s := range in {
		if i%2 == 0 {
			out = append(out, s)
			continue
		}
		o := &out[len(out)-1]
		o.Requests += s.Requests
		o.Failed += s.Failed
		o.Bytes += s.Bytes
		o.Slowest = max(o.Slowest, s.Slowest)
	}
	return out
}

// endLap takes the lap's figures into the run's, and begins another.
func (g *Generator) endLap() *Result {
	now := loop.Monotonic()
	lap := g.lap
	lap.Elapsed = time.Duration(now - g.lapAt)
	lap.Gap = max(lap.Gap, g.gap.now(now))
	for _, c := range g.clients {
		lap.ClientGap = max(lap.ClientGap, c.gap.now(now))
	}
	g.total.merge(lap)
	g.lap, g.lapAt = newResult(), now
	g.lap.Series = []Interval{{Start: time.Duration(now - g.start)}}
	return lap
}
