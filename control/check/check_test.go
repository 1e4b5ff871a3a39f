package check

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStreak(t *testing.T) {
	for _, test := range []struct {
		name       string
		rise, fall int
		in, want   string // + success or up, - failure or down
	}{
		{"the first success decides", 3, 3, "+", "+"},
		{"the first failure decides", 3, 3, "-", "-"},
		{"one failure of two", 2, 2, "+-+-+", "+++++"},
		{"two failures of two", 2, 2, "+--", "++-"},
		{"back after two", 2, 2, "--+-++", "-----+"},
		{"at once", 1, 1, "+-+-", "+-+-"},
		{"slow to fall, quick to rise", 1, 3, "+--+---+", "++++++-+"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := streak{rise: test.rise, fall: test.fall}
			got := ""
			for _, r := range test.in {
				if s.add(r == '+') {
					got += "+"
				} else {
					got += "-"
				}
			}
			if got != test.want {
				t.Errorf("%s gives %s, want %s", test.in, got, test.want)
			}
		})
	}
}

var target = netip.MustParseAddrPort("127.0.0.1:80")

// begin runs a check, in a bubble, whose probes end as answer says; it returns the verdicts that it tells of.
func begin(t *testing.T, cfg Config, answer func(context.Context) error) (*Check, chan Result) {
	t.Helper()
	results := make(chan Result, 10)
	c, err := New(cfg, target, slog.New(slog.DiscardHandler), func(r Result) { results <- r })
	if err != nil {
		t.Fatal(err)
	}
	c.probe = answer
	go func() {
		if err := c.Run(t.Context()); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return c, results
}

func TestNothingIsKnownAtFirst(t *testing.T) {
	c, err := New(Config{}, target, slog.New(slog.DiscardHandler), func(Result) {})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Status(), (Result{Reason: "not checked yet"}); got != want {
		t.Errorf("status before the first probe %+v, want %+v", got, want)
	}
}

func TestVerdictsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{nil, errors.New("a"), nil, errors.New("a"), errors.New("a"), errors.New("b"), errors.New("b"), nil, nil, nil}
		n := 0
		_, results := begin(t, Config{}, func(ctx context.Context) error {
			if n++; n > len(answers) {
				<-ctx.Done()
				return ctx.Err()
			}
			return answers[n-1]
		})
		var got []string
		for range 4 {
			r := <-results
			if r.Since.IsZero() {
				t.Errorf("%+v has no since", r)
			}
			got = append(got, map[bool]string{true: "up", false: "down"}[r.Up]+" "+r.Reason)
		}
		if d := cmp.Diff([]string{"up ", "down a", "down b", "up "}, got); d != "" {
			t.Errorf("verdicts (-want +got):\n%s", d)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes, verdicts := make(chan time.Time), make(chan error)
		begin(t, Config{Interval: time.Second, Fall: 1, Rise: 1}, func(context.Context) error {
			probes <- time.Now()
			return <-verdicts
		})
		down := errors.New("no")
		last := <-probes
		for _, step := range []struct {
			verdict   error
			low, high time.Duration // until the next probe
		}{
			{nil, 875 * time.Millisecond, time.Second},
			{nil, 875 * time.Millisecond, time.Second},
			{down, 218 * time.Millisecond, 250 * time.Millisecond},
			{down, 218 * time.Millisecond, 250 * time.Millisecond},
			{nil, 875 * time.Millisecond, time.Second},
		} {
			verdicts <- step.verdict
			next := <-probes
			if gap := next.Sub(last); gap < step.low || gap > step.high {
				t.Errorf("after %v the next probe came in %v, want %v to %v", step.verdict, gap, step.low, step.high)
			}
			last = next
		}
		verdicts <- nil
	})
}

