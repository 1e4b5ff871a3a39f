package packet

import (
	"context"
	"time"
)

// What is to be ended at once, and not when its time is up.
type todo struct {
	fronts   map[uint32]bool // by place: those that services have given up
	denied   map[uint32]bool // services, by place, whose source lists have changed
	gone     map[uint32]bool // nodes, by place, whose flows are to be reset
	services []*service      // those that are dispatched no more
}

func newTodo() todo {
	return todo{fronts: map[uint32]bool{}, denied: map[uint32]bool{}, gone: map[uint32]bool{}}
}

func (t *todo) empty() bool {
	return len(t.fronts)+len(t.denied)+len(t.gone)+len(t.services) == 0
}

// mostResets is how many resets are sent in one resetEvery.
const (
	mostResets = 1000
	resetEvery = 20 * time.Millisecond
)

// purgeFlows ends flows that have become impossible: of services and fronts that are no more, of sources that are denied
// now, of nodes that are gone.
func (f *Forwarder) purgeFlows(ctx context.Context) error {
	f.resetGone()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.purge:
		}
		f.mu.Lock()
		work := f.todo
		f.todo = newTodo()
		f.mu.Unlock()
		if work.empty() {
			continue
		}
		if err := f.purgeOnce(ctx, work); err != nil {
			f.log.Error("flows cannot be ended", "error", err)
			f.again(work)
			select { // it is tried again, and not without a pause
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	}
}

// resetGone begins anew what another process may have left undone.
func (f *Forwarder) resetGone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.nodes {
		if n != nil && n.has(directorNodeFlagN_GONE) && n.service.Lost == Reset {
			f.todo.gone[n.place] = true
			f.kick(f.purge)
		}
	}
}

// again puts back work that could not be done.
func (f *Forwarder) again(work todo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for place := range work.fronts {
		f.todo.fronts[place] = true
	}
	for place := range work.denied {
		f.todo.denied[place] = true
	}
	for place := range work.gone {
		f.todo.gone[place] = true
	}
	f.todo.services = append(f.todo.services, work.services...)
	f.kick(f.purge)
}

// A lost flow is one that ends with a reset to its client.
type lostFlow struct {
	m    flowMap
	key  directorFlowKey
	seen uint64
}

// purgeOnce goes through all flows once.
func (f *Forwarder) purgeOnce(ctx context.Context, work todo) error {
	judges := map[uint32]*judge{}
	f.mu.RLock()
	for place := range work.denied {
		if s := f.serviceAt[place]; s != nil {
			judges[place] = newJudge(s.Service)
		}
	}
	f.mu.RUnlock()
	var lost []lostFlow
	for _, m := range []flowMap{f.kernel.firsts, f.kernel.directorMaps.Flows} {
		b := newBroom(m, 4096)
		for last := false; !last; {
			if ctx.Err() != nil {
				return nil
			}
			var err error
			if last, err = f.purgeStep(b, work, judges, &lost); err != nil {
				return err
			}
		}
	}
	if err := f.resetAll(ctx, lost); err != nil {
		return err
	}
	f.swapping.Lock()
	defer f.swapping.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for place := range work.fronts {
		f.frontAt[place] = nil
		f.frontPlaces.release(place)
	}
	for _, s := range work.services {
		f.freeService(s)
	}
	return nil
}

func (f *Forwarder) purgeStep(b *broom, work todo, judges map[uint32]*judge, lost *[]lostFlow) (last bool, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, last, err := b.next()
	if err != nil {
		return false, err
	}
	for i := range n {
		k, v := &b.keys[i], &b.values[i]
		over := work.fronts[v.Front]
		if j := judges[uint32(v.Service)]; j != nil && !over && !v.reply() {
			over = !j.admits(fromWire(k.Src.W))
		}
		switch {
		case over:
			f.end(b.m, k, 1<<64-1) // also if a packet has just come
		case work.gone[v.Node] && !v.reply() && Proto(k.Proto) == TCP:
			*lost = append(*lost, lostFlow{b.m, *k, v.Seen})
		}
	}
	return last, nil
}

// resetAll tells the clients of lost flows that these have ended. Each is taken out of its map when its turn comes, so one
// whose client speaks first has its reset from the kernel.
func (f *Forwarder) resetAll(ctx context.Context, lost []lostFlow) error {
	if len(lost) == 0 {
		return nil
	}
	r, err := newResetter()
	if err != nil {
		return err
	}
	defer r.close()
	tick := time.NewTicker(resetEvery)
	defer tick.Stop()
	sent := 0
	for len(lost) > 0 {
		now := lost[:min(mostResets, len(lost))]
		lost = lost[len(now):]
		f.mu.RLock()
		for _, l := range now {
			v, ended := f.end(l.m, &l.key, 1<<64-1)
			if !ended || v.Ack == 0 && v.State == uint8(directorFlowStateSYN_SEEN) {
				continue // a client that has heard nothing yet asks again by itself
			}
			if err := r.send(l.key.to(), l.key.from(), v.Ack); err == nil {
				sent++
			}
		}
		f.mu.RUnlock()
		if len(lost) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	f.count.resets.Add(uint64(sent))
	f.log.Info("flows of nodes that are gone have been reset", "flows", sent)
	return nil
}
