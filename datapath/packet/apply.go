package packet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"muster/cluster"
)

var errClosed = errors.New("the forwarder is closed")

// A front in use, for one service. When it changes hands it gets another place, so that the place tells whose flow it is.
type front struct {
	Front
	place   uint32
	service *service
}

// Apply makes these the services. If any of them is wrong, or a table has no room, nothing changes. A service that stays
// keeps its table and its flows; one whose way of dispatch turns to or from NAT begins anew, with the same table. The
// flows of one that goes are forgotten. A new one drops what comes until it has a table.
func (f *Forwarder) Apply(services []Service) error {
	list := make([]Service, len(services))
	for i, s := range services {
		list[i] = s.withDefaults()
	}
	if err := check(list, f.cfg); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return errClosed
	}
	c := &change{f: f, fronts: map[Front]*front{}}
	if err := c.make(list); err != nil {
		for _, undo := range slices.Backward(c.undoing) {
			undo()
		}
		return err
	}
	c.finish()
	return nil
}

// A change is the way from some services to others. What it has done can be undone until it is finished.
type change struct {
	f       *Forwarder
	wanted  []wanted
	fronts  map[Front]*front
	sources map[directorSourceKey]uint32
	undoing []func() // in the order in which the steps were done
}

// wanted is what a service is to be.
type wanted struct {
	*service
	def Service
}

// make does it step by step. What a packet follows comes last, and all that it leads to is complete by then: tables, source
// lists, places of fronts; then the entries of `services`, one write each.
func (c *change) make(list []Service) error {
	f := c.f
	for _, def := range list {
		s, err := c.heir(def)
		if err != nil {
			return fmt.Errorf("service %s: %w", def.Name, err)
		}
		c.wanted = append(c.wanted, wanted{s, def})
		for _, fr := range def.Fronts {
			if err := c.place(fr, s); err != nil {
				return fmt.Errorf("service %s: %w", def.Name, err)
			}
		}
	}
	c.sources = sourcesOf(c.wanted)
	if err := f.addSources(c.sources); err != nil {
		return err
	}
	c.undoing = append(c.undoing, func() { f.restoreSources(c.sources) })
	return f.writeEntries(entriesOf(c.wanted, c.fronts))
}

// heir is the service that there is by that name, or a new one. Between nat and the others a flow cannot go on.
func (c *change) heir(def Service) (*service, error) {
	f := c.f
	old := f.services[def.Name]
	if old != nil && (old.Dispatch == cluster.NAT) == (def.Dispatch == cluster.NAT) {
		return old, nil
	}
	s, err := f.newService(def)
	if err != nil {
		return nil, err
	}
	c.undoing = append(c.undoing, func() { f.freeService(s) })
	if old == nil || old.table == nil {
		return s, nil
	}
	m, err := f.prepare(s, old.table)
	if err != nil {
		return nil, err
	}
	return s, f.swapNow(s, m)
}

// place finds a place for a front of a service: the one that it has.
func (c *change) place(fr Front, s *service) error {
	if old := c.f.fronts[fr]; old != nil && old.service == s {
		c.fronts[fr] = old
		return nil
	}
	place, err := c.f.frontPlaces.take()
	if err != nil {
		return err
	}
	c.undoing = append(c.undoing, func() { c.f.frontPlaces.release(place) })
	if err := c.f.kernel.Fronts.Put(place, directorEntrance{Front: frontKey(fr)}); err != nil {
		return fmt.Errorf("write map %s: %w", directorMapFronts, err)
	}
	c.fronts[fr] = &front{fr, place, s}
	return nil
}

// finish makes the new services those of the Forwarder, and notes what is over. Nothing can fail here.
func (c *change) finish() {
	f := c.f
	f.dropSources(c.sources)
	services := map[string]*service{}
	f.order = f.order[:0]
	for _, w := range c.wanted {
		f.order = append(f.order, w.service)
		if services[w.def.Name] = w.service; !sameLists(w.Service, w.def) {
			f.todo.denied[w.place] = true
		}
		w.Service = w.def
	}
	for name, s := range f.services {
		if services[name] != s {
			f.todo.services = append(f.todo.services, s)
		}
	}
	for fr, old := range f.fronts {
		if c.fronts[fr] != old {
			f.todo.fronts[old.place] = true
		} else {
			delete(c.fronts, fr)
		}
	}
	for fr, old := range c.fronts { // those that are new
		f.frontAt[old.place] = old
		f.fronts[fr] = old
	}
	for fr := range f.fronts {
		if _, stays := f.entries[frontKey(fr)]; !stays {
			delete(f.fronts, fr)
		}
	}
	f.services = services
	f.kick(f.purge)
	f.kick(f.look)
}

