package packet

import (
	"context"
	"maps"
	"time"
)

// What is to be ended at once, and not when its time is up.
type todo struct {
	fronts   map[uint32]bool // by place: those that services have given up
	denied   map[uint32]bool // services, by place, whose source lists have changed
	gone     map[uint32]int  // nodes, by place, whose clients are to be told, and how often yet
	services []*service      // those that are dispatched no more
}

func newTodo() todo {
	return todo{fronts: map[uint32]bool{}, denied: map[uint32]bool{}, gone: map[uint32]int{}}
}

func (t *todo) empty() bool {
	return len(t.fronts)+len(t.denied)+len(t.gone)+len(t.services) == 0
}

// mostResets is how many resets are sent in one resetEvery, and questions.
const (
	mostResets = 1000
	resetEvery = 20 * time.Millisecond
)

// Clients of flows that are to move are asked so often, and so long apart: a question may be lost.
const (
	askTimes = 3
	askEvery = time.Second
)

// purgeFlows ends flows that have become impossible: of services and fronts that are no more, of sources that are denied
// now, of nodes that are gone.
func (f *Forwarder) purgeFlows(ctx context.Context) error {
	f.lookForGone()
	later := map[uint32]int{}
	again := time.NewTicker(askEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			if len(later) == 0 {
				continue
			}
			f.mu.Lock()
			maps.Copy(f.todo.gone, later)
			f.mu.Unlock()
			clear(later)
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
			continue
		}
		for place, times := range work.gone {
			if times > 1 {
				later[place] = times - 1
			}
		}
	}
}

// lookForGone begins anew what another process may have left undone.
func (f *Forwarder) lookForGone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.nodes {
		if n != nil && n.has(directorNodeFlagN_GONE) {
			f.tellClients(n)
		}
	}
}

// tellClients has the clients of a node that is gone told so.
func (f *Forwarder) tellClients(n *node) {
	f.todo.gone[n.place] = askTimes
	if n.service.Lost == Reset {
		f.todo.gone[n.place] = 1
	}
	f.kick(f.purge)
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
	maps.Copy(f.todo.gone, work.gone)
	f.todo.services = append(f.todo.services, work.services...)
	f.kick(f.purge)
}

// A lost flow is one whose node is gone. It ends with a reset to its client; or it moves, once its client says something.
type lostFlow struct {
	m     flowMap
	key   directorFlowKey
	ack   uint32 // what the client expects next
	moves bool
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
	if err := f.tellAll(ctx, lost); err != nil {
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
		case work.gone[v.Node] > 0 && !v.reply() && Proto(k.Proto) == TCP:
			if n := f.nodes[v.Node]; n != nil && n.has(directorNodeFlagN_GONE) {
				*lost = append(*lost, lostFlow{b.m, *k, v.Ack, n.service.Lost == Move})
			}
		}
	}
	return last, nil
}

// tellAll tells the clients of lost flows that these have ended, or asks them to say something, so that they move. A flow
// that ends is taken out of its map when its turn comes, so one whose client speaks first has its reset from the kernel.
func (f *Forwarder) tellAll(ctx context.Context, lost []lostFlow) error {
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
	resets, questions := 0, 0
	for len(lost) > 0 {
		now := lost[:min(mostResets, len(lost))]
		lost = lost[len(now):]
		f.mu.RLock()
		for _, l := range now {
			switch ended := f.tell(r, l); {
			case !ended:
			case l.moves:
				questions++
			default:
				resets++
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
	f.count.resets.Add(uint64(resets))
	f.log.Info("clients of nodes that are gone were told", "reset", resets, "asked", questions)
	return nil
}

// tell tells one client, and says whether it did. One that has heard nothing yet asks again by itself.
func (f *Forwarder) tell(r *resetter, l lostFlow) bool {
	if l.moves {
		return l.ack != 0 && r.ask(l.key.to(), l.key.from(), l.ack) == nil
	}
	v, ended := f.end(l.m, &l.key, 1<<64-1)
	if !ended || v.Ack == 0 && v.State == uint8(directorFlowStateSYN_SEEN) {
		return false
	}
	return r.send(l.key.to(), l.key.from(), v.Ack) == nil
}
