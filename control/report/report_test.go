package report

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/cluster"
	"muster/internal/wire"
)

const d1, d1b = "10.0.0.1:7947", "10.1.0.1:7947"

// bubble runs a test in fake time on a network of its own.
func bubble(t *testing.T, f func(t *testing.T, w *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newNetwork()) })
}

func names(loads []cluster.Load) (s []string) {
	for _, l := range loads {
		s = append(s, l.Node)
	}
	return s
}

func wantSilent(t *testing.T, l *listener, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := drain(l.silent); !slices.Equal(got, want) {
		t.Errorf("silent: got %q, want %q", got, want)
	}
}

func TestFirstReportDoesNotWaitForTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 4484, w.listen("10.0.0.11:1"), d1)
		n.SetPools([]string{"web", "media"})
		n.SetApp(cluster.App{Pool: "web", Up: true})
		start(t, n.Run)
		time.Sleep(settled) // no interval passes: the node proves itself as soon as it is asked to
		synctest.Wait()
		got := drain(l.heard)
		if len(got) == 0 {
			t.Fatal("no report")
		}
		want := cluster.Load{
			Node: "t1", Index: 4484, Room: 2242, Busy: 100,
			Apps:  []cluster.App{{Pool: "web", Up: true}, {Pool: "media", Reason: "not checked yet"}},
			Hears: []cluster.Hearing{{Director: "d1"}},
		}
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		time.Sleep(10 * interval)
		synctest.Wait()
		// One more than the intervals: the challenge that followed the first acceptance is answered too.
		if n := len(drain(l.heard)); n < 10 || n > 11 {
			t.Errorf("got %d reports in ten intervals, want 10 or 11", n)
		}
	})
}

// HAS Table 11: the list that eight nodes make, in whatever order they report.
func TestHASTable11(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		table := []cluster.Index{4484, 4397, 4353, 4295, 4235, 4190, 4097, 3973}
		var all []string
		for i := range table {
			all = append(all, fmt.Sprintf("192.168.1.%d", 100+i))
		}
		l := receiver(t, w.listen(d1), all...)
		start(t, l.Run)
		for _, i := range []int{3, 7, 0, 5, 1, 6, 2, 4} {
			start(t, reporter(t, testKey, all[i], table[i], w.listen(all[i]+":1"), d1).Run)
		}
		time.Sleep(interval)
		synctest.Wait()
		var got []cluster.Index
		for _, load := range l.List() {
			got = append(got, load.Index)
		}
		if !slices.Equal(got, table) || !slices.Equal(names(l.List()), all) {
			t.Errorf("got %d of %v, want %d of %v", got, names(l.List()), table, all)
		}
	})
}

func TestSilentNodeIsDroppedAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1", "t2")
		start(t, l.Run)
		start(t, reporter(t, testKey, "t2", 100, w.listen("10.0.0.12:1"), d1).Run)
		n := reporter(t, testKey, "t1", 200, w.listen("10.0.0.11:1"), d1)
		start(t, n.Run)
		time.Sleep(second)
		wantSilent(t, l)
		n.Mute(true)
		time.Sleep(timeout - interval)
		wantSilent(t, l)
		time.Sleep(interval + 3*interval/4)
		wantSilent(t, l, "t1: silent for 700ms")
		if got := names(l.List()); !slices.Equal(got, []string{"t2"}) {
			t.Errorf("got %q on the list, want t2", got)
		}
		drain(l.heard)
		n.Mute(false)
		time.Sleep(seen)
		synctest.Wait()
		if got := names(drain(l.heard)); !slices.Equal(got, []string{"t1"}) {
			t.Errorf("after the silence: heard %q, want t1 at once", got)
		}
		if got := names(l.List()); !slices.Equal(got, []string{"t1", "t2"}) {
			t.Errorf("got %q on the list, want t1 t2", got)
		}
	})
}

func TestAReportIsOverdueBeforeANodeIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		said := make(chan bool, 16)
		l.cfg.Overdue = func(_ string, overdue bool) { said <- overdue }
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 200, w.listen("10.0.0.11:1"), d1)
		start(t, n.Run)
		time.Sleep(second)
		if got := drain(said); len(got) > 0 {
			t.Errorf("reports that come on time: got %v", got)
		}
		n.Mute(true)
		time.Sleep(2*interval + interval/4)
		wantSilent(t, l)
		n.Mute(false)
		time.Sleep(seen)
		synctest.Wait()
		if got := drain(said); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("one report left out: got %v, want that it is overdue, and then that it is not", got)
		}
		wantSilent(t, l)
	})
}

func TestNodeThatStopsSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1, d1b), "t1")
		start(t, l.Run)
		stop := start(t, reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1", "10.1.0.11:1"), d1, d1b).Run)
		time.Sleep(second)
		stop()
		time.Sleep(seen)
		wantSilent(t, l, "t1: it is stopping")
		sent := len(w.taped())
		time.Sleep(time.Minute)
		wantSilent(t, l)
		if n := len(w.taped()) - sent; n != 0 {
			t.Errorf("got %d beacons to a node that has left, want none", n)
		}
	})
}

func TestApplicationStateIsReportedAtOnceAndMakesTheIndexZero(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 500, w.listen("10.0.0.11:1"), d1)
		n.SetPools([]string{"web", "media"})
		n.SetApp(cluster.App{Pool: "web", Up: true})
		n.SetApp(cluster.App{Pool: "media", Up: true})
		n.SetApp(cluster.App{Pool: "other", Up: true}) // no pool of the node
		start(t, n.Run)
		time.Sleep(second) // no regular report is in the way until 1.2 s
		synctest.Wait()
		drain(l.heard)
		for _, step := range []struct {
			app   cluster.App
			index cluster.Index
		}{
			{cluster.App{Pool: "web", Reason: "status 500"}, 500},
			{cluster.App{Pool: "media", Reason: "connection refused"}, 0},
			{cluster.App{Pool: "web", Up: true}, 500},
		} {
			n.SetApp(step.app)
			time.Sleep(seen)
			synctest.Wait()
			got := drain(l.heard)
			if len(got) != 1 || got[0].App(step.app.Pool) != step.app || got[0].Index != step.index || len(got[0].Apps) != 2 {
				t.Errorf("after %+v: got %+v, want one report with index %d", step.app, got, step.index)
			}
			n.SetApp(step.app)
			time.Sleep(seen)
			synctest.Wait()
			if got := drain(l.heard); len(got) != 0 {
				t.Errorf("the same state again: got %+v, want no report", got)
			}
		}
	})
}

func TestFlappingApplicationCannotFlood(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 500, w.listen("10.0.0.11:1"), d1)
		n.SetPools([]string{"web"})
		start(t, n.Run)
		time.Sleep(second)
		synctest.Wait()
		drain(l.heard)
		for i := range 1000 {
			n.SetApp(cluster.App{Pool: "web", Up: i%2 == 0})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(burstGap + seen)
		synctest.Wait()
		got := drain(l.heard)
		if len(got) > 110 || got[len(got)-1].App("web").Up {
			t.Errorf("got %d reports of 1000 changes in a second, the last %+v; want about 100, the last not up", len(got), got[len(got)-1])
		}
	})
}

func TestNodeIsSilentOnlyWhenSilentOnAllLANs(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1, d1b), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1", "10.1.0.11:1"), d1, d1b)
		start(t, n.Run)
		time.Sleep(second)
		first := func(a netip.AddrPort) bool { return a.Addr().As4()[1] == 0 }
		w.cut(func(from, to netip.AddrPort) bool { return !first(to) })
		time.Sleep(5 * time.Second)
		wantSilent(t, l)
		s := l.Status().Nodes[0]
		if s.LANs[0].Silent < 4*time.Second || s.LANs[1].Silent > interval || !s.Heard {
			t.Errorf("got %+v, want it silent on the first LAN only", s)
		}
		h := l.List()[0].Hears
		if len(h) != 2 || h[0].Silent < 4000 || h[1].Silent > 200 {
			t.Errorf("the node hears: got %+v, want the director silent on the first LAN only", h)
		}
		w.cut(func(from, to netip.AddrPort) bool { return false })
		time.Sleep(second)
		wantSilent(t, l, "t1: silent for 700ms")
		w.cut(nil)
		time.Sleep(interval + seen + interval/8)
		synctest.Wait()
		if len(l.List()) != 1 {
			t.Error("the node is not back")
		}
	})
}

