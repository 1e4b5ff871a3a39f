package load

import "time"

// An average follows a value smoothly; the first value it takes as it is.
type average struct {
	value float64
	set   bool
}

func (a *average) take(v, weight float64) {
	if !a.set {
		a.value, a.set = v, true
		return
	}
	a.value += weight * (v - a.value)
}

// A counter turns a count of microseconds into the part of the time that they are.
type counter struct {
	average
	last uint64
	seen bool
}

func (c *counter) take(us uint64, ok bool, dt time.Duration, weight float64) {
	if !ok {
		*c = counter{}
		return
	}
	if c.seen && us >= c.last {
		c.average.take(min(1, float64(us-c.last)/float64(dt.Microseconds())), weight)
	}
	c.last, c.seen = us, true
}

// A ratio turns two counts, of which one is part of the other, into the part.
type ratio struct {
	average
	part, whole uint64
	seen        bool
}

func (r *ratio) take(part, whole uint64, ok bool, weight float64) {
	if !ok {
		*r = ratio{}
		return
	}
	// The kernel's counts of idle time may step back a little.
	if r.seen && whole > r.whole && part >= r.part {
		r.average.take(min(1, float64(part-r.part)/float64(whole-r.whole)), weight)
	}
	r.part, r.whole, r.seen = part, whole, true
}
