package packet

import (
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

// limit is how long a flow of that protocol and state may be idle.
func (t Timeouts) limit(proto uint8, state uint8) time.Duration {
	switch {
	case Proto(proto) != TCP:
		return t.UDP
	case state == uint8(directorFlowStateSYN_SEEN):
		return t.SYN
	case state == uint8(directorFlowStateESTABLISHED):
		return t.Established
	}
	return t.Closing
}

// limitOf is how long a flow may be idle. The caller holds mu.
func (f *Forwarder) limitOf(k *directorFlowKey, v *directorFlow) time.Duration {
	limits := f.defaults.Timeouts
	if int(v.Service) < len(f.serviceAt) && f.serviceAt[v.Service] != nil {
		limits = f.serviceAt[v.Service].Timeouts
	}
	return limits.limit(k.Proto, v.State)
}

// over says whether a flow has been idle for as long as it may. With nat, what the node sends counts too. The caller
// holds mu.
func (f *Forwarder) over(k *directorFlowKey, v *directorFlow, now uint64) bool {
	limit := f.limitOf(k, v)
	if v.idle(now) < limit {
		return false
	}
	if back, ok := f.replyKey(k, v); ok {
		if r, ok := f.known(&back); ok {
			return r.idle(now) >= limit
		}
	}
	return true
}

// orphan says whether what a nat node sends belongs to no flow any more: the kernel may have dropped that for want of
// room. One that has just begun may not have its other half yet. The caller holds mu.
func (f *Forwarder) orphan(k *directorFlowKey, v *directorFlow, now uint64) bool {
	if v.idle(now) < time.Second || int(v.Front) >= len(f.frontAt) {
		return false
	}
	fr := f.frontAt[v.Front]
	if fr == nil {
		return true
	}
	forth := directorFlowKey{Proto: k.Proto, Sport: k.Dport, Dport: networkOrder(fr.Port)}
	forth.Src.W, forth.Dst.W = k.Dst.W, toWire(fr.VIP)
	if fr.Port == 0 {
		forth.Dport = k.Sport
	}
	_, ok := f.known(&forth)
	return !ok
}

// known finds a flow in either map.
func (f *Forwarder) known(k *directorFlowKey) (v directorFlow, ok bool) {
	if f.kernel.directorMaps.Flows.Lookup(k, &v) == nil {
		return v, true
	}
	return v, f.kernel.firsts.Lookup(k, &v) == nil
}

// replyKey is what the node of a nat flow sends. The caller holds mu.
func (f *Forwarder) replyKey(k *directorFlowKey, v *directorFlow) (back directorFlowKey, ok bool) {
	if int(v.Node) >= len(f.nodes) || int(v.Front) >= len(f.frontAt) {
		return back, false
	}
	n, fr := f.nodes[v.Node], f.frontAt[v.Front]
	if n == nil || fr == nil || n.service.Dispatch != cluster.NAT {
		return back, false
	}
	back = directorFlowKey{Proto: k.Proto, Dport: k.Sport, Sport: n.wire.Port}
	back.Src.W, back.Dst.W = n.wire.Addr.W, k.Src.W
	if back.Sport == 0 || fr.Port == 0 {
		back.Sport = k.Dport
	}
	return back, true
}

// end takes a flow out of the map, unless a packet of it has come since seen, and what belongs to it. It returns the flow
// as it was at its end. The caller holds mu.
func (f *Forwarder) end(m flowMap, k *directorFlowKey, seen uint64) (v directorFlow, ended bool) {
	if err := m.LookupAndDelete(k, &v); err != nil {
		return v, false // the kernel was faster
	}
	if v.Seen > seen {
		if m.Update(k, &v, ebpf.UpdateNoExist) == nil { // it lives
			return v, false
		}
	}
	if v.counted() {
		if v.Node < mostNodes {
			f.kernel.addActive(v.Node, -1)
		}
		f.tellEnded(k, &v)
	}
	if back, ok := f.replyKey(k, &v); ok && !v.reply() {
		_ = f.kernel.directorMaps.Flows.Delete(&back) // it is in one of the two, or in none
		_ = f.kernel.firsts.Delete(&back)
	}
	return v, true
}

// tellEnded passes a flow on to Happened. As the program does, it tells once of each flow that was established.
func (f *Forwarder) tellEnded(k *directorFlowKey, v *directorFlow) {
	if f.cfg.Happened == nil {
		return
	}
	if flow, ok := f.flowOf(k, v, ktime()); ok {
		select {
		case f.ended <- flow:
		default:
			f.count.lost.Add(1)
		}
	}
}

// active is how many flows the kernel counts for a node.
func (k *kernel) active(node uint32) int64 { return atomic.LoadInt64(&k.live[node]) }

func (k *kernel) addActive(node uint32, n int64) { atomic.AddInt64(&k.live[node], n) }

func (k *kernel) setActive(node uint32, n int64) { atomic.StoreInt64(&k.live[node], n) }
