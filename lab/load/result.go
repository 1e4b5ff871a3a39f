package load

import (
	"fmt"
	"maps"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Kind is what became of a failed request, as its client saw it.
type Kind uint8

// The kinds of failure.
const (
	Refused        Kind = iota // nobody listens there
	Unreachable                // the connection could not be made, for another reason
	ConnectTimeout             // the connection was not made in time
	Closed                     // the connection ended before a byte of the answer
	Reset                      // the connection was reset
	Truncated                  // the connection ended in the middle of the answer
	Timeout                    // the answer, or its next byte, did not come in time
	Malformed                  // the answer broke the rules of HTTP/1.1
	BadStatus                  // another status than expected
	WrongLength                // another length than expected
	WrongBody                  // other bytes than expected
	Unsent                     // open loop: due, and no client was free before the run was over
	kinds
)

var kindNames = [kinds]string{
	"refused", "unreachable", "connect-timeout", "closed", "reset", "truncated", "timeout", "malformed", "bad-status",
	"wrong-length", "wrong-body", "unsent",
}

func (k Kind) String() string { return kindNames[k] }

// MarshalText gives the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Result is what the clients saw in a run, or in a lap of one.
type Result struct {
	Elapsed   time.Duration
	Requests  int64 // that ended, well or not
	Failed    int64
	Errors    map[Kind]int64
	Bytes     int64            // of the bodies of all answers
	Connects  int64            // connections made
	Nodes     map[string]int64 // successes by who answered: X-Muster-Node, else Server
	Gap       time.Duration    // longest gap over all clients; see the package
	ClientGap time.Duration    // longest gap that one client saw
	Series    []Interval
	Failures  []Failure               // the first few
	Latency   *hdrhistogram.Histogram // of the successes, in nanoseconds, to three digits
}

// An Interval is a piece of a run. When a run has more than 4,096 they are joined in pairs.
type Interval struct {
	Start    time.Duration // since the run began
	Requests int64
	Failed   int64
	Bytes    int64
	Slowest  time.Duration // of the successes
}

// A Failure is one failed request.
type Failure struct {
	At     time.Duration // since the run began
	Kind   Kind
	Target string
	Path   string
	Text   string // what exactly, where the kind does not say it
}

func (f Failure) String() string {
	s := fmt.Sprintf("%8.3fs %s %s%s", f.At.Seconds(), f.Kind, f.Target, f.Path)
	if f.Text != "" {
		s += ": " + f.Text
	}
	return s
}

const (
	failuresMax = 16
	seriesMax   = 4096
	latencyMax  = int64(10 * time.Minute)
)

func newResult() *Result {
	return &Result{Errors: map[Kind]int64{}, Nodes: map[string]int64{}, Latency: hdrhistogram.New(1000, latencyMax, 3)}
}

// Broken is how many requests lost their connection before the answer was whole.
func (r *Result) Broken() int64 { return r.Errors[Closed] + r.Errors[Reset] + r.Errors[Truncated] }

// Rate is how many requests a second succeeded.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests-r.Failed) / r.Elapsed.Seconds()
}

// Percentile is the time within which the given part of the successes, 0 to 100, had their answer.
func (r *Result) Percentile(p float64) time.Duration {
	return time.Duration(r.Latency.ValueAtPercentile(p))
}

// merge adds a lap to what came before it.
func (r *Result) merge(lap *Result) {
	r.Elapsed += lap.Elapsed
	r.Requests += lap.Requests
	r.Failed += lap.Failed
	r.Bytes += lap.Bytes
	r.Connects += lap.Connects
	for k, n := range lap.Errors {
		r.Errors[k] += n
	}
	for k, n := range lap.Nodes {
		r.Nodes[k] += n
	}
	r.Gap = max(r.Gap, lap.Gap)
	r.ClientGap = max(r.ClientGap, lap.ClientGap)
	if r.Series = append(r.Series, lap.Series...); len(r.Series) > seriesMax {
		r.Series = join(r.Series)
	}
	r.Failures = append(r.Failures, lap.Failures[:min(len(lap.Failures), failuresMax-len(r.Failures))]...)
	r.Latency.Merge(lap.Latency)
}

func (r *Result) clone() *Result {
	c := *r
	c.Errors, c.Nodes = maps.Clone(r.Errors), maps.Clone(r.Nodes)
	c.Latency = r.Latency.Clone()
	return &c
}

// A gap measures the longest time in which a request was due and none succeeded.
type gap struct {
	since int64 // when the gap that is open began; 0 when no request is due
	last  int64 // success
}

// due says that a request is due since then.
func (g *gap) due(at int64) {
	if g.since == 0 {
		g.since = max(at, g.last)
	}
}

// end ends the gap, and returns how long it was. More says that other requests are due.
func (g *gap) end(now int64, more bool) time.Duration {
	d := g.now(now)
	g.since, g.last = 0, now
	if more {
		g.since = now
	}
	return d
}

// now is how long the gap has been open.
func (g *gap) now(now int64) time.Duration {
	if g.since == 0 {
		return 0
	}
	return time.Duration(now - g.since)
}