func TestRestartsOfEitherSide(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		stopDirector := start(t, l.Run)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		stopNode := start(t, n.Run)
		time.Sleep(second)

		stopDirector()
		time.Sleep(3 * time.Second)
		l = receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		time.Sleep(interval + settled)
		synctest.Wait()
		if len(l.List()) != 1 {
			t.Error("a new director does not have the node soon after its next report")
		}

		time.Sleep(answerGap + settled)
		w.cut(func(from, to netip.AddrPort) bool { return false }) // dies without a word
		stopNode()
		w.cut(nil)
		n = reporter(t, testKey, "t1", 2, w.listen("10.0.0.11:2"), d1)
		start(t, n.Run)
		time.Sleep(settled)
		synctest.Wait()
		if got := l.List(); len(got) != 1 || got[0].Index != 2 {
			t.Errorf("got %+v, want the new process's report at once", got)
		}
		if s := l.Status().Nodes[0]; s.Sessions != 2 || s.LANs[0].Addr.Port() != 2 {
			t.Errorf("got %+v, want two sessions, the second from port 2", s)
		}
		wantSilent(t, l)
	})
}

// A director whose loop did not run for ten seconds hears nothing meanwhile, and must not take that for silence.
func TestFrozenDirectorThrowsNobodyOut(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1", "t2")
		freeze := make(chan time.Duration, 1)
		heard := l.cfg.Heard
		l.cfg.Heard = func(load cluster.Load) {
			heard(load)
			select {
			case d := <-freeze:
				time.Sleep(d)
			default:
			}
		}
		start(t, l.Run)
		start(t, reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1).Run)
		dies := reporter(t, testKey, "t2", 1, w.listen("10.0.0.12:1"), d1)
		start(t, dies.Run)
		time.Sleep(second)
		freeze <- 10 * time.Second
		time.Sleep(second)
		dies.Mute(true)
		time.Sleep(9 * time.Second)
		wantSilent(t, l)
		time.Sleep(timeout / 2)
		wantSilent(t, l)
		time.Sleep(timeout)
		wantSilent(t, l, "t2: silent for 700ms") // and it still finds who really is
	})
}

func TestReplaysForgeriesAndFloodsHaveNoEffect(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1", "t2")
		start(t, l.Run)
		old := reporter(t, testKey, "t1", 7777, w.listen("10.0.0.11:1"), d1)
		stop := start(t, old.Run)
		time.Sleep(second)
		stop()
		recorded := w.taped()
		n := reporter(t, testKey, "t1", 5, w.listen("10.0.0.11:2"), d1)
		start(t, n.Run)
		strange := reporter(t, testKey, "x1", 9, w.listen("10.0.0.13:1"), d1)
		start(t, strange.Run)
		other := reporter(t, wire.Key{9}, "t2", 9, w.listen("10.0.0.12:1"), d1)
		start(t, other.Run)
		time.Sleep(second)
		synctest.Wait()
		drain(l.heard)
		drain(l.silent)
		before, sent := l.Status(), len(w.taped())
		for i := range 2000 {
			d := recorded[i%len(recorded)]
			d.to = netip.MustParseAddrPort(d1)
			w.put(d)
			d.to = netip.MustParseAddrPort("10.0.0.11:2")
			w.put(d)
			w.put(datagram{d.from, netip.MustParseAddrPort(d1), make([]byte, i)})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		for _, load := range drain(l.heard) {
			if load.Node != "t1" || load.Index != 5 {
				t.Fatalf("heard %+v", load)
			}
		}
		wantSilent(t, l)
		after := l.Status()
		for _, kind := range []string{"unproven", "malformed", "misplaced", "stranger", "wrong-key"} {
			if after.Datagrams[kind] <= before.Datagrams[kind] {
				t.Errorf("%s: got %d, no more than %d before", kind, after.Datagrams[kind], before.Datagrams[kind])
			}
		}
		// Two seconds: at most 50 answers each, beside 20 reports and beacons of t1 and as many of the others.
		if n := len(w.taped()) - sent; n > 100+60 {
			t.Errorf("got %d datagrams sent during a flood of 4000, want them bounded", n)
		}
		if s := n.Status(); s.Datagrams["accepted"] < 15 || s.Directors[0].Silent[0] > interval {
			t.Errorf("the node's side: got %+v, want it to hear its director all the time", s)
		}
	})
}

