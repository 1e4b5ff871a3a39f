package packet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

// pickOf has the schedules by what they mean to the kernel.
var pickOf = map[string]directorPick{
	"rr": directorPickBY_TURN, "wrr": directorPickBY_TURN, "has": directorPickBY_TURN, "load": directorPickBY_TURN,
	"sh": directorPickBY_SOURCE, "mh": directorPickBY_FLOW,
	"random": directorPickBY_CHANCE, "p2c": directorPickLESS_OF_TWO,
	"lc": directorPickLEAST, "wlc": directorPickLEAST,
}

// SetTable has new flows of a service follow the table, from one packet to the next. Flows that there are keep their
// nodes, also those that the table does not name, but for those that are Gone: see Lost. The nodes' Live.Active is kept up
// to date, and their Live.Limit kept to. An error leaves the table that was.
func (f *Forwarder) SetTable(service string, t *cluster.Table) error {
	began := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return errClosed
	}
	s := f.services[service]
	if s == nil {
		return fmt.Errorf("table for service %s: %w: there is no such service", service, ErrConflict)
	}
	pick := s.pick
	m, err := f.prepare(s, t)
	if err != nil {
		return fmt.Errorf("table for service %s: %w", service, err)
	}
	if f.running {
		f.next(s, m)
	} else if err := f.swapNow(s, m); err != nil {
		return fmt.Errorf("table for service %s: %w", service, err)
	}
	if s.pick != pick {
		var list []wanted
		for _, s := range f.order {
			list = append(list, wanted{s, s.Service})
		}
		if err := f.writeEntries(entriesOf(list, f.fronts)); err != nil {
			return fmt.Errorf("schedule %s for service %s: %w", t.Schedule, service, err)
		}
	}
	f.swaps++
	f.swapTook = time.Since(began)
	return nil
}

// prepare makes the table a service's, but for the swap itself. New nodes are in place before the table names them; what the
// table says of nodes that there are is true before a flow goes by it.
func (f *Forwarder) prepare(s *service, t *cluster.Table) (m *ebpf.Map, err error) {
	pick, ok := pickOf[t.Schedule]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: the kernel does not know schedule %q", ErrConflict, t.Schedule)
	case len(t.Shares) > mostMembers:
		return nil, fmt.Errorf("%w: it has %d nodes; there is room for %d", ErrFull, len(t.Shares), mostMembers)
	case len(t.Slots) > mostSlots:
		return nil, fmt.Errorf("%w: it has %d slots; there is room for %d", ErrFull, len(t.Slots), mostSlots)
	}
	var added []*node
	defer func() {
		if err != nil {
			for _, n := range added {
				f.freeNode(n)
			}
		}
	}()
	list := make([]*node, len(t.Shares))
	for i, share := range t.Shares {
		at := seat{share.Node, share.Addr}
		if list[i] = s.members[at]; list[i] == nil {
			if list[i], err = f.newNode(s, at); err != nil {
				return nil, err
			}
			added = append(added, list[i])
		}
	}
	if m, err = f.newTable(list, t, pick); err != nil {
		return nil, err
	}
	for i, share := range t.Shares {
		if err := f.describe(list[i], share.Gone, limitOf(share.Live)); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	if len(added) > 0 {
		f.kick(f.look)
	}
	s.table, s.pick = t, pick
	named := make(map[*node]bool, len(list))
	for i, n := range list {
		n.live, n.weight, n.retired, n.quiet = t.Shares[i].Live, t.Shares[i].Weight, false, 0
		named[n] = true
	}
	for _, n := range s.members {
		if !named[n] {
			n.live, n.weight, n.retired = nil, 0, true
		}
	}
	return m, nil
}

// swapNow has the kernel follow a table. It returns when no packet is under way that saw the one before, which takes the
// kernel some milliseconds.
func (f *Forwarder) swapNow(s *service, m *ebpf.Map) error {
	defer m.Close() // the kernel keeps what it follows
	if err := f.kernel.Tables.Put(s.place, m); err != nil {
		return fmt.Errorf("write map %s: %w", directorMapTables, err)
	}
	return nil
}