// entriesOf is what the map `services` is to hold.
func entriesOf(list []wanted, fronts map[Front]*front) map[directorFront]directorService {
	all := map[directorFront]directorService{}
	for _, w := range list {
		for _, fr := range w.def.Fronts {
			e := entryOf(w.service, w.def, fronts[fr].place)
			all[frontKey(fr)] = e
			if whole := wholeKey(fr); all[whole].Id == 0 { // the first service of the address
				all[whole] = e
			}
		}
	}
	return all
}

// entryOf is what the kernel knows of a service, under one of its fronts.
func entryOf(s *service, def Service, front uint32) directorService {
	e := directorService{
		Id: s.place, Front: front, Pick: uint8(s.pick), Lost: uint8(def.Lost), GuePort: networkOrder(def.Tunnel.Port),
		Syn: seconds(def.Timeouts.SYN), Established: seconds(def.Timeouts.Established),
		Closing: seconds(def.Timeouts.Closing), Udp: seconds(def.Timeouts.UDP),
		Rate: uint32(def.Rate), Burst: uint32(def.Burst),
	}
	switch {
	case def.Dispatch == cluster.DR:
		e.Dispatch = uint8(directorDispatchDR)
	case def.Dispatch == cluster.NAT:
		e.Dispatch = uint8(directorDispatchNAT)
	case def.Tunnel.GUE:
		e.Dispatch = uint8(directorDispatchGUE)
	default:
		e.Dispatch = uint8(directorDispatchIPIP)
	}
	if len(def.Allow)+len(def.Deny) > 0 {
		e.Flags |= uint8(directorServiceFlagS_LIST)
	}
	if len(def.Allow) > 0 {
		e.Flags |= uint8(directorServiceFlagS_DENY)
	}
	if s.pick == directorPickBY_SOURCE || s.pick == directorPickBY_FLOW {
		e.Flags |= uint8(directorServiceFlagS_HASHED)
	}
	return e
}

func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

// writeEntry writes an entry of `services` in the place of another one, if there was one. The same stands in the place of
// the front, for the flows that have come by it; those that came by the place of the other one come to nothing.
func (k *kernel) writeEntry(at directorFront, e, old directorService) error {
	if at.Whole == 0 {
		if err := k.Fronts.Put(e.Front, directorEntrance{Front: at, Service: e}); err != nil {
			return err
		}
	}
	if err := k.Services.Put(at, e); err != nil {
		return err
	}
	if at.Whole == 0 && old.Id != 0 && old.Front != e.Front {
		return k.Fronts.Put(old.Front, directorEntrance{Front: at})
	}
	return nil
}

func (k *kernel) removeEntry(at directorFront, e directorService) error {
	if at.Whole == 0 {
		if err := k.Fronts.Put(e.Front, directorEntrance{Front: at}); err != nil {
			return err
		}
	}
	return k.Services.Delete(at)
}

// writeEntries brings the map `services` to what it is to hold. If it cannot, it puts back what was.
func (f *Forwarder) writeEntries(want map[directorFront]directorService) (err error) {
	was, k := f.entries, f.kernel
	var done []directorFront
	defer func() {
		if err == nil {
			f.entries = want
			return
		}
		err = fmt.Errorf("write map %s: %w", directorMapServices, err)
		for _, at := range done {
			if old, ok := was[at]; ok {
				_ = k.writeEntry(at, old, want[at]) // it was there a moment ago; there is nothing else to try
			} else {
				_ = k.removeEntry(at, want[at])
			}
		}
	}()
	keys := slices.SortedFunc(maps.Keys(want), func(a, b directorFront) int { return cmp.Compare(want[a].Id, want[b].Id) })
	replaced := uint32(0) // the service whose entry was replaced last
	for _, at := range keys {
		old, had := was[at]
		if had && old == want[at] {
			continue
		}
		// The kernel writes a value where the last one that was replaced had been, and a packet may still be reading that:
		// it may find another front of its service there, but not another service.
		if replaced != 0 && replaced != want[at].Id {
			if err := k.settle(); err != nil {
				return err
			}
			replaced = 0
		}
		done = append(done, at)
		if err := k.writeEntry(at, want[at], old); err != nil {
			return err
		}
		if had {
			replaced = want[at].Id
			if old.Id != replaced {
				if err := k.settle(); err != nil {
					return err
				}
			}
		}
	}
	for at, e := range was {
		if _, stays := want[at]; !stays {
			done = append(done, at)
			if err := k.removeEntry(at, e); err != nil {
				return err
			}
		}
	}
	return nil
}