// An application that starts is found as soon as it answers, and nobody is told that it did not before.
func TestStartingIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, ready := time.Now(), 90*time.Millisecond
		var probes atomic.Int64
		c, results := begin(t, Config{}, func(context.Context) error {
			if probes.Add(1); time.Since(start) < ready {
				return errors.New("connection refused")
			}
			return nil
		})
		time.Sleep(time.Millisecond)
		if got, want := c.Status(), (Result{Reason: "it is starting"}); got != want {
			t.Errorf("status while it starts %+v, want %+v", got, want)
		}
		r := <-results
		if after := time.Since(start); !r.Up || after < ready || after > 100*time.Millisecond || probes.Load() != 4 {
			t.Errorf("first told of %+v after %v and %d probes, want it up within 100ms, by the fourth", r, after, probes.Load())
		}
		time.Sleep(10 * time.Second)
		if n := probes.Load(); n > 4+12 {
			t.Errorf("%d probes in ten seconds, want no more than one a second once it is up", n)
		}
	})
}

func TestStartingHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var probes atomic.Int64
		_, results := begin(t, Config{}, func(context.Context) error {
			probes.Add(1)
			return errors.New("connection refused")
		})
		r := <-results
		if after := time.Since(start); r.Up || r.Reason != "connection refused" || after < grace || after > grace+250*time.Millisecond {
			t.Errorf("told of %+v after %v, want it down within 250ms of the grace", r, after)
		}
		if n := probes.Swap(0); n > 12 {
			t.Errorf("%d probes in the first second, want them to grow rarer", n)
		}
		time.Sleep(10 * time.Second)
		if n := probes.Load(); n > 47 {
			t.Errorf("%d probes in ten seconds, want four a second", n)
		}
	})
}

func TestPauseIsNeverLongerThanTheInterval(t *testing.T) {
	c := &Check{cfg: Config{Interval: 50 * time.Millisecond}, target: target}
	c.result.Store(&Result{})
	seen := map[time.Duration]bool{}
	for n := range uint64(100) {
		d := c.pause(n)
		if again := c.pause(n); again != d {
			t.Errorf("pause %d is %v, and then %v", n, d, again)
		}
		if d > 50*time.Millisecond || d < 43*time.Millisecond {
			t.Errorf("pause %d is %v, want at most the interval and at least 7/8 of it", n, d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different pauses of 100, want them spread", len(seen))
	}
}

func TestProbeNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes, end := make(chan time.Time), make(chan bool)
		c, _ := begin(t, Config{Interval: time.Hour}, func(context.Context) error {
			probes <- time.Now()
			<-end
			return nil
		})
		first := <-probes
		c.Probe()
		c.Probe() // both are one
		end <- true
		second := <-probes
		end <- true
		third := <-probes
		end <- true
		if second != first || third.Sub(second) < 50*time.Minute {
			t.Errorf("probed %v and %v after the first, want at once and after the interval", second.Sub(first), third.Sub(first))
		}
	})
}

func TestHangingProbeEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, results := begin(t, Config{Timeout: 300 * time.Millisecond}, func(ctx context.Context) error {
			<-ctx.Done()
			return explain(ctx.Err(), target, 300*time.Millisecond)
		})
		r := <-results
		if r.Up || r.Reason != "no answer within 300ms" || r.Took != 300*time.Millisecond {
			t.Errorf("got %+v, want down after 300ms", r)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{Kind: "icmp"}, `"icmp" is no kind of check; one of [tcp http https exec]`},
		{Config{Kind: Exec}, "check of 127.0.0.1:80: no command is given to run"},
		{Config{Kind: HTTP, Path: "x"}, `check of 127.0.0.1:80: the path "x" must begin with /`},
		{Config{Kind: HTTP, Method: "GE T"}, `check of 127.0.0.1:80: net/http: invalid method "GE T"`},
		{Config{Kind: HTTPS, CAFile: "/no/ca.pem"}, "check of 127.0.0.1:80: read the CA file: open /no/ca.pem: no such file or directory"},
		{Config{Kind: HTTPS, CAFile: "check.go"}, "check of 127.0.0.1:80: the CA file check.go holds no certificate in PEM"},
	} {
		_, err := New(test.cfg, target, slog.New(slog.DiscardHandler), func(Result) {})
		if err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
