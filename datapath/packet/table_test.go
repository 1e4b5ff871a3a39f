package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"muster/cluster"
)

// BenchmarkSwap is a table of 65,537 slots and 1,000 nodes, made and swapped. How long the schedule takes to lay it out is
// measured in control/share.
func BenchmarkSwap(b *testing.B) {
	newFar(b, "dir0", "10.7.1.2/16", "10.7.255.11/16")
	f := newForwarder(b, Config{Interfaces: []string{"dir0"}})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(b, f.Apply([]Service{s}))
	var nodes []string
	for i := range 1000 {
		nodes = append(nodes, netip.AddrFrom4([4]byte{10, 7, byte(i >> 8), byte(i)}).String())
	}
	table := tableOf("mh", nodes...)
	table.Slots = make([]uint16, mostSlots)
	for i := range table.Slots {
		table.Slots[i] = uint16(i * 7919 % len(nodes))
	}
	fine(b, f.SetTable("web", table)) // nodes are new once
	start(b, f)
	until(b, "it runs", f.attached)
	place := f.services["web"].place
	var before, now uint32
	fine(b, f.kernel.Tables.Lookup(place, &before))
	b.ResetTimer()
	for range b.N {
		fine(b, f.SetTable("web", table))
		for now = before; now == before; runtime.Gosched() { // until new flows go by it
			fine(b, f.kernel.Tables.Lookup(place, &now))
		}
		before = now
		b.StopTimer() // the kernel sees the last packets off that went by the old one
		f.swapping.Lock()
		b.StartTimer()
		f.swapping.Unlock()
	}
}

func TestATableThatCannotBeFollowedChangesNothing(t *testing.T) {
	f := newForwarder(t, Config{})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	good := tableOf("rr", "10.7.1.11", "10.7.1.12")
	fine(t, f.SetTable("web", good))
	before := f.Status().Services[0]
	large := tableOf("rr", "10.7.1.11")
	for i := range mostNodes + 1 {
		large.Shares = append(large.Shares, cluster.Share{Node: fmt.Sprint(i), Addr: large.Shares[0].Addr, Live: &cluster.Live{}})
	}
	slots := tableOf("rr", "10.7.1.11")
	slots.Slots = make([]uint16, mostSlots+1)
	wild := tableOf("rr", "10.7.1.13")
	wild.Slots = []uint16{7}
	for _, test := range []struct {
		service string
		table   *cluster.Table
		want    error
	}{
		{"shop", good, ErrConflict},
		{"web", large, ErrFull},
		{"web", slots, ErrFull},
		{"web", wild, ErrConflict},
		{"web", tableOf("least-time", "10.7.1.11"), ErrConflict},
	} {
		if err := f.SetTable(test.service, test.table); !errors.Is(err, test.want) {
			t.Errorf("got %v, want %v", err, test.want)
		}
	}
	after := f.Status().Services[0]
	if fmt.Sprint(before) != fmt.Sprint(after) || f.Status().Nodes.Used != 2 {
		t.Errorf("got %+v with %d nodes, want %+v with 2", after, f.Status().Nodes.Used, before)
	}
}

func TestNodesKeepTheirPlacesFromTableToTable(t *testing.T) {
	f := newForwarder(t, Config{})
	s := web(cluster.DR, "10.7.1.100", 80)
	fine(t, f.Apply([]Service{s}))
	fine(t, f.SetTable("web", tableOf("rr", "10.7.1.11", "10.7.1.12")))
	place := f.services["web"].members[seat{"t2", netip.MustParseAddrPort("10.7.1.12:8080")}].place
	one := tableOf("wlc", "10.7.1.11", "10.7.1.12")
	one.Shares = one.Shares[1:]
	one.Shares[0].Live.Limit.Store(5)
	fine(t, f.SetTable("web", one))
	n := f.services["web"].members[seat{"t2", netip.MustParseAddrPort("10.7.1.12:8080")}]
	if n.place != place || n.wire.Limit != 5 || n.retired {
		t.Errorf("got %+v, want place %d and a limit of 5", n, place)
	}
	st := f.Status().Services[0]
	if st.Schedule != "wlc" || !st.Nodes[0].Retired || st.Nodes[1].Retired {
		t.Errorf("got %+v, want t1 retired", st)
	}
	if e := f.entries[frontKey(s.Fronts[0])]; e.Pick != uint8(directorPickLEAST) || e.Flags&uint8(directorServiceFlagS_HASHED) != 0 {
		t.Errorf("got entry %+v, want the new schedule's", e)
	}
	fine(t, f.SetTable("web", tableOf("sh", "10.7.1.11")))
	if e := get[directorService](t, f.kernel.Services, frontKey(s.Fronts[0])); e.Pick != uint8(directorPickBY_SOURCE) || e.Flags&uint8(directorServiceFlagS_HASHED) == 0 {
		t.Errorf("got entry %+v, want one by source", e)
	}
}
