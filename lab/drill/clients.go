package drill

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"muster/lab/load"
	"muster/lab/site"
)

const (
	keptRate  = 300 // requests a second on connections that are kept
	freshRate = 60  // and on new ones
	slowMany  = 4   // slow clients of each rate
)

// slowRates are the bytes a second that slow clients take. They differ, so that downloads begin all the time.
var slowRates = []int{2 << 20, 3 << 20}

// clients are those who ask, all through the drill.
type clients struct {
	quick, slow []*load.Generator
	all         errgroup.Group
}

// newClients returns clients of three kinds: with a connection that is kept, with one for each request, and slow ones,
// whose download of the large file outlasts whole steps.
func newClients(at netip.AddrPort, tree *site.Tree, large site.File) (*clients, error) {
	var every []load.Request
	for _, f := range tree.Files {
		every = append(every, load.Request{Path: f.Path, Length: f.Size, Sum: f.Sum})
	}
	download := []load.Request{{Path: large.Path, Length: large.Size, Sum: large.Sum}}
	c := &clients{}
	var errs []error
	add := func(list *[]*load.Generator, cfg load.Config) {
		cfg.Targets = []netip.AddrPort{at}
		g, err := load.New(cfg)
		*list, errs = append(*list, g), append(errs, err)
	}
	add(&c.quick, load.Config{Requests: every, Connections: 32, Rate: keptRate, Seed: 1})
	add(&c.quick, load.Config{Requests: every, Connections: 16, Rate: freshRate, Close: true, Seed: 2})
	for _, rate := range slowRates {
		add(&c.slow, load.Config{Requests: download, Connections: slowMany, ReadRate: rate})
	}
	return c, errors.Join(errs...)
}

func (c *clients) each() []*load.Generator { return slices.Concat(c.quick, c.slow) }

// start has them ask until stop.
func (c *clients) start(ctx context.Context) {
	for _, g := range c.each() {
		c.all.Go(func() error {
			_, err := g.Run(ctx)
			return err
		})
	}
}

// stop lets them finish what they have begun.
func (c *clients) stop() error {
	for _, g := range c.each() {
		g.Stop()
	}
	return c.all.Wait()
}

// lap is what they saw since the last one.
func (c *clients) lap(name string) Step {
	s := Step{Name: name, Errors: map[string]int64{}}
	times := hdrhistogram.New(1000, int64(10*time.Minute), 3)
	for i, g := range c.each() {
		r := g.Lap()
		s.Requests += r.Requests
		s.Failed += r.Failed
		for k, n := range r.Errors {
			s.Errors[k.String()] += n
			if broken(k) {
				s.Broken += n
			}
		}
		s.failures = append(s.failures, r.Failures...)
		if i < len(c.quick) {
			s.LongestGap = max(s.LongestGap, ms(r.Gap), ms(r.ClientGap))
			times.Merge(r.Latency)
		}
	}
	s.Median = ms(time.Duration(times.ValueAtPercentile(50)))
	s.Slow = ms(time.Duration(times.ValueAtPercentile(99)))
	return s
}

// broken says whether a failure is an answer that was cut in the middle, or that had other bytes.
func broken(k load.Kind) bool {
	switch k {
	case load.Reset, load.Truncated, load.Malformed, load.WrongLength, load.WrongBody:
		return true
	}
	return false
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
