package packet

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

// Flows calls yield for each flow that is not Unconfirmed, until it returns false. Flows that come or go meanwhile may be
// missing, or come twice.
func (f *Forwarder) Flows(yield func(Flow) bool) {
	f.mu.RLock()
	k := f.kernel
	f.mu.RUnlock()
	if k == nil {
		return
	}
	b := newBroom(k.directorMaps.Flows, 4096)
	list := make([]Flow, 0, 4096)
	for last := false; !last; {
		if list, last = f.readFlows(b, list[:0]); last && len(list) == 0 {
			return
		}
		for _, flow := range list {
			if !yield(flow) {
				return
			}
		}
	}
}

// readFlows reads some flows, with nothing locked when they are passed on.
func (f *Forwarder) readFlows(b *broom, list []Flow) ([]Flow, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.kernel == nil {
		return list, true
	}
	n, last, err := b.next()
	if err != nil {
		return list, true
	}
	now := ktime()
	for i := range n {
		if b.values[i].reply() {
			continue
		}
		if flow, ok := f.flowOf(&b.keys[i], &b.values[i], now); ok {
			list = append(list, flow)
		}
	}
	return list, last
}

// Insert adds flows that another director has, as far as they fit what is here: their services and nodes by name. It
// returns how many it added; a flow that is known already, and newer, stays as it is.
func (f *Forwarder) Insert(flows []Flow) (added int, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.kernel == nil {
		return 0, errClosed
	}
	for _, flow := range flows {
		ok, err := f.insert(flow)
		if err != nil {
			return added, err
		}
		if ok {
			added++
		}
	}
	return added, nil
}

// insert adds a flow. The caller holds mu.
func (f *Forwarder) insert(flow Flow) (bool, error) {
	s := f.services[flow.Service]
	if s == nil {
		return false, nil
	}
	n := s.members[seat{flow.Node, flow.At}]
	fr := f.fronts[Front{flow.VIP.Addr(), flow.VIP.Port(), flow.Proto}]
	if fr == nil {
		fr = f.fronts[Front{flow.VIP.Addr(), 0, flow.Proto}]
	}
	if n == nil || fr == nil || fr.service != s || !plain(flow.Client.Addr()) || flow.State == 0 || flow.State > Closed {
		return false, nil
	}
	k := flowKey(flow.Proto, flow.Client, flow.VIP)
	v := directorFlow{Node: n.place, Front: fr.place, Ack: flow.Ack, Service: uint16(s.place), State: uint8(flow.State)}
	if now := ktime(); uint64(max(flow.Idle, 0)) < now {
		v.Seen = now - uint64(max(flow.Idle, 0))
	}
	var m flowMap = f.kernel.directorMaps.Flows
	switch flow.State {
	case Unconfirmed:
		m = f.kernel.firsts
	case Established:
		v.Flags = uint8(directorFlowFlagF_COUNTED)
	case Closing:
		v.Flags = uint8(directorFlowFlagF_FIN)
	}
	if old, ok := f.known(&k); ok {
		if old.Seen >= v.Seen {
			return false, nil
		}
		f.end(f.kernel.directorMaps.Flows, &k, 1<<64-1)
		f.end(f.kernel.firsts, &k, 1<<64-1)
	}
	if err := m.Update(k, v, ebpf.UpdateNoExist); err != nil {
		if errors.Is(err, ebpf.ErrKeyExist) { // a packet has just come
			return false, nil
		}
		return false, fmt.Errorf("write map %s: %w", m, err)
	}
	if v.counted() {
		f.kernel.addActive(n.place, 1)
	}
	if s.Dispatch == cluster.NAT {
		return true, f.insertReply(m, &k, v)
	}
	return true, nil
}

// insertReply adds the other half of a nat flow.
func (f *Forwarder) insertReply(m flowMap, k *directorFlowKey, v directorFlow) error {
	back, ok := f.replyKey(k, &v)
	if !ok {
		return nil
	}
	v.Flags = uint8(directorFlowFlagF_REPLY)
	if err := m.Put(back, v); err != nil {
		return fmt.Errorf("write map %s: %w", m, err)
	}
	return nil
}
