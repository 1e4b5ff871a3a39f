package role

import (
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"muster/cluster"
	"muster/control/schedule"
	"muster/ha/member"
)

func TestATableIsMadeOnlyForWhatIsNew(t *testing.T) {
	policy, err := schedule.New("has", schedule.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{service: "www", pool: "web", policy: policy}
	members := []cluster.Member{
		{Node: "t1", Addr: netip.MustParseAddrPort("10.0.0.1:80"), State: cluster.Active, Weight: 100, Ramp: 1, Index: 1000, Live: new(cluster.Live)},
		{Node: "t2", Addr: netip.MustParseAddrPort("10.0.0.2:80"), State: cluster.Active, Weight: 100, Ramp: 1, Index: 1000, Live: new(cluster.Live)},
	}
	step := func(what string, want bool, change func(m *cluster.Member)) {
		t.Helper()
		members = slices.Clone(members)
		change(&members[0])
		table := f.next(members)
		if got := table != nil; got != want {
			t.Errorf("%s: a new table: %v, want %v", what, got, want)
		}
		if table != nil && (len(table.Shares) != 2 || table.Shares[0].State != members[0].State) {
			t.Errorf("%s: got %+v", what, table.Shares)
		}
	}
	step("the first", true, func(*cluster.Member) {})
	step("nothing", false, func(*cluster.Member) {})
	step("a hair more index", false, func(m *cluster.Member) { m.Index = 1010 })
	for range 3 { // changes that are small each still add up
		step("one more hair", false, func(m *cluster.Member) { m.Index += 5 })
	}
	step("much more", true, func(m *cluster.Member) { m.Index = 2000 })
	step("room, which this schedule does not look at", false, func(m *cluster.Member) { m.Room = 77 })
	step("out", true, func(m *cluster.Member) { m.State = cluster.Out })
	step("back", true, func(m *cluster.Member) { m.State = cluster.Active })
	step("slow start", true, func(m *cluster.Member) { m.Ramp = 0.1 })
	step("another address", true, func(m *cluster.Member) { m.Addr = netip.MustParseAddrPort("10.0.0.3:80") })
	step("no weight", true, func(m *cluster.Member) { m.Weight = 0 })
	members = members[:1]
	if f.next(members) == nil {
		t.Error("a node less gives no new table")
	}
}

// What the kernel has under way for several services counts together with what a proxy has.
func TestFlowsOfAPoolCountTogether(t *testing.T) {
	all := new(cluster.Live)
	all.Limit.Store(10)
	members := []cluster.Member{{Node: "t1", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Live: all}, {Node: "t2", Live: new(cluster.Live)}}
	at := map[string]netip.AddrPort{"t1": netip.MustParseAddrPort("10.0.0.1:0")}
	a, b := &follower{at: at, tallies: map[string]*tally{}}, &follower{at: at, tallies: map[string]*tally{}}
	own := func(f *follower) *cluster.Live {
		list := f.place(members)
		if list[0].Addr != at["t1"] || members[0].Live != all {
			t.Fatalf("placed %+v among %+v", list[0], members[0])
		}
		return list[0].Live
	}
	check := func(what string, active, limitA, limitB int64) {
		t.Helper()
		own(a)
		own(b)
		la, lb := own(a), own(b) // the second look has what the first has counted
		if got := [3]int64{all.Active.Load(), la.Limit.Load(), lb.Limit.Load()}; got != [3]int64{active, limitA, limitB} {
			t.Errorf("%s: %v under way and limits, want %v", what, got, [3]int64{active, limitA, limitB})
		}
	}
	check("nothing", 0, 10, 10)
	all.Enter() // a proxy's
	own(a).Active.Store(3)
	own(b).Active.Store(4)
	check("some", 8, 5, 6)
	own(a).Active.Store(30)
	check("more than the limit", 35, 5, 1)
	all.Limit.Store(0)
	check("no limit", 35, 0, 0)
	a.release()
	if got := all.Active.Load(); got != 5 {
		t.Errorf("without the first: %d, want 5", got)
	}
	members = members[1:]
	b.place(members)
	if got := all.Active.Load(); got != 1 {
		t.Errorf("without the node: %d, want the proxy's", got)
	}
}

func TestABusyPoolBorrowsANode(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	var seen []string
	d := &director{
		log: log, picture: member.NewPicture(member.Config{}, log),
		zones:    schedule.NewZones([]schedule.Zone{{Pool: "web", From: []string{"media"}, Above: 800, Below: 500, Keep: 1}}),
		happened: func(kind, name, change, reason string) { seen = append(seen, kind+" "+name+" "+change) },
	}
	addr := netip.MustParseAddr("10.0.0.1")
	var nodes []cluster.Node
	for _, name := range []string{"t1", "t2", "t3"} {
		nodes = append(nodes, cluster.Node{Name: name, Roles: []cluster.Role{cluster.Traffic}, Addrs: []netip.Addr{addr}, Weight: 100})
	}
	d.picture.Configure(nodes, []member.Pool{
		{Name: "web", Nodes: []string{"t1"}, Port: 80, From: []string{"media"}}, {Name: "media", Nodes: []string{"t2", "t3"}, Port: 80},
	})
	both := []cluster.App{{Pool: "web", Up: true}, {Pool: "media", Up: true}}
	d.picture.Heard(cluster.Load{Node: "t1", Index: 1, Busy: 950, Apps: both})
	d.picture.Heard(cluster.Load{Node: "t2", Index: 1, Busy: 300, Apps: both})
	d.picture.Heard(cluster.Load{Node: "t3", Index: 1, Busy: 100, Apps: both})
	in := func(pool string) (names []string) {
		for _, m := range d.picture.Members(pool) {
			if m.State == cluster.Active {
				names = append(names, m.Node)
			}
		}
		return names
	}
	d.moveNodes()
	if got := in("web"); !slices.Equal(got, []string{"t1", "t3"}) {
		t.Errorf("web is served by %v, want t1 and the least busy of media, t3", got)
	}
	if got := in("media"); !slices.Equal(got, []string{"t2"}) {
		t.Errorf("media is served by %v, want t2", got)
	}
	d.picture.Heard(cluster.Load{Node: "t1", Index: 1, Busy: 100, Apps: both})
	d.moveNodes()
	if got := in("web"); !slices.Equal(got, []string{"t1"}) {
		t.Errorf("afterwards web is served by %v, want t1", got)
	}
	if want := []string{"node t3 media -> web", "node t3 web -> media"}; !slices.Equal(seen, want) {
		t.Errorf("events %v, want %v", seen, want)
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	want := func(texts ...string) {
		t.Helper()
		b := make([]byte, 200)
		for len(texts) > 0 {
			n, err := l.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got := string(b[:n])
			switch {
			case strings.HasPrefix(got, texts[0]):
				texts = texts[1:]
			case got != "WATCHDOG=1":
				t.Errorf("told %q, want %q", got, texts[0])
			}
		}
	}
	c := found(t, three)
	c.start("t1")
	want("READY=1", "WATCHDOG=1", "WATCHDOG=1")
	if err := c.node("t1").Reload(); err != nil {
		t.Error(err)
	}
	want("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	c.stop("t1")
	want("STOPPING=1")
}
