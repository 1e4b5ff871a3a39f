// Package check asks an application, again and again, whether it answers as it should (HAS: the application check of
// LDirectord).
//
// An application that has just been started does not listen yet: until its first success, or for a second, a failure says
// nothing, and it is probed after 20 ms, 30 ms, 45 ms and so on. The first success brings it up. After that second it
// takes Rise successes in a row to be up, and Fall failures in a row to be down again. An application that is down is
// probed four times as often as one that is up, so that it is back soon.
package check

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
)

// A Kind is how an application is asked.
type Kind string

// The kinds of check.
const (
	TCP   Kind = "tcp"   // it takes a connection
	HTTP  Kind = "http"  // it answers a request
	HTTPS Kind = "https" // it answers a request over TLS
	Exec  Kind = "exec"  // a program finds it well
)

// Kinds lists every kind of check.
func Kinds() []Kind { return []Kind{TCP, HTTP, HTTPS, Exec} }

// Config says how to ask and what to expect. The zero value asks for a TCP connection each second.
type Config struct {
	Kind Kind // empty means TCP

	// For http and https.
	Method  string            // empty means GET
	Path    string            // with its query; empty means /
	Host    string            // the Host field; empty means the target's address
	Headers map[string]string // further fields of the request
	Status  []Range           // what the status may be; none means 200-399
	Body    string            // must appear in the first 64 KiB of the body

	// For https.
	Verify     bool   // the certificate must be valid for ServerName
	ServerName string // empty means Host, or else the target's address
	CAFile     string // PEM file of who may have signed it; empty means whom the system trusts

	// For exec: exit status 0 means up, the last line that it prints is the reason. It finds the target in
	// MUSTER_ADDRESS and MUSTER_PORT.
	Command []string

	Interval time.Duration // from the start of one probe to the start of the next; 0 means 1s
	Timeout  time.Duration // for a whole probe; 0 means 500ms
	Rise     int           // successes in a row that bring it up; 0 means 2
	Fall     int           // failures in a row that take it down; 0 means 2
}

// A Range is the statuses from First to Last, both included.
type Range struct{ First, Last int }

func (r Range) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

func (c Config) withDefaults() Config {
	c.Kind = cmp.Or(c.Kind, TCP)
	c.Method = cmp.Or(c.Method, "GET")
	c.Path = cmp.Or(c.Path, "/")
	c.Interval = cmp.Or(c.Interval, time.Second)
	c.Timeout = cmp.Or(c.Timeout, 500*time.Millisecond)
	c.Rise = cmp.Or(c.Rise, 2)
	c.Fall = cmp.Or(c.Fall, 2)
	if len(c.Status) == 0 {
		c.Status = []Range{{200, 399}}
	}
	return c
}

// A Result is the verdict on an application.
type Result struct {
	Up     bool
	Reason string        // why it is not up; empty when it is
	Took   time.Duration // how long the last probe took
	Since  time.Time     // when it came up or went down; zero before the first probe
}

// A Check asks one application.
type Check struct {
	cfg     Config
	target  netip.AddrPort
	log     *slog.Logger
	changed func(Result)
	probe   func(context.Context) error // nil: it is well
	now     chan struct{}
	result  atomic.Pointer[Result]
}

// New returns a check of the application that listens at target. It calls changed, from the goroutine of Run, when the
// verdict changes, and when the reason does while the application is down. The file of trusted certificates is read
// here; an error names it.
func New(cfg Config, target netip.AddrPort, log *slog.Logger, changed func(Result)) (*Check, error) {
	c := &Check{cfg: cfg.withDefaults(), target: target, log: log, changed: changed, now: make(chan struct{}, 1)}
	var err error
	switch c.cfg.Kind {
	case TCP:
		c.probe = c.dial
	case HTTP, HTTPS:
		c.probe, err = newRequest(c.cfg, target)
	case Exec:
		c.probe, err = newCommand(c.cfg, target)
	default:
		err = fmt.Errorf("%q is no kind of check; one of %v", c.cfg.Kind, Kinds())
	}
	c.result.Store(&Result{Reason: "not checked yet"})
	return c, err
}

// Status returns the verdict as it is now.
func (c *Check) Status() Result { return *c.result.Load() }

// Probe asks the application now, whenever the next probe would be due: it has just been started again, say.
func (c *Check) Probe() {
	select {
	case c.now <- struct{}{}:
	default: // it will be asked anyway
	}
}

// Run probes the application until the context ends.
func (c *Check) Run(ctx context.Context) error {
	if c.cfg.Kind == Exec {
		runtime.LockOSThread() // for spawn.Start
		defer runtime.UnlockOSThread()
	}
	streak := streak{rise: c.cfg.Rise, fall: c.cfg.Fall}
	started, gap := time.Now(), eager
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-c.now:
		case <-timer.C:
		}
		begin := time.Now()
		probe, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		err := c.probe(probe)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !streak.begun && time.Since(started) < grace {
			c.result.Store(&Result{Reason: starting, Took: time.Since(begin)})
		} else {
			c.decide(streak.add(err == nil), err, time.Since(begin))
		}
		pause := c.pause(n)
		if err == nil {
			gap = c.cfg.Interval // it has started
		}
		pause, gap = min(pause, gap), min(gap+gap/2, c.cfg.Interval)
		timer.Reset(time.Until(begin.Add(pause)))
	}
}

// What is not up yet may be starting for so long. It is probed again after eager, and then each time half as long again.
const (
	grace    = time.Second
	eager    = 20 * time.Millisecond
	starting = "it is starting"
)

// decide keeps the verdict, and tells of it if it is new.
func (c *Check) decide(up bool, err error, took time.Duration) {
	old := c.Status()
	next := old
	next.Up, next.Took = up, took
	switch {
	case up:
		next.Reason = ""
	case err != nil:
		next.Reason = err.Error()
	}
	turned := old.Since.IsZero() || up != old.Up
	if turned {
		next.Since = time.Now()
	}
	c.result.Store(&next)
	switch {
	case turned && up:
		c.log.Info("application is up", "target", c.target, "took", took)
	case turned:
		c.log.Warn("application is down", "target", c.target, "reason", next.Reason)
	case next.Reason == old.Reason:
		return
	}
	c.changed(next)
}

// soonest is the least time between two probes of an application that is down, and not starting.
const soonest = 100 * time.Millisecond

// pause is the time from the start of the n-th probe to the start of the next. It is up to an eighth shorter than the
// interval, by a figure that follows from the target and n: nodes that were started together do not probe in step, and
// none takes longer than the interval to notice.
func (c *Check) pause(n uint64) time.Duration {
	d := c.cfg.Interval
	if !c.Status().Up {
		d = min(d, max(d/4, soonest))
	}
	h := fnv.New64a()
	fmt.Fprint(h, c.target, n)
	return d - time.Duration(float64(d)/8*float64(h.Sum64()>>11)/(1<<53))
}

// A streak turns single successes and failures into a verdict.
type streak struct {
	rise, fall int
	begun, up  bool
	n          int // results in a row against the verdict
}

func (s *streak) add(ok bool) (up bool) {
	switch {
	case !s.begun:
		s.begun, s.up = true, ok
	case ok == s.up:
		s.n = 0
	default:
		s.n++
		if s.up && s.n >= s.fall || !s.up && s.n >= s.rise {
			s.up, s.n = ok, 0
		}
	}
	return s.up
}
