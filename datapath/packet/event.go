package packet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
)

// mostEvents is how many are passed on at a time.
const mostEvents = 1024

// listen passes on what the program tells, and what user space has ended.
func (f *Forwarder) listen(ctx context.Context) error {
	r, err := ringbuf.NewReader(f.kernel.directorMaps.Events)
	if err != nil {
		return fmt.Errorf("read map %s: %w", directorMapEvents, err)
	}
	defer r.Close()
	stop := context.AfterFunc(ctx, func() { _ = r.Close() }) // it only wakes Read
	defer stop()
	var record ringbuf.Record
	asked := map[netip.Addr]time.Time{}
	patience := time.Second
	if f.cfg.Happened != nil {
		patience = 100 * time.Millisecond // for what user space has ended
	}
	for {
		r.SetDeadline(time.Now().Add(patience))
		err := r.ReadInto(&record)
		var list []Event
		for err == nil {
			if e, ok := decodeEvent(record.RawSample); ok {
				list = f.hear(e, list, asked)
			}
			if record.Remaining == 0 || len(list) >= mostEvents {
				break
			}
			err = r.ReadInto(&record)
		}
		list = f.takeEnded(list)
		if len(list) > 0 {
			f.cfg.Happened(list)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		default:
			return fmt.Errorf("read map %s: %w", directorMapEvents, err)
		}
	}
}

// hear adds what one event says to the list, or does what it asks for.
func (f *Forwarder) hear(e directorEvent, list []Event, asked map[netip.Addr]time.Time) []Event {
	if e.Kind == uint32(directorEventKindE_NO_NEIGHBOUR) {
		to, now := e.Key.to().Addr(), time.Now()
		if now.Sub(asked[to]) > 100*time.Millisecond {
			if len(asked) > 4096 {
				clear(asked)
			}
			asked[to] = now
			f.resolve(to)
		}
		return list
	}
	kind, ok := eventKinds[directorEventKind(e.Kind)]
	if !ok || f.cfg.Happened == nil || e.Flow.reply() {
		return list
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	flow, ok := f.flowOf(&e.Key, &e.Flow, ktime())
	if !ok {
		return list
	}
	return append(list, Event{kind, flow})
}

var eventKinds = map[directorEventKind]EventKind{
	directorEventKindE_NEW: Began, directorEventKindE_ESTABLISHED: Confirmed, directorEventKindE_CLOSED: Ended,
}

// takeEnded adds the flows that user space has ended.
func (f *Forwarder) takeEnded(list []Event) []Event {
	for len(list) < 2*mostEvents {
		select {
		case flow := <-f.ended:
			list = append(list, Event{Ended, flow})
		default:
			return list
		}
	}
	return list
}

// decodeEvent reads one event as the program writes it.
func decodeEvent(b []byte) (e directorEvent, ok bool) {
	to := memoryOf(&e)
	if len(b) < len(to) {
		return e, false
	}
	copy(to, b)
	return e, true
}

// flowOf is a flow as the rest of the program calls it. The caller holds mu.
func (f *Forwarder) flowOf(k *directorFlowKey, v *directorFlow, now uint64) (Flow, bool) {
	flow := Flow{
		Proto: Proto(k.Proto), Client: k.from(), VIP: k.to(), State: FlowState(v.State), Ack: v.Ack, Idle: v.idle(now),
	}
	if int(v.Service) >= len(f.serviceAt) || int(v.Node) >= len(f.nodes) || v.State == 0 || int(v.State) >= len(stateNames) {
		return flow, false
	}
	s, n := f.serviceAt[v.Service], f.nodes[v.Node]
	if s == nil || n == nil {
		return flow, false
	}
	flow.Service, flow.Node, flow.At = s.Name, n.name, n.at
	return flow, true
}