// lines gives what is logged, but for the time.
func lines() (*slog.Logger, func() []string) {
	var b bytes.Buffer
	untimed := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: untimed})), func() []string {
		synctest.Wait()
		defer b.Reset()
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	}
}

func TestAWrongKeyIsToldOncePerNode(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1", "t2", "t3")
		log, logged := lines()
		l.log = log
		start(t, l.Run)
		wrong := wire.Key{9}
		start(t, reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1).Run)
		time.Sleep(second)
		if d := cmp.Diff([]string{`level=INFO msg="node reports" node=t1 from=10.0.0.11:1`}, logged()); d != "" {
			t.Errorf("at first (-want +got):\n%s", d)
		}
		// Nobody can make the director say of a node that it hears that it cannot.
		start(t, reporter(t, wrong, "t1", 1, w.listen("10.0.0.99:1"), d1).Run)
		time.Sleep(second)
		start(t, reporter(t, wrong, "t2", 1, w.listen("10.0.0.12:1"), d1).Run)
		start(t, reporter(t, wrong, "t3", 1, w.listen("10.0.0.13:1"), d1).Run)
		time.Sleep(second)
		got := logged()
		slices.Sort(got)
		want := []string{
			`level=WARN msg="a node's datagrams cannot be opened: its key differs" node=t2 from=10.0.0.12:1`,
			`level=WARN msg="a node's datagrams cannot be opened: its key differs" node=t3 from=10.0.0.13:1`,
			`level=WARN msg="refused a datagram; further ones of the kind are only counted" why=wrong-key from=10.0.0.99:1`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("with wrong keys (-want +got):\n%s", d)
		}
		stop := start(t, reporter(t, testKey, "t2", 1, w.listen("10.0.0.12:2"), d1).Run)
		time.Sleep(second)
		stop()
		time.Sleep(second)
		want = []string{
			`level=INFO msg="node reports" node=t2 from=10.0.0.12:2`,
			`level=INFO msg="node leaves" node=t2`,
			`level=WARN msg="a node's datagrams cannot be opened: its key differs" node=t2 from=10.0.0.12:1`,
		}
		if d := cmp.Diff(want, logged()); d != "" {
			t.Errorf("after it was right for a while (-want +got):\n%s", d)
		}
	})
}

func TestANodeTellsOfASilentDirector(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		start(t, receiver(t, w.listen(d1), "t1").Run)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		log, logged := lines()
		n.log = log
		start(t, n.Run)
		time.Sleep(second)
		w.cut(func(from, _ netip.AddrPort) bool { return from.String() != d1 })
		time.Sleep(second)
		w.cut(func(_, _ netip.AddrPort) bool { return true })
		time.Sleep(second)
		want := []string{`level=WARN msg="director is silent" director=d1`, `level=INFO msg="director is heard again" director=d1`}
		if d := cmp.Diff(want, logged()); d != "" {
			t.Errorf("logged (-want +got):\n%s", d)
		}
	})
}

func TestCopiesAndReorderingChangeNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		index := cluster.Index(0)
		n := reporter(t, testKey, "t1", 0, w.listen("10.0.0.11:1"), d1)
		n.cfg.Measure = func(uint64) (cluster.Load, uint64) { index++; return cluster.Load{Index: index}, 1 }
		start(t, n.Run)
		time.Sleep(second)
		synctest.Wait()
		drain(l.heard)
		at := len(w.taped())
		w.cut(func(from, to netip.AddrPort) bool { return to.Port() != 7947 }) // held back
		time.Sleep(3 * interval)
		synctest.Wait()
		held := slices.DeleteFunc(w.taped()[at:], func(d datagram) bool { return d.to.Port() != 7947 })
		w.cut(nil)
		for _, i := range []int{2, 0, 1, 1, 2, 0} {
			w.put(held[i])
		}
		time.Sleep(seen)
		synctest.Wait()
		if got := drain(l.heard); len(got) != 1 || l.List()[0].Index != got[0].Index {
			t.Errorf("got %d reports of three out of order and their copies, want the newest alone", len(got))
		}
		if s := l.Status(); s.Datagrams["late"] != 2 || s.Datagrams["replayed"] != 3 {
			t.Errorf("got %v, want 2 late, 3 replayed", s.Datagrams)
		}
	})
}

