package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/cluster"
)

func picture(names ...string) *Picture {
	p := NewPicture(Config{}, slog.New(slog.DiscardHandler))
	var nodes []cluster.Node
	for _, name := range names {
		nodes = append(nodes, cluster.Node{Name: name, Roles: []cluster.Role{cluster.Traffic}, Weight: 100})
	}
	p.Configure(nodes, []Pool{{Name: "web", Nodes: names, Port: 80}})
	return p
}

func up(node string) cluster.Load {
	return cluster.Load{Node: node, Apps: []cluster.App{{Pool: "web", Up: true}}}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		p := picture("t1", "t2")
		p.log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		p.Heard(up("t1"))
		p.Heard(up("t1"))
		time.Sleep(time.Second)
		p.Heard(cluster.Load{Node: "t1", Apps: []cluster.App{{Pool: "web", Reason: "status 500"}}})
		p.Silent("t1", 700*time.Millisecond)
		want := []Event{
			{Number: 1, At: time.Now().Add(-time.Second), Node: "t1", From: cluster.Out, To: cluster.Active},
			{Number: 2, At: time.Now(), Node: "t1", From: cluster.Active, To: cluster.Out, Reason: "pool web: status 500"},
		}
		if diff := cmp.Diff(want, p.Events()); diff != "" {
			t.Error(diff)
		}
		log := "level=INFO msg=\"node state\" node=t1 from=out to=active\n" +
			"level=WARN msg=\"node state\" node=t1 from=active to=out reason=\"pool web: status 500\"\n"
		if diff := cmp.Diff(log, text.String()); diff != "" {
			t.Error(diff)
		}
		for range 200 {
			p.Heard(up("t2"))
			p.Silent("t2", time.Second)
		}
		list := p.Events()
		if len(list) != 256 || list[0].Number != 147 || list[255].Number != 402 {
			t.Errorf("got %d events, from number %d to %d; want the last 256 of 402", len(list), list[0].Number, list[len(list)-1].Number)
		}
	})
}

// Members keep their counters over a reload: the data path writes them.
func TestLiveStays(t *testing.T) {
	p := picture("t1", "t2")
	before := p.Members("web")
	p.Configure([]cluster.Node{{Name: "t2"}, {Name: "t1"}}, []Pool{{Name: "web", Nodes: []string{"t2", "t1"}}})
	after := p.Members("web")
	if before[0].Live != after[1].Live || before[1].Live != after[0].Live || after[0].Live == after[1].Live {
		t.Error("the counters of a node changed hands")
	}
	if p.Members("mail") != nil || p.Snapshot().Pool("mail") != nil {
		t.Error("a pool that is not there has members")
	}
}

// All at once, for the race detector; afterwards a snapshot is in itself consistent.
func TestAnOverdueReportChangesNoState(t *testing.T) {
	p := NewPicture(Config{}, slog.New(slog.DiscardHandler))
	p.Configure([]cluster.Node{{Name: "t1", Roles: []cluster.Role{cluster.Traffic}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Weight: 100}},
		[]Pool{{Name: "web", Nodes: []string{"t1"}, Port: 80}})
	p.Heard(cluster.Load{Node: "t1", Index: 1, Apps: []cluster.App{{Pool: "web", Up: true}}})
	for _, overdue := range []bool{true, false} {
		p.Overdue("t1", overdue)
		m := p.Members("web")[0]
		if m.State != cluster.Active || m.Live.Overdue.Load() != overdue {
			t.Errorf("overdue %t: got %s and %t, want active, and the data path told", overdue, m.State, m.Live.Overdue.Load())
		}
	}
	p.Overdue("nobody", true)
}

func TestFromManyGoroutines(t *testing.T) {
	p := picture("t1", "t2", "t3")
	changes, stop := p.Watch()
	defer stop()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- p.Run(ctx) }()
	var wg sync.WaitGroup
	for i := range 4 {
		name := fmt.Sprint("t", i)
		for _, f := range []func(){
			func() { p.Heard(up(name)) },
			func() { p.Silent(name, time.Second) },
			func() { _ = p.SetWish(name, cluster.Drain, "") }, // t0 is not ours
			func() { _ = p.SetWish(name, cluster.Ready, "") },
			func() { p.Snapshot(); p.Members("web"); p.Events(); p.Wishes() },
			func() {
				p.Configure([]cluster.Node{{Name: "t1"}, {Name: "t2"}}, []Pool{{Name: "web", Nodes: []string{"t1", "t2"}}})
			},
		} {
			wg.Go(func() {
				for range 200 {
					f()
				}
			})
		}
	}
	wg.Wait()
	<-changes
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, n := range p.Snapshot().Nodes {
		if (n.State == cluster.Active) != (n.Pools["web"].State == cluster.Active) {
			t.Errorf("node %s is %s, in its only pool %s", n.Name, n.State, n.Pools["web"].State)
		}
	}
}

