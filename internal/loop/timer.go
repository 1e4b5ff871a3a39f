package loop

import "math/bits"

// tick is how finely a wheel divides time. A timer fires within a tick after its time, never before.
const (
	tick   = int64(8e6) // 8 ms
	spokes = 1024       // with them a turn of the wheel takes 8 s; what is due later goes round again
)

// A Timer calls a function on its loop's thread. Setting it later than it stands costs nothing: it is looked at again
// when its old place comes by. That is what every request of a connection does to its idle time-out.
type Timer struct {
	Fire func()

	due        int64 // 0: not set
	next, prev *Timer
	spoke      int32
	queued     bool
	loop       *Loop
}

// Init says which loop the timer is of, and what it does.
func (t *Timer) Init(l *Loop, fire func()) { t.loop, t.Fire = l, fire }

// Set has the timer fire ns nanoseconds after the loop's Now; an earlier setting is forgotten.
func (t *Timer) Set(ns int64) {
	t.due = t.loop.now + max(ns, 1)
	if t.queued {
		if t.loop.wheel.placed(t) <= t.due {
			return
		}
		t.loop.wheel.remove(t)
	}
	t.loop.wheel.insert(t)
}

// Stop has the timer not fire.
func (t *Timer) Stop() {
	t.due = 0
	if t.queued {
		t.loop.wheel.remove(t)
	}
}

// IsSet says whether the timer will fire.
func (t *Timer) IsSet() bool { return t.due != 0 }

// Due is when the timer fires, on the clock of Monotonic; 0 when it is not set.
func (t *Timer) Due() int64 { return t.due }

// wheel is a hashed timing wheel (Varghese and Lauck, 1987).
type wheel struct {
	at     int64         // the tick up to which all is done
	spoke  [spokes]Timer // heads of rings
	filled [spokes / 64]uint64
}

func (w *wheel) init(now int64) {
	w.at = now / tick
	for i := range w.spoke {
		h := &w.spoke[i]
		h.next, h.prev = h, h
	}
}

func (w *wheel) insert(t *Timer) {
	at := max((t.due+tick-1)/tick, w.at+1)
	at = min(at, w.at+spokes-1)
	i := at % spokes
	h := &w.spoke[i]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	t.spoke, t.queued = int32(i), true
	w.filled[i/64] |= 1 << (i % 64)
}

// placed is the time at which the timer's place comes by.
func (w *wheel) placed(t *Timer) int64 {
	ahead := (int64(t.spoke) - w.at%spokes + spokes) % spokes
	return (w.at + ahead) * tick
}

func (w *wheel) remove(t *Timer) {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev, t.queued = nil, nil, false
	if h := &w.spoke[t.spoke]; h.next == h {
		w.filled[t.spoke/64] &^= 1 << (t.spoke % 64)
	}
}

// advance fires what has become due.
func (w *wheel) advance(now int64) {
	to := now / tick
	if to-w.at > spokes {
		w.at = to - spokes // the loop slept longer than a turn: every spoke is due a look, and each is met once below
	}
	for w.at < to {
		w.at++
		i := w.at % spokes
		if w.filled[i/64]&(1<<(i%64)) == 0 {
			continue
		}
		h := &w.spoke[i]
		for n := h.next; n != h; n = h.next {
			w.remove(n)
			switch {
			case n.due == 0:
			case n.due <= now:
				n.due = 0
				n.Fire()
			default:
				w.insert(n)
			}
		}
	}
}

// sleep is how many milliseconds may pass before a spoke must be looked at; -1 means for ever.
func (w *wheel) sleep(now int64) int {
	first := int64(-1)
	for d := int64(1); d < spokes; {
		i := (w.at + d) % spokes
		word := w.filled[i/64] >> (i % 64)
		if word != 0 {
			first = w.at + d + int64(bits.TrailingZeros64(word))
			break
		}
		d += 64 - i%64
	}
	if first < 0 {
		return -1
	}
	return int(max(0, (first*tick-now+999_999)/1_000_000))
}
