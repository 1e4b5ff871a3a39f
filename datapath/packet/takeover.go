package packet

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

// takeOver learns from pinned maps what the process before this one had: which place stands for what. The program goes on
// by them meanwhile. What the first Apply and the first tables do not name is over then.
func (f *Forwarder) takeOver() error {
	book, err := readBook(f.kernel.book)
	if err != nil {
		return err
	}
	for k, e := range book {
		if k.Kind == bookService && f.servicePlaces.mark(k.Place) {
			f.serviceAt[k.Place] = &service{Service: Service{Name: e.text()}.withDefaults(), place: k.Place, pick: directorPickBY_TURN, members: map[seat]*node{}}
		}
	}
	if err := f.takeFronts(); err != nil {
		return err
	}
	for _, s := range f.serviceAt {
		if s != nil {
			f.services[s.Name] = s
			f.order = append(f.order, s)
		}
	}
	for k, e := range book {
		switch {
		case k.Kind == bookNode && e.Number < uint64(len(f.serviceAt)) && f.serviceAt[e.Number] != nil && f.nodePlaces.mark(k.Place):
			n := &node{seat: seat{e.text(), e.at()}, place: k.Place, service: f.serviceAt[e.Number], retired: true}
			if err := f.kernel.Nodes.Lookup(k.Place, &n.wire); err != nil {
				return fmt.Errorf("read map %s: %w", directorMapNodes, err)
			}
			f.nodes[k.Place] = n
			n.service.members[n.seat] = n
		case k.Kind == bookNeighbour:
			h := hop{int(e.Number), e.at().Addr()}
			f.kept[k.Place], f.hops[h] = h, ""
		}
	}
	return f.takeSources()
}

// takeFronts reads the entries of `services`, and what they say of their services.
func (f *Forwarder) takeFronts() error {
	var k directorFront
	var e directorService
	all := f.kernel.Services.Iterate()
	for all.Next(&k, &e) {
		if e.Id >= uint32(len(f.serviceAt)) || e.Front >= mostFronts {
			continue
		}
		s := f.serviceAt[e.Id]
		if s == nil { // its process ended in the middle of a change
			f.servicePlaces.mark(e.Id)
			s = &service{Service: Service{Name: fmt.Sprintf("(place %d)", e.Id)}.withDefaults(), place: e.Id, members: map[seat]*node{}}
			f.serviceAt[e.Id] = s
		}
		f.entries[k] = e
		if k.Whole == 1 {
			continue
		}
		f.frontPlaces.mark(e.Front)
		fr := &front{frontOf(k), e.Front, s}
		f.fronts[fr.Front], f.frontAt[e.Front] = fr, fr
		s.Fronts = append(s.Fronts, fr.Front)
		s.pick, s.Lost = directorPick(e.Pick), Lost(e.Lost)
		s.Timeouts = Timeouts{inSeconds(e.Syn), inSeconds(e.Established), inSeconds(e.Closing), inSeconds(e.Udp)}
		switch directorDispatch(e.Dispatch) {
		case directorDispatchDR:
			s.Dispatch = cluster.DR
		case directorDispatchNAT:
			s.Dispatch = cluster.NAT
		default:
			s.Dispatch = cluster.Tunnel
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", directorMapServices, err)
	}
	return nil
}

func inSeconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

func (f *Forwarder) takeSources() error {
	var k directorSourceKey
	var v uint32
	all := f.kernel.Sources.Iterate()
	for all.Next(&k, &v) {
		f.sources[k] = v
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("read map %s: %w", directorMapSources, err)
	}
	return nil
}

// An oldSet is a pinned set of maps that cannot be used: they have another layout, or other bounds. The old program goes
// on with them until the new one has what it needs; then the flows are copied.
type oldSet struct {
	flows, unconfirmed *ebpf.Map
	book               map[bookKey]bookEntry
	keys, values       []span
	fresh              uint64 // ktime: flows that have been quiet since have been copied
}

func newOldSet(set int, named map[string]*ebpf.Map, book map[bookKey]bookEntry) (o *oldSet, err error) {
	o = &oldSet{book: book}
	field := func(place uint32, ours any) []span {
		e := book[bookKey{bookFields, place}]
		return spans(e.text(), fields(ours))
	}
	o.keys, o.values = field(0, directorFlowKey{}), field(1, directorFlow{})
	for _, m := range []struct {
		name string
		to   **ebpf.Map
	}{{directorMapFlows, &o.flows}, {directorMapUnconfirmed, &o.unconfirmed}} {
		if named[m.name] == nil {
			continue // nothing to copy
		}
		if *m.to, err = named[m.name].Clone(); err != nil {
			return nil, errors.Join(fmt.Errorf("open map %s of set %d: %w", m.name, set, err), o.close())
		}
	}
	return o, nil
}

func (o *oldSet) close() error {
	if o == nil {
		return nil
	}
	var errs []error
	for _, m := range []*ebpf.Map{o.flows, o.unconfirmed} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// waitForTables lets the old program go on until all services have tables for the new one, but not for long.
func (f *Forwarder) waitForTables(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	for f.waiting() {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			f.log.Warn("not all services have nodes, and the program is replaced all the same")
			return
		case <-tick.C:
		}
	}
}

func (f *Forwarder) waiting() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.old == nil {
		return false
	}
	for _, s := range f.order {
		if s.table == nil {
			return true
		}
	}
	return len(f.order) == 0
}

