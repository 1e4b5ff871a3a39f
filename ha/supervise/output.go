package supervise

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

const (
	lineLimit  = 1024 // bytes of a line that are kept; the rest of it is dropped
	linesASec  = 20   // lines that are logged in the long run
	linesBurst = 100  // and at once
)

// An output keeps the last lines that an application printed and logs each, as far as the rate allows.
type output struct {
	log     *slog.Logger
	limiter *rate.Limiter

	mu      sync.Mutex
	ring    []string // of the last lines, from next on
	next    int
	partial []byte // of the line that has not ended yet
	leftOut int    // lines that were not logged
}

func newOutput(lines int, log *slog.Logger) *output {
	return &output{log: log, ring: make([]string, 0, lines), limiter: rate.NewLimiter(linesASec, linesBurst)}
}

// Write never fails: an application must not be stopped by what it prints.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		o.partial = append(o.partial, line[:min(len(line), lineLimit-len(o.partial))]...)
		if !ended {
			return n, nil
		}
		o.add()
		p = rest
	}
}

// flush takes a last line that has no end: the application is gone.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.add()
	}
	o.confess()
}

// confess logs how many lines were not logged.
func (o *output) confess() {
	if o.leftOut > 0 {
		o.log.Warn("application printed more than is logged", "left_out", o.leftOut)
		o.leftOut = 0
	}
}

func (o *output) add() {
	line := strings.ToValidUTF8(strings.TrimRight(string(o.partial), "\r"), "\uFFFD")
	o.partial = o.partial[:0]
	if len(o.ring) < cap(o.ring) {
		o.ring = append(o.ring, line)
	} else {
		o.ring[o.next] = line
		o.next = (o.next + 1) % len(o.ring)
	}
	if !o.limiter.Allow() {
		o.leftOut++
		return
	}
	o.confess()
	o.log.Info("application printed", "line", line)
}

// lines returns the last lines, the oldest first.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Concat(o.ring[o.next:], o.ring[:o.next])
}