func TestNodesLearnTheLeastRAMAndTheEpoch(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1", "t2")
		start(t, l.Run)
		leasts := make(chan uint64, 100)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		n.cfg.Measure = func(least uint64) (cluster.Load, uint64) { leasts <- least; return cluster.Load{Index: 1}, 8 << 30 }
		start(t, n.Run)
		time.Sleep(second)
		synctest.Wait()
		if got := drain(leasts); got[0] != 0 || got[len(got)-1] != 8<<30 {
			t.Errorf("got %d, want none known first, then its own", got)
		}
		small := reporter(t, testKey, "t2", 1, w.listen("10.0.0.12:1"), d1)
		start(t, small.Run)
		l.SetEpoch(42)
		time.Sleep(3 * interval)
		synctest.Wait()
		if got := drain(leasts); got[len(got)-1] != 4<<30 {
			t.Errorf("got %d, want 4 GiB, what t2 has", got)
		}
		small.Mute(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := drain(leasts); got[len(got)-1] != 4<<30 {
			t.Errorf("got %d, want 4 GiB still: all indexes would jump", got)
		}
		if e := n.Status().Directors[0].Epoch; e != 42 {
			t.Errorf("got epoch %d, want 42", e)
		}
		if err := l.SetNodes([]string{"t1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * interval)
		synctest.Wait()
		if got := drain(leasts); got[len(got)-1] != 8<<30 {
			t.Errorf("without t2 in the file: got %d, want 8 GiB", got)
		}
	})
}

func TestReloadChangesWhoTalks(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		start(t, n.Run)
		late := reporter(t, testKey, "t9", 1, w.listen("10.0.0.19:1"), d1)
		start(t, late.Run)
		time.Sleep(second)
		if err := l.SetNodes([]string{"t9", "t1"}); err != nil {
			t.Fatal(err)
		}
		if err := n.SetDirectors(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(second)
		wantSilent(t, l, "t1: silent for 700ms")
		if got := names(l.List()); !slices.Equal(got, []string{"t9"}) {
			t.Errorf("got %q on the list, want t9", got)
		}
		if err := n.SetDirectors([]Director{{"d1", []netip.AddrPort{netip.MustParseAddrPort(d1)}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settled)
		synctest.Wait()
		if got := names(l.List()); !slices.Equal(got, []string{"t1", "t9"}) {
			t.Errorf("got %q on the list, want t1 t9 at once", got)
		}
		if err := l.SetNodes([]string{"t9"}); err != nil {
			t.Fatal(err)
		}
		if got := names(l.List()); !slices.Equal(got, []string{"t9"}) {
			t.Errorf("got %q on the list, want t9 alone at once", got)
		}
	})
}

func TestReportThatDoesNotFitIsSaid(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		var pools []string
		for i := range MaxApps + 1 {
			pools = append(pools, fmt.Sprint(i))
		}
		n.SetPools(pools)
		start(t, n.Run)
		synctest.Wait()
		if p := n.Status().Problem; p == "" || len(w.taped()) != 0 {
			t.Errorf("got problem %q, %d datagrams, want a problem and none", p, len(w.taped()))
		}
		n.SetPools(pools[:MaxApps])
		time.Sleep(burstGap)
		synctest.Wait()
		if p := n.Status().Problem; p != "" || len(w.taped()) == 0 {
			t.Errorf("got problem %q, %d datagrams, want none and some", p, len(w.taped()))
		}
	})
}

func TestTimingsChangeWhileBothRun(t *testing.T) {
	bubble(t, func(t *testing.T, w *network) {
		l := receiver(t, w.listen(d1), "t1")
		start(t, l.Run)
		n := reporter(t, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
		start(t, n.Run)
		time.Sleep(second)
		if err := l.SetTimings(time.Second, time.Second); err == nil {
			t.Error("a timeout that is no longer than the interval was taken")
		}
		if err := l.SetTimings(20*time.Millisecond, 70*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		n.SetTimings(20*time.Millisecond, 70*time.Millisecond)
		time.Sleep(timeout) // all that was begun under the old timings is over
		drain(l.heard)
		drain(l.silent)
		time.Sleep(second)
		if got := len(drain(l.heard)); got < 45 || got > 55 {
			t.Errorf("got %d reports in a second, want about 50", got)
		}
		wantSilent(t, l)
		n.Mute(true)
		time.Sleep(120 * time.Millisecond)
		wantSilent(t, l, "t1: silent for 70ms")
	})
}