// next has swapTables swap a table. A newer one replaces one that is still waiting.
func (f *Forwarder) next(s *service, m *ebpf.Map) {
	if old := f.pending[s]; old != nil {
		_ = old.Close() // nobody has seen it
	}
	f.pending[s] = m
	f.kick(f.swap)
}

// swapTables swaps tables while the Forwarder runs, all that are waiting at once: nobody else waits for the kernel to see the
// last packets off that go by the old ones.
func (f *Forwarder) swapTables(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			f.mu.Lock()
			f.running = false
			f.mu.Unlock()
			return f.swapPending() // what is pinned follows the newest
		case <-f.swap:
		}
		if err := f.swapPending(); err != nil {
			return err
		}
	}
}

func (f *Forwarder) swapPending() error {
	f.swapping.Lock()
	defer f.swapping.Unlock()
	f.mu.Lock()
	var places, tables []uint32
	maps := f.pending
	f.pending = map[*service]*ebpf.Map{}
	for s, m := range maps {
		if f.serviceAt[s.place] == s {
			places, tables = append(places, s.place), append(tables, uint32(m.FD()))
		}
	}
	f.mu.Unlock()
	defer func() {
		for _, m := range maps {
			_ = m.Close() // the kernel keeps what it follows
		}
	}()
	if len(places) == 0 {
		return nil
	}
	if _, err := f.kernel.Tables.BatchUpdate(places, tables, nil); err != nil {
		return fmt.Errorf("swap %d share tables: write map %s: %w", len(places), directorMapTables, err)
	}
	return nil
}

// describe tells the kernel what has changed of a node.
func (f *Forwarder) describe(n *node, gone bool, limit uint32) error {
	w := n.wire
	w.Limit = limit
	setFlag(&w, directorNodeFlagN_GONE, gone)
	setFlag(&w, directorNodeFlagN_LOCAL, f.own[n.at.Addr()])
	news := gone && !n.has(directorNodeFlagN_GONE)
	if err := f.write(n, w); err != nil {
		return err
	}
	if news {
		f.tellClients(n)
	}
	return nil
}

// write makes a node what it is to be.
func (f *Forwarder) write(n *node, w directorNode) error {
	if w == n.wire {
		return nil
	}
	if err := f.kernel.Nodes.Put(n.place, w); err != nil {
		return fmt.Errorf("node %s: write map %s: %w", n.name, directorMapNodes, err)
	}
	n.wire = w
	return nil
}

func setFlag(w *directorNode, flag directorNodeFlag, on bool) {
	w.Flags &^= uint16(flag)
	if on {
		w.Flags |= uint16(flag)
	}
}

// newTable makes a share table in the kernel.
func (f *Forwarder) newTable(list []*node, t *cluster.Table, pick directorPick) (*ebpf.Map, error) {
	v := &f.scratch
	v.Members = uint32(len(list))
	for i, n := range list {
		v.Member[i] = directorMember{Node: n.place, Weight: t.Shares[i].Weight}
	}
	v.Slots = uint32(copy(v.Slot[:], t.Slots))
	if pick == directorPickLEAST { // it has no slots of its own: one for each node that takes new flows
		v.Slots = 0
		for i := range list {
			if t.Shares[i].Weight > 0 {
				v.Slot[v.Slots] = uint16(i)
				v.Slots++
			}
		}
	}
	for _, i := range v.Slot[:v.Slots] {
		if int(i) >= len(list) {
			return nil, fmt.Errorf("%w: a slot belongs to node %d of %d", ErrConflict, i, len(list))
		}
	}
	m, err := ebpf.NewMap(f.kernel.inner)
	if err != nil {
		return nil, refused("make a share table", err)
	}
	if err := m.Put(uint32(0), v); err != nil {
		_ = m.Close() // the first error says it
		return nil, fmt.Errorf("write a share table: %w", err)
	}
	return m, nil
}