// copyOld copies the flows that have had a packet since it was last called. The caller holds mu.
func (f *Forwarder) copyOld() error {
	since := f.old.fresh
	f.old.fresh = ktime() - uint64(time.Second) // the program's clock is a little behind
	var n int
	for _, each := range []func(func(*directorFlowKey, *directorFlow)) error{f.old.eachFirst, f.old.each} {
		err := each(func(k *directorFlowKey, v *directorFlow) {
			if v.Seen < since || v.reply() {
				return
			}
			if flow, ok := f.old.flowOf(k, v); ok {
				if s := f.services[flow.Service]; s != nil && s.members[seat{flow.Node, flow.At}] == nil {
					f.retiredNode(s, seat{flow.Node, flow.At})
				}
				if ok, err := f.insert(flow); ok && err == nil { // one that does not fit begins anew
					n++
				}
			}
		})
		if err != nil {
			return err
		}
	}
	f.log.Info("flows have been copied", "flows", n)
	return nil
}

// retiredNode adds a node that the table does not name, for the flows that it has. If there is no room, they are lost.
func (f *Forwarder) retiredNode(s *service, at seat) {
	n, err := f.newNode(s, at)
	if err != nil {
		f.log.Error("node keeps no flows", "service", s.Name, "node", at.name, "error", err)
		return
	}
	n.retired = true
}

// each reads flows of another layout.
func (o *oldSet) each(do func(*directorFlowKey, *directorFlow)) error {
	m := o.flows
	if m == nil {
		return nil
	}
	slice := func(size uint32) reflect.Value {
		t := reflect.SliceOf(reflect.ArrayOf(int(size), reflect.TypeFor[byte]()))
		return reflect.MakeSlice(t, 4096, 4096)
	}
	keys, values := slice(m.KeySize()), slice(m.ValueSize())
	for cursor := (ebpf.MapBatchCursor{}); ; {
		n, err := m.BatchLookup(&cursor, keys.Interface(), values.Interface(), nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read %s: %w", m, err)
		}
		for i := range n {
			var k directorFlowKey
			var v directorFlow
			convert(o.keys, keys.Index(i).Slice(0, int(m.KeySize())).Bytes(), memoryOf(&k))
			convert(o.values, values.Index(i).Slice(0, int(m.ValueSize())).Bytes(), memoryOf(&v))
			do(&k, &v)
		}
		if err != nil {
			return nil
		}
	}
}

// eachFirst reads first packets of another layout. The program may be writing them: one that is half another one leads to
// no flow, or to one that ends soon.
func (o *oldSet) eachFirst(do func(*directorFlowKey, *directorFlow)) error {
	m, e := o.unconfirmed, o.book[bookKey{bookFields, 2}]
	theirs, size := described(e.text()), int(e.Number)
	key := theirs["key"]
	if m == nil || m.Type() != ebpf.Array || size == 0 || key.at+key.size > size {
		return nil // handshakes that are under way begin anew
	}
	same := spans(e.text(), fields(directorFirst{}))
	bucket := make([]byte, m.ValueSize())
	for i := range m.MaxEntries() {
		if err := m.Lookup(i, bucket); err != nil {
			return fmt.Errorf("read %s: %w", m, err)
		}
		for b := bucket; len(b) >= size; b = b[size:] {
			var f directorFirst
			convert(same, b[:size], memoryOf(&f))
			convert(o.keys, b[key.at:key.at+key.size], memoryOf(&f.Key))
			if f.Tag > busy {
				do(&f.Key, &directorFlow{Seen: f.Seen, Node: f.Node, Front: f.Front, Service: f.Service, State: f.State, Flags: f.Flags})
			}
		}
	}
	return nil
}

// flowOf names what a flow of the old maps is about.
func (o *oldSet) flowOf(k *directorFlowKey, v *directorFlow) (Flow, bool) {
	service, ok := o.book[bookKey{bookService, uint32(v.Service)}]
	node, ok2 := o.book[bookKey{bookNode, v.Node}]
	if !ok || !ok2 {
		return Flow{}, false
	}
	return Flow{
		Service: service.text(), Node: node.text(), At: node.at(), Proto: Proto(k.Proto), Client: k.from(), VIP: k.to(),
		State: FlowState(v.State), Ack: v.Ack, Idle: v.idle(ktime()),
	}, true
}

// replaceOld ends the old maps' time. The caller holds mu, and the ports run the new program.
func (f *Forwarder) replaceOld() error {
	if err := f.copyOld(); err != nil { // what came while the ports were changing over
		return err
	}
	if err := f.pins.keep(f.kernel); err != nil {
		return err
	}
	err := f.old.close()
	f.old = nil
	return err
}