func TestUnknownNode(t *testing.T) {
	p := picture("t1")
	if err := p.SetWish("t9", cluster.Drain, ""); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), `"t9"`) {
		t.Errorf("got %v", err)
	}
}

func TestWishesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wishes.json")
	if got, err := LoadWishes(path); got != nil || err != nil {
		t.Errorf("a file that is not there: got %v, %v", got, err)
	}
	p := picture("t1", "t2", "t3")
	for _, w := range []struct {
		node string
		wish cluster.Wish
	}{{"t3", cluster.Drain}, {"t2", cluster.Drain}, {"t1", cluster.Maint}, {"t3", cluster.Ready}} {
		if err := p.SetWish(w.node, w.wish, "disk"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second replaces the first
		if err := SaveWishes(path, p.Wishes()); err != nil {
			t.Fatal(err)
		}
	}
	saved, err := LoadWishes(path)
	if err != nil {
		t.Fatal(err)
	}
	// Before the nodes are known, as at the start of a director.
	fresh := NewPicture(Config{}, slog.New(slog.DiscardHandler))
	fresh.Restore(saved)
	fresh.Configure([]cluster.Node{{Name: "t1"}, {Name: "t2"}, {Name: "t3"}}, nil)
	var got []string
	for _, n := range fresh.Snapshot().Nodes {
		got = append(got, fmt.Sprint(n.Name, " ", n.Wish, " ", n.Reason))
	}
	if diff := cmp.Diff([]string{"t1 maint maintenance, by operator: disk", "t2 drain no report yet", "t3 ready no report yet"}, got); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
	if err := SaveWishes(filepath.Join(path, "x"), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a path that cannot be written: got %v", err)
	}
}

func TestBrokenWishesAreSetAside(t *testing.T) {
	for text, want := range map[string]string{
		``:                                      "EOF",
		`{"wishes":[{"node":"t1","wish":"dr`:    "unexpected EOF",
		`{"wishes":[{"node":"t1","wish":"x"}]}`: `"x" is no wish; one of ready, drain, maint`,
		`{"wishes":[{"wish":"drain"}]}`:         `node "" is named twice, or not at all`,
		`{"wishes":[]} {}`:                      "more after its end",
		`{"whishes":[]}`:                        `unknown field "whishes"`,
		strings.Repeat(" ", mostWishes+1):       "longer than 1048576 bytes",
	} {
		path := filepath.Join(t.TempDir(), "wishes.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadWishes(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "kept as "+path+".corrupt") {
			t.Errorf("got %v, want %s", err, want)
		}
		if kept, err := os.ReadFile(path + ".corrupt"); err != nil || string(kept) != text {
			t.Errorf("the broken file is not kept as it was: %v", err)
		}
		if got, err := LoadWishes(path); got != nil || err != nil {
			t.Errorf("after it was set aside: got %v, %v", got, err)
		}
	}
}

func FuzzParseWishes(f *testing.F) {
	f.Add([]byte(`{"wishes":[{"node":"t1","wish":"drain","why":"disk","since":"2024-05-01T12:00:00Z"}]}`))
	f.Add([]byte(`{"wishes":[{"node":"t1","wish":"ready"},{"node":"t1","wish":"maint"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		wishes, err := parseWishes(text)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "wishes.json")
		if err := SaveWishes(path, wishes); err != nil {
			return // a time that JSON cannot say
		}
		again, err := LoadWishes(path)
		if err != nil || len(again) != len(wishes) {
			t.Errorf("saved %d wishes, read %d: %v", len(wishes), len(again), err)
		}
	})
}

func BenchmarkHeard(b *testing.B) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("t", i))
	}
	p := picture(names...)
	loads := make([]cluster.Load, len(names))
	for i, name := range names {
		loads[i] = up(name)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Heard(loads[i%len(loads)])
	}
}

func BenchmarkMembers(b *testing.B) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("t", i))
	}
	p := picture(names...)
	for b.Loop() {
		p.Members("web")
	}
}
