package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"muster/lab/load"
	"muster/lab/site"
	"muster/lab/testbed"
)

// clients are those who ask, from a machine of the lab, all through a scenario.
type clients struct {
	from   *testbed.Machine
	askers []*asker
	all    errgroup.Group
	total  *load.Result
	began  time.Time
	beats  []Moment // each as long as beat
}

// An asker is one generator with a name.
type asker struct {
	name string
	gen  *load.Generator
	slow bool // downloads that take long by themselves: not in gaps and latencies

	since time.Duration // when it began, since all did
}

// beat is how fine the series of a scenario are.
const beat = 100 * time.Millisecond

func newClients(from *testbed.Machine) *clients { return &clients{from: from} }

// ask has more clients ask, until all are told to stop or the context ends.
func (c *clients) ask(ctx context.Context, name string, cfg load.Config) error {
	cfg.Interval = beat
	g, err := load.New(cfg)
	if err != nil {
		return err
	}
	c.askers = append(c.askers, &asker{name: name, gen: g, slow: cfg.ReadRate > 0, since: c.running()})
	c.all.Go(func() error {
		return c.from.Do(func() error {
			_, err := g.Run(ctx)
			return err
		})
	})
	return nil
}

// running is how long ago the first of them began.
func (c *clients) running() time.Duration {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	return time.Since(c.began)
}

// stop lets them finish what they have begun.
func (c *clients) stop() error {
	for _, a := range c.askers {
		a.gen.Stop()
	}
	return c.all.Wait()
}

// Seen is what clients saw since they were last asked for it, in all and by asker.
type Seen struct {
	*load.Result
	By map[string]*load.Result
}

// seen is what they saw since the last time.
func (c *clients) seen() *Seen {
	s := &Seen{Result: empty(), By: map[string]*load.Result{}}
	for _, a := range c.askers {
		r := a.gen.Lap()
		s.By[a.name] = r
		c.chart(a.since, r)
		took := r.Latency
		if a.slow {
			r.Gap, r.ClientGap, r.Latency = 0, 0, nil
		}
		join(s.Result, r)
		r.Latency = took
	}
	if c.total == nil {
		c.total = empty()
	}
	join(c.total, s.Result)
	return s
}

func empty() *load.Result {
	return &load.Result{
		Errors: map[load.Kind]int64{}, Nodes: map[string]int64{},
		Latency: hdrhistogram.New(1000, int64(10*time.Minute), 3),
	}
}

// join adds what others saw at the same time.
func join(to, r *load.Result) {
	to.Elapsed = max(to.Elapsed, r.Elapsed)
	to.Requests += r.Requests
	to.Failed += r.Failed
	to.Bytes += r.Bytes
	to.Connects += r.Connects
	for k, n := range r.Errors {
		to.Errors[k] += n
	}
	for k, n := range r.Nodes {
		to.Nodes[k] += n
	}
	to.Gap, to.ClientGap = max(to.Gap, r.Gap), max(to.ClientGap, r.ClientGap)
	to.Failures = append(to.Failures, r.Failures...)
	if r.Latency != nil {
		to.Latency.Merge(r.Latency)
	}
}

// Longest is the longest time that a client waited for an answer.
func (s *Seen) Longest() time.Duration { return max(s.Gap, s.ClientGap) }

// Only are the failures of these kinds.
func (s *Seen) Only(kinds ...load.Kind) (n int64) {
	for _, k := range kinds {
		n += s.Errors[k]
	}
	return n
}

func (s *Seen) part(name string, took time.Duration) Part {
	return Part{
		Name: name, Requests: s.Requests, Failed: s.Failed, Broken: s.Broken(), LongestGap: ms(s.Longest()),
		Errors: named(s.Errors), Nodes: maps.Clone(s.Nodes), Seconds: took.Seconds(),
	}
}

func named(errors map[load.Kind]int64) map[string]int64 {
	out := map[string]int64{}
	for k, n := range errors {
		if n > 0 {
			out[k.String()] = n
		}
	}
	return out
}

// quote is how failures are told in an assertion.
func (s *Seen) quote() string {
	if s.Failed == 0 {
		return fmt.Sprintf("%d requests, none failed", s.Requests)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d failed%s", s.Failed, s.Requests, kinds(named(s.Errors)))
	for _, f := range s.Failures[:min(3, len(s.Failures))] {
		b.WriteString("; " + strings.TrimSpace(f.String()))
	}
	return b.String()
}

// chart notes when the answers of a lap came. The laps of an asker begin and end anywhere in a beat.
func (c *clients) chart(since time.Duration, r *load.Result) {
	for i, in := range r.Series {
		from, to := since+in.Start, since+in.Start+beat
		if i+1 < len(r.Series) {
			to = min(to, since+r.Series[i+1].Start)
		} else {
			to = min(to, since+r.Series[0].Start+r.Elapsed)
		}
		for at := from; at < to; {
			n := int(at / beat)
			for len(c.beats) <= n {
				c.beats = append(c.beats, Moment{At: time.Duration(len(c.beats)) * beat})
			}
			next := min(to, time.Duration(n+1)*beat)
			part := float64(next-at) / float64(to-from)
			c.beats[n].Right += part * float64(in.Requests-in.Failed)
			c.beats[n].Wrong += part * float64(in.Failed)
			at = next
		}
	}
}

// requests ask for each of the files.
func requests(files ...site.File) (list []load.Request) {
	for _, f := range files {
		list = append(list, load.Request{Path: f.Path, Length: f.Size, Sum: f.Sum})
	}
	return list
}

// once runs a load of its own, from the same machine, until its own end.
func (c *clients) once(ctx context.Context, cfg load.Config) (r *load.Result, err error) {
	if cfg.Count == 0 && cfg.Duration == 0 {
		return nil, errors.New("a load of its own needs an end")
	}
	cfg.Interval = beat
	g, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	since := c.running()
	err = c.from.Do(func() error {
		r, err = g.Run(ctx)
		return err
	})
	if err == nil {
		c.chart(since, r)
	}
	return r, err
}
