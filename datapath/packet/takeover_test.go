package packet

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"muster/cluster"
)

// scene is a director with pins, two nodes and six flows.
type scene struct {
	cfg   Config
	web   Service
	table *cluster.Table
}

func newScene(t *testing.T) *scene {
	t.Helper()
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	pin := filepath.Join(bpffs, t.Name())
	t.Cleanup(func() {
		if left, err := os.ReadDir(pin); err == nil {
			t.Errorf("%d things are left in %s, want none", len(left), pin)
		}
	})
	t.Cleanup(func() { fine(t, Detach(pin)) })
	return &scene{
		cfg: small(Config{Interfaces: []string{"dir0"}, Pin: pin}),
		web: web(cluster.DR, "10.7.1.100", 80), table: tableOf("rr", "10.7.1.11", "10.7.1.12"),
	}
}

// open makes the scene's Forwarder, with its services and tables.
func (s *scene) open(t *testing.T) *Forwarder {
	t.Helper()
	f, err := New(s.cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fine(t, f.Close()) })
	fine(t, f.Apply([]Service{s.web}))
	fine(t, f.SetTable("web", s.table))
	return f
}

func (s *scene) flows() []Flow {
	return append(flowsTo(s.web, s.table, 0, 4), flowsTo(s.web, s.table, 1, 2)...)
}

func attachedTo(t *testing.T, name string) uint32 {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId
	}
	return 0
}

var exceptIdle = cmp.Options{cmpopts.IgnoreFields(Flow{}, "Idle"), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})}

func TestTheNextProcessGoesOnWithWhatIsPinned(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := newScene(t)
	first := s.open(t)
	stop := start(t, first)
	until(t, "the port dispatches", first.attached)
	insertAll(t, first, s.flows())
	places := []uint32{first.services["web"].place, first.services["web"].members[seat{"t2", s.table.Shares[1].Addr}].place}
	entries := first.entries
	if _, err := New(s.cfg, testLog(t)); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %v while another process has the pins", err, ErrInUse)
	}
	stop()
	program := attachedTo(t, "dir0")
	if program == 0 {
		t.Fatal("nothing is attached between two processes")
	}

	// The next one has another service beside the first, and a node less.
	second, err := New(s.cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if diff := cmp.Diff(entries, second.entries); diff != "" {
		t.Errorf("services as they were: %s", diff)
	}
	dns := web(cluster.DR, "10.7.1.100", 53)
	dns.Name = "dns"
	fine(t, second.Apply([]Service{dns, s.web}))
	table := tableOf("rr", "10.7.1.11")
	fine(t, second.SetTable("web", table))
	if diff := cmp.Diff(s.flows(), flowsOf(second), exceptIdle); diff != "" {
		t.Errorf("flows: %s", diff)
	}
	web := second.services["web"]
	t2 := web.members[seat{"t2", s.table.Shares[1].Addr}]
	if diff := cmp.Diff(places, []uint32{web.place, t2.place}); diff != "" || !t2.retired || second.services["dns"].place == web.place {
		t.Errorf("places: %s; retired %t, dns %d", diff, t2.retired, second.services["dns"].place)
	}
	if attachedTo(t, "dir0") != program {
		t.Error("the program was replaced before the Forwarder ran")
	}
	stop = start(t, second)
	until(t, "the new program runs", func() bool { now := attachedTo(t, "dir0"); return now != 0 && now != program })
	until(t, "flows are counted as before", func() bool { return table.Shares[0].Live.Active.Load() == 4 })
	if st := second.Status(); !st.Taken || !st.Ports[0].Pinned || st.Layout != layout {
		t.Errorf("got %+v, want it to have taken over", st)
	}
	stop()
	fine(t, Detach(s.cfg.Pin))
	if attachedTo(t, "dir0") != 0 {
		t.Error("a program is attached after Detach")
	}
	if _, err := os.Stat(s.cfg.Pin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no pins after Detach", err)
	}
}

func TestFlowsAreCopiedWhereMapsCannotBeTakenOver(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *scene, f *Forwarder){
		"bounds": func(_ *testing.T, s *scene, _ *Forwarder) { s.cfg.Flows *= 2 },
		"layout": func(t *testing.T, _ *scene, f *Forwarder) {
			e := entry(layout+1, netip.AddrPort{}, "")
			fine(t, f.kernel.book.Put(bookKey{Kind: bookLayout}, &e))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.cfg.Pin = filepath.Join(bpffs, "copied-"+name)
			t.Cleanup(func() { fine(t, Detach(s.cfg.Pin)) })
			first := s.open(t)
			stop := start(t, first)
			until(t, "the port dispatches", first.attached)
			insertAll(t, first, s.flows())
			change(t, s, first)
			stop()
			program := attachedTo(t, "dir0")

			second := s.open(t)
			if n := len(flowsOf(second)); n != 0 || second.kernel.taken {
				t.Errorf("got %d flows in maps that are not new, want none yet", n)
			}
			stop = start(t, second)
			until(t, "the new program runs", func() bool { return attachedTo(t, "dir0") != program && second.attached() })
			until(t, "flows are counted as before", func() bool { return s.table.Shares[0].Live.Active.Load() == 4 })
			if diff := cmp.Diff(s.flows(), flowsOf(second), exceptIdle); diff != "" {
				t.Errorf("flows: %s", diff)
			}
			if sets, err := second.pins.sets(); err != nil || len(sets) != 1 {
				t.Errorf("got sets %v, %v; want one", sets, err)
			}
			stop()
			third := s.open(t)
			if !third.kernel.taken || len(flowsOf(third)) != 6 {
				t.Error("the new maps were not taken over in their turn")
			}
			fine(t, third.Detach())
		})
	}
}

func TestAPinWithoutItsPortIsForgotten(t *testing.T) {
	s := newScene(t)
	newFar(t, "dir1", "10.7.2.2/24", "10.7.2.11/24")
	s.cfg.Interfaces = []string{"dir0", "dir1"}
	f := s.open(t)
	fine(t, f.Attach())
	fine(t, f.Close())
	l, err := link.LoadPinnedLink(filepath.Join(s.cfg.Pin, "ports", "dir1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	fine(t, l.Close())
	s.cfg.Interfaces = []string{"dir0"}
	f = s.open(t)
	fine(t, f.Attach())
	if attachedTo(t, "dir0") == 0 || attachedTo(t, "dir1") != 0 {
		t.Error("want the program on dir0 alone")
	}
}

func TestSpansFindFieldsByNameAndSize(t *testing.T) {
	theirs := "seen:0:8 more:8:4 node:12:4 ack:16:8 state:24:1 junk a:b:c x:-1:4 "
	got := spans(theirs, "seen:0:8 node:8:4 ack:12:4 state:16:1 ")
	want := []span{{0, 0, 8}, {12, 8, 4}, {24, 16, 1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
	from, to := make([]byte, 20), make([]byte, 17)
	from[0], from[12] = 1, 2
	convert(got, from, to)
	if to[0] != 1 || to[8] != 2 || to[16] != 0 {
		t.Errorf("got %v", to)
	}
}
