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
	keptRate  = 300     // requests a second on connections that are kept
	freshRate = 60      // and on new ones
	slowRate  = 1 << 20 // bytes a second that a slow client takes
	slowMany  = 8       // slow clients
)

// clients are those who ask, all through the drill.
type clients struct {
	quick []*load.Generator
	slow  *load.Generator
	all   errgroup.Group
}

// newClients returns clients of three kinds: with a connection that is kept, with one for each request, and slow ones,
// whose download of the large file outlasts whole steps.
func newClients(at netip.AddrPort, tree *site.Tree, large site.File) (*clients, error) {
	var every []load.Request
	for _, f := range tree.Files {
		every = append(every, load.Request{Path: f.Path, Length: f.Size, Sum: f.Sum})
	}
	download := []load.Request{{Path: large.Path, Length: large.Size, Sum: large.Sum}}
	to := []netip.AddrPort{at}
	kept, err1 := load.New(load.Config{Targets: to, Requests: every, Connections: 32, Rate: keptRate, Seed: 1})
	fresh, err2 := load.New(load.Config{Targets: to, Requests: every, Connections: 16, Rate: freshRate, Close: true, Seed: 2})
	slow, err3 := load.New(load.Config{Targets: to, Requests: download, Connections: slowMany, ReadRate: slowRate})
	return &clients{quick: []*load.Generator{kept, fresh}, slow: slow}, errors.Join(err1, err2, err3)
}

func (c *clients) each() []*load.Generator { return append(slices.Clip(c.quick), c.slow) }

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
