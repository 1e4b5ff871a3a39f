package packet

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"muster/cluster"
)

// Vacancies gives out the places of a map. One that was given back is given out again as late as can be.
type vacancies struct {
	what        string
	first, most uint32 // places are first .. first+most-1
	used        []bool
	next        uint32
	taken       int
}

func newVacancies(what string, first, most uint32) vacancies {
	return vacancies{what: what, first: first, most: most, used: make([]bool, most)}
}

// mark takes a certain place. It says false when that is out of bounds, or taken.
func (v *vacancies) mark(place uint32) bool {
	i := place - v.first
	if i >= v.most || v.used[i] {
		return false
	}
	v.used[i], v.next = true, max(v.next, (i+1)%v.most)
	v.taken++
	return true
}

func (v *vacancies) take() (uint32, error) {
	for range v.most {
		i := v.next
		v.next = (v.next + 1) % v.most
		if !v.used[i] {
			v.used[i] = true
			v.taken++
			return v.first + i, nil
		}
	}
	return 0, fmt.Errorf("%w: all %d places for %s are taken, some by those whose flows have not ended yet", ErrFull, v.most, v.what)
}

func (v *vacancies) release(place uint32) {
	if v.used[place-v.first] {
		v.used[place-v.first] = false
		v.taken--
	}
}

// A service is one that is being dispatched, or whose flows are being ended.
type service struct {
	Service
	place   uint32
	pick    directorPick
	table   *cluster.Table // nil: none yet
	members map[seat]*node // those of the table, and those that it had and whose flows go on
}

// A seat is what makes a node the same one in two tables of a service.
type seat struct {
	name string
	at   netip.AddrPort
}

// A node is one in the pool of one service.
type node struct {
	seat
	place   uint32
	service *service
	live    *cluster.Live // nil: it is in the table no more
	weight  uint32
	wire    directorNode // as the kernel has it
	retired bool
	quiet   int // sweeps in a row that found no flow of it since it retired
}

func (n *node) has(flag directorNodeFlag) bool { return n.wire.Flags&uint16(flag) != 0 }

// newService takes a place for a service, and empties what the place may hold of an earlier one.
func (f *Forwarder) newService(s Service) (*service, error) {
	place, err := f.servicePlaces.take()
	if err != nil {
		return nil, err
	}
	v := &service{Service: s, place: place, pick: directorPickBY_TURN, members: map[seat]*node{}}
	err = f.emptyService(place)
	if err == nil {
		err = f.note(bookKey{bookService, place}, entry(0, netip.AddrPort{}, s.Name))
	}
	if err != nil {
		f.servicePlaces.release(place)
		return nil, err
	}
	f.serviceAt[place] = v
	return v, nil
}

// freeService gives a service's place and its nodes' back, when nothing refers to them any more.
func (f *Forwarder) freeService(s *service) {
	for _, n := range s.members {
		f.freeNode(n)
	}
	_ = f.kernel.Tables.Delete(s.place) // there is none, then
	_ = f.kernel.book.Delete(bookKey{bookService, s.place})
	f.serviceAt[s.place] = nil
	f.servicePlaces.release(s.place)
}

func (f *Forwarder) emptyService(place uint32) error {
	cpus := ebpf.MustPossibleCPU()
	if err := f.kernel.ServiceCounts.Put(place, make([]directorServiceCount, cpus)); err != nil {
		return fmt.Errorf("clear map %s: %w", directorMapServiceCounts, err)
	}
	for r := range uint32(directorReasonREASONS) {
		if err := f.kernel.Reasons.Put(place*uint32(directorReasonREASONS)+r, make([]uint64, cpus)); err != nil {
			return fmt.Errorf("clear map %s: %w", directorMapReasons, err)
		}
	}
	return nil
}

// newNode takes a place for a node of a service. Nothing refers to it yet.
func (f *Forwarder) newNode(s *service, at seat) (*node, error) {
	place, err := f.nodePlaces.take()
	if err != nil {
		return nil, err
	}
	n := &node{seat: at, place: place, service: s}
	n.wire.Addr.W = toWire(at.at.Addr())
	if s.Dispatch == cluster.NAT {
		n.wire.Port = networkOrder(at.at.Port())
	}
	cpus := ebpf.MustPossibleCPU()
	f.kernel.setActive(place, 0)
	for _, w := range []struct {
		m     *ebpf.Map
		value any
	}{
		{f.kernel.NodeCounts, make([]directorNodeCount, cpus)},
		{f.kernel.Ways, make([]directorWay, cpus)},
		{f.kernel.Nodes, n.wire},
	} {
		if err = w.m.Put(place, w.value); err != nil {
			break
		}
	}
	if err == nil {
		err = f.note(bookKey{bookNode, place}, entry(uint64(s.place), at.at, at.name))
	}
	if err != nil {
		f.nodePlaces.release(place)
		return nil, fmt.Errorf("node %s: %w", at.name, err)
	}
	f.nodes[place] = n
	s.members[at] = n
	return n, nil
}

// freeNode gives a node's place back, when nothing refers to it any more.
func (f *Forwarder) freeNode(n *node) {
	delete(n.service.members, n.seat)
	f.nodes[n.place] = nil
	f.nodePlaces.release(n.place)
	_ = f.kernel.book.Delete(bookKey{bookNode, n.place}) // an entry too many is overwritten by the next node
}

func (f *Forwarder) note(k bookKey, e bookEntry) error {
	if err := f.kernel.book.Put(k, &e); err != nil {
		return fmt.Errorf("write map %s: %w", bookName, err)
	}
	return nil
}
