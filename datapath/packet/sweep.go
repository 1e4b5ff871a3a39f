package packet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

const (
	sweepEvery = 100 * time.Millisecond // waking up is most of what an idle director costs
	sweepSteps = 100                    // a full map takes so many: ten seconds
)

// A broom goes through a map of flows, some at a time.
type broom struct {
	m      flowMap
	cursor ebpf.MapBatchCursor // flows
	bucket int                 // unconfirmed: the next one
	keys   []directorFlowKey
	values []directorFlow
	all    int                  // found on this way through
	states [len(stateNames)]int // the same by state, what nat nodes send aside
}

func newBroom(m flowMap, size int) *broom {
	return &broom{m: m, keys: make([]directorFlowKey, size), values: make([]directorFlow, size)}
}

// next reads some more, and says whether these are the last.
func (b *broom) next() (n int, last bool, err error) {
	if t, ok := b.m.(*firsts); ok {
		n, last = t.read(&b.bucket, b.keys, b.values)
		return n, last, nil
	}
	n, err = b.m.(*ebpf.Map).BatchLookup(&b.cursor, b.keys, b.values, nil)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return n, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read %s: %w", b.m, err)
	}
	return n, false, nil
}

func (b *broom) restart() {
	b.cursor, b.bucket, b.all, b.states = ebpf.MapBatchCursor{}, 0, 0, [len(stateNames)]int{}
}

// A tally is what a sweep finds of each node, beside what the kernel counts.
type tally struct {
	counted []int64    // flows that node_live ought to have
	any     []bool     // it has flows, of whatever kind
	before  []int64    // node_live when the sweep began
	off     [][3]int64 // by how much node_live was off after the last sweeps
	sweeps  int
}

func newTally() *tally {
	return &tally{counted: make([]int64, mostNodes), any: make([]bool, mostNodes), before: make([]int64, mostNodes), off: make([][3]int64, mostNodes)}
}

// fill is what the last sweep found.
type fill struct {
	flows, unconfirmed int
	states             [len(stateNames)]int
}

// sweep forgets flows that have been idle for too long, at a pace that costs little, and keeps the nodes' Live up to date.
func (f *Forwarder) sweep(ctx context.Context) error {
	step := time.NewTicker(sweepEvery)
	defer step.Stop()
	// First packets are looked at first: one that is followed by a second meanwhile is seen in the other map.
	var brooms []*broom
	for _, m := range []flowMap{f.kernel.firsts, f.kernel.directorMaps.Flows} {
		brooms = append(brooms, newBroom(m, stepOf(m)))
	}
	t := newTally()
	f.beginSweep(brooms, t)
	at := 0
	var rest time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-step.C:
		}
		f.keepLive()
		if time.Now().Before(rest) {
			continue
		}
		last, err := f.sweepStep(brooms[at], t)
		switch {
		case err != nil:
			f.log.Error("flows cannot be swept", "error", err)
			at, rest = 0, time.Now().Add(time.Second)
			f.beginSweep(brooms, t)
		case last && at+1 < len(brooms):
			at++
		case last:
			f.endSweep(brooms, t)
			at, rest = 0, time.Now().Add(time.Second) // small maps are soon swept, and not again at once
			f.beginSweep(brooms, t)
		}
	}
}

// stepOf is how many flows of a map are looked at in one step; less than one of the kernel's buckets may hold would be
// refused.
func stepOf(m flowMap) int { return max(int(m.MaxEntries())/sweepSteps, 512) }

func (f *Forwarder) beginSweep(brooms []*broom, t *tally) {
	for _, b := range brooms {
		b.restart()
	}
	clear(t.counted)
	clear(t.any)
	for i := range t.before {
		t.before[i] = f.kernel.active(uint32(i))
	}
}

// sweepStep looks at some flows.
func (f *Forwarder) sweepStep(b *broom, t *tally) (last bool, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, last, err := b.next()
	if err != nil {
		return false, err
	}
	now := ktime()
	for i := range n {
		k, v := &b.keys[i], &b.values[i]
		if v.reply() {
			if f.orphan(k, v, now) {
				f.end(b.m, k, v.Seen)
				continue
			}
		} else if f.over(k, v, now) {
			if _, ended := f.end(b.m, k, v.Seen); ended {
				f.count.expired.Add(1)
			}
			continue
		} else {
			b.states[min(int(v.State), len(stateNames)-1)]++
		}
		b.all++
		if v.Node < mostNodes {
			t.any[v.Node] = true
			if v.counted() {
				t.counted[v.Node]++
			}
		}
	}
	return last, nil
}

// endSweep makes use of what a sweep has found.
func (f *Forwarder) endSweep(brooms []*broom, t *tally) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, flows := brooms[0], brooms[1]
	f.fill = fill{flows: flows.all, unconfirmed: first.all, states: flows.states}
	for i, n := range first.states {
		f.fill.states[i] += n
	}
	for _, n := range f.nodes {
		if n == nil {
			continue
		}
		f.mend(n.place, t)
		switch {
		case !n.retired || t.any[n.place] || n.service.table == nil: // without a table of ours, new flows go by the last process's
			n.quiet = 0
		case n.quiet == 0:
			n.quiet++
		default: // not one flow in two sweeps, and it gets none
			f.freeNode(n)
			f.log.Info("node has no flows any more", "service", n.service.Name, "node", n.name)
		}
	}
	t.sweeps++
}

// mend corrects node_live where flows that it counts are not there: the kernel drops the oldest ones for want of room, and
// says so to nobody. While a sweep takes its time flows come and go, so a sweep alone proves nothing; but three that are
// off to the same side by some number or more do prove that number.
func (f *Forwarder) mend(place uint32, t *tally) {
	off := (t.before[place]+f.kernel.active(place))/2 - t.counted[place]
	last := &t.off[place]
	last[t.sweeps%len(last)] = off
	var by int64
	switch {
	case t.sweeps+1 < len(last):
	case min(last[0], last[1], last[2]) > 0:
		by = min(last[0], last[1], last[2])
	case max(last[0], last[1], last[2]) < 0:
		by = max(last[0], last[1], last[2])
	}
	if by == 0 {
		return
	}
	f.kernel.addActive(place, -by)
	for i := range last {
		last[i] -= by
	}
	if by > 0 {
		f.count.mended.Add(uint64(by))
	}
}

// keepLive tells the control path how many flows each node has, and the kernel how many it may have.
func (f *Forwarder) keepLive() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, n := range f.nodes {
		if n == nil || n.live == nil {
			continue
		}
		if active := max(f.kernel.active(n.place), 0); n.live.Active.Load() != active {
			n.live.Active.Store(active)
		}
		if limitOf(n.live) != n.wire.Limit {
			f.kick(f.look) // which writes it
		}
	}
}

// limitOf is a node's limit as the kernel has it.
func limitOf(l *cluster.Live) uint32 { return uint32(max(min(l.Limit.Load(), 1<<32-1), 0)) }
