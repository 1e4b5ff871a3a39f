package loop

import (
	"testing"

	"pgregory.net/rapid"
)

const ms = int64(1e6)

// still is a loop whose time is the test's.
func still(now int64) *Loop {
	l := &Loop{now: now}
	l.wheel.init(now)
	return l
}

func (l *Loop) pass(to int64) {
	l.now = to
	l.wheel.advance(to)
}

func TestTimer(t *testing.T) {
	for _, c := range []struct {
		name  string
		after int64
	}{
		{"at once", 0},
		{"a nanosecond", 1},
		{"less than a tick", 7 * ms},
		{"a tick", tick},
		{"a second", 1000 * ms},
		{"a turn of the wheel", spokes * tick},
		{"a turn and a tick", (spokes + 1) * tick},
		{"an hour", 3600_000 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			const start = 12345678901
			l := still(start)
			fired := 0
			var tm Timer
			tm.Init(l, func() { fired++ })
			tm.Set(c.after)
			if !tm.IsSet() || tm.Due() < start+c.after {
				t.Errorf("set %v, due %d", tm.IsSet(), tm.Due())
			}
			for now := int64(start); now < start+c.after; now += 3 * ms {
				if l.pass(now); fired > 0 {
					t.Fatalf("fired %d ns early", start+c.after-now)
				}
			}
			l.pass(start + c.after + tick + 1)
			if fired != 1 || tm.IsSet() {
				t.Errorf("fired %d times, still set: %v", fired, tm.IsSet())
			}
			l.pass(start + c.after + 3*spokes*tick)
			if fired != 1 {
				t.Errorf("fired again")
			}
		})
	}
}

func TestTimerIsReset(t *testing.T) {
	l := still(1)
	fired := 0
	var tm Timer
	tm.Init(l, func() { fired++ })
	tm.Set(1000 * ms)
	for now := int64(1); now < 20_000*ms; now += 500 * ms { // as an idle time-out is by each request
		if l.pass(now); fired > 0 {
			t.Fatalf("fired at %d though it was set later", now)
		}
		tm.Set(1000 * ms)
	}
	tm.Set(10 * ms) // earlier than it stands
	l.pass(l.now + 10*ms + tick)
	if fired != 1 {
		t.Errorf("set earlier: fired %d times", fired)
	}
	tm.Set(10 * ms)
	tm.Stop()
	tm.Stop()
	l.pass(l.now + 1000*ms)
	if fired != 1 || tm.IsSet() {
		t.Errorf("stopped: fired %d times, set %v", fired, tm.IsSet())
	}
}

func TestTimerInItsOwnCallback(t *testing.T) {
	l := still(1)
	var a, b Timer
	var order []string
	a.Init(l, func() {
		order = append(order, "a")
		b.Stop() // of the same spoke
		a.Set(100 * ms)
	})
	b.Init(l, func() { order = append(order, "b") })
	a.Set(50 * ms)
	b.Set(50 * ms)
	l.pass(60 * ms)
	l.pass(120 * ms)
	l.pass(200 * ms)
	if len(order) != 2 || order[0] != "a" || order[1] != "a" {
		t.Errorf("got %v, want a a", order)
	}
}

// A loop that slept for longer than a turn of the wheel, as a stopped process does, fires all that is due at once.
func TestLongSleep(t *testing.T) {
	for more := range int64(4) {
		l := still(1)
		fired := 0
		timers := make([]Timer, spokes)
		for i := range timers {
			timers[i].Init(l, func() { fired++ })
			timers[i].Set(int64(i) * tick)
		}
		if l.pass((spokes + more) * tick); fired != spokes {
			t.Errorf("after %d ticks: %d of %d fired", spokes+more, fired, spokes)
		}
	}
}

// Whatever is set, reset and stopped, and however long the loop sleeps: no timer fires before its time, nor more than a
// tick after the loop could have looked; and a loop that sleeps as long as it may misses none.
func TestTimersAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(1, 1<<40).Draw(t, "start")
		l := still(now)
		type model struct {
			Timer
			due int64
		}
		timers := make([]*model, 8)
		for i := range timers {
			m := &model{}
			m.Init(l, func() {
				if m.due == 0 || l.now < m.due {
					t.Fatalf("timer %d fired at %d, due at %d", i, l.now, m.due)
				}
				m.due = 0
			})
			timers[i] = m
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m := timers[rapid.IntRange(0, len(timers)-1).Draw(t, "timer")]
			switch rapid.IntRange(0, 4).Draw(t, "deed") {
			case 0, 1:
				after := rapid.OneOf(rapid.Int64Range(0, 50*ms), rapid.Int64Range(0, 40_000*ms)).Draw(t, "after")
				m.Set(after)
				m.due = now + max(after, 1)
			case 2:
				m.Stop()
				m.due = 0
			case 3:
				now += rapid.OneOf(rapid.Int64Range(0, 50*ms), rapid.Int64Range(0, 40_000*ms)).Draw(t, "pass")
				l.pass(now)
			case 4:
				if wait := l.wheel.sleep(now); wait >= 0 {
					now += int64(wait) * ms
					l.pass(now)
				}
			}
			first := int64(-1)
			for i, m := range timers {
				if m.due != 0 && m.due <= now/tick*tick {
					t.Fatalf("timer %d, due at %d, has not fired at %d", i, m.due, now)
				}
				if m.due != 0 && (first < 0 || m.due < first) {
					first = m.due
				}
			}
			switch wait := l.wheel.sleep(now); {
			case first >= 0 && wait < 0:
				t.Fatalf("the loop would sleep for ever, and a timer is due at %d", first)
			case first >= 0 && now+int64(wait)*ms > max(first+tick, now)+ms:
				t.Fatalf("at %d the loop would sleep %d ms, and a timer is due at %d", now, wait, first)
			}
		}
	})
}
