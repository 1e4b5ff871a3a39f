package schedule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"muster/cluster"
)

// Pool makes members t0, t1, ... of the weights, active and at full speed.
func pool(weights ...int) []cluster.Member {
	members := make([]cluster.Member, len(weights))
	for i, w := range weights {
		members[i] = cluster.Member{Node: fmt.Sprint("t", i), State: cluster.Active, Weight: w, Ramp: 1, Live: new(cluster.Live)}
	}
	return members
}

func table(t testing.TB, name string, floor float64, members []cluster.Member) *cluster.Table {
	p, err := New(name, Config{Floor: floor})
	if err != nil {
		t.Fatal(err)
	}
	return p.Table("web", members)
}

func weightsOf(t *cluster.Table) (w []int) {
	for _, s := range t.Shares {
		w = append(w, int(s.Weight))
	}
	return w
}

// Ask puts n requests to the table, as a director with nothing under way would, and returns how many each share got.
func ask(t *cluster.Table, n int) []int {
	got := make([]int, len(t.Shares))
	r := rand.New(rand.NewPCG(1, 2))
	for turn := range n {
		a := cluster.Ask{Turn: uint64(turn), Key: r.Uint64(), Random: r.Uint64(), Port: uint16(r.Uint32())}
		if i := t.Pick(&a); i >= 0 {
			got[i]++
		}
	}
	return got
}

func TestNames(t *testing.T) {
	want := strings.Fields("rr wrr lc wlc sh mh random p2c least-time has load")
	if diff := cmp.Diff(want, Names()); diff != "" {
		t.Error(diff)
	}
	for _, name := range want {
		p, err := New(name, Config{})
		if err != nil || p.Name() != name || Describe(name) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"leasttime": `schedule "leasttime": there is none of that name (did you mean least-time?); there are rr, wrr, lc`,
		"wrrr":      `(did you mean wrr?)`,
		"ran":       `(did you mean random?)`,
		"fastest":   `schedule "fastest": there is none of that name; there are rr`,
	} {
		if _, err := New(name, Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	for _, floor := range []float64{-1, 100.5, math.NaN()} {
		if _, err := New("rr", Config{Floor: floor}); err == nil {
			t.Errorf("a floor of %v was accepted", floor)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		name    string
		policy  string
		floor   float64
		change  func(m []cluster.Member)
		weights []int
		want    []int
	}{
		{"as configured", "wrr", 0, nil, []int{100, 50, 0}, []int{10000, 5000, 0}},
		{"equal", "rr", 0, nil, []int{100, 50, 0}, []int{10000, 10000, 0}},
		{"slow start", "wrr", 0, func(m []cluster.Member) { m[1].Ramp = 0.25 }, []int{100, 100}, []int{10000, 2500}},
		{"slow start of equals", "lc", 0, func(m []cluster.Member) { m[1].Ramp = 0.25 }, []int{100, 100}, []int{10000, 2500}},
		{"not active", "wlc", 2, func(m []cluster.Member) {
			m[0].State, m[1].State, m[2].State = cluster.Out, cluster.Standby, cluster.InTransition
		}, []int{100, 100, 100, 100}, []int{0, 0, 0, 10000}},
		{"floor", "wrr", 50, nil, []int{100, 100, 100, 1}, []int{8779, 8779, 8779, 3763}},
		{"a floor of 100 % makes all equal", "wrr", 100, nil, []int{100, 250, 1}, []int{11700, 11700, 11700}},
		{"index", "has", 0, func(m []cluster.Member) { m[0].Index, m[1].Index = 3000, 1000 }, []int{100, 100}, []int{15000, 5000}},
		{"index and weight", "has", 0, func(m []cluster.Member) { m[0].Index, m[1].Index = 1000, 2000 }, []int{200, 100}, []int{15000, 15000}},
		{"no room, no floor", "has", 0, func(m []cluster.Member) { m[0].Index = 1000 }, []int{100, 100}, []int{20000, 1}},
		{"no room, floor", "has", 2, func(m []cluster.Member) { m[0].Index = 1000 }, []int{100, 100}, []int{19800, 200}},
		{"nobody has an index", "has", 2, nil, []int{100, 50}, []int{10000, 5000}},
		{"room is another index", "load", 0, func(m []cluster.Member) { m[0].Index, m[0].Room, m[1].Room = 9999, 1000, 3000 }, []int{100, 100}, []int{5000, 15000}},
		{"an index does not make out in", "load", 2, func(m []cluster.Member) { m[0].Room, m[0].State, m[1].Room = 9000, cluster.Out, 10 }, []int{100, 100}, []int{0, 10000}},
	} {
		members := pool(c.weights...)
		if c.change != nil {
			c.change(members)
		}
		if diff := cmp.Diff(c.want, weightsOf(table(t, c.policy, c.floor, members))); diff != "" {
			t.Errorf("%s: %s (-want +got)", c.name, diff)
		}
	}
}

// HAS Table 11: the head of the list sorted by index gets the most.
func TestHASTable11(t *testing.T) {
	indexes := []cluster.Index{4097, 4484, 3973, 4397, 4190, 4353, 4235, 4295}
	members := pool(100, 100, 100, 100, 100, 100, 100, 100)
	total := 0.0
	for i := range members {
		members[i].Index = indexes[i]
		total += float64(indexes[i])
	}
	const n = 100_000
	for i, got := range ask(table(t, "has", 0, members), n) {
		if want := n * float64(indexes[i]) / total; math.Abs(float64(got)-want) > 0.005*want {
			t.Errorf("index %d: got %d requests, want %.0f", indexes[i], got, want)
		}
	}
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    string
	}{
		{[]int{100, 100, 100}, "0 1 2"},
		{[]int{100, 0, 100}, "0 2"},
		{[]int{5, 1, 1}, "0 0 0 1 0 0 2"},
		{[]int{4, 3, 2, 1}, "0 1 0 2 1 0 0 1 2 3"},
		{[]int{200, 100}, "0 0 1"},
	} {
		if got := strings.Trim(fmt.Sprint(table(t, "wrr", 0, pool(c.weights...)).Slots), "[]"); got != c.want {
			t.Errorf("weights %d: got turns %s, want %s", c.weights, got, c.want)
		}
	}
}

func TestTurnsAreBoundedAndInProportion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint32Range(0, 100_000), 1, 200).Draw(t, "weights")
		shares := make([]cluster.Share, len(weights))
		var sum float64
		for i, w := range weights {
			shares[i].Weight = w
			sum += float64(w)
		}
		var u turns
		list := u.order(shares)
		if len(list) > min(max(turnsWanted, turnsPerNode*len(weights))+len(weights), mostTurns) || (len(list) == 0) != (sum == 0) {
			t.Fatalf("%d turns for %d nodes", len(list), len(weights))
		}
		got := make([]float64, len(weights))
		for _, i := range list {
			got[i]++
		}
		for i, w := range weights {
			want := float64(w) / sum * float64(len(list))
			if (w == 0) != (got[i] == 0) || w > 0 && math.Abs(got[i]-want) > 1+want*float64(len(weights))/turnsWanted {
				t.Fatalf("weight %d of %g: %g of %d turns", w, sum, got[i], len(list))
			}
		}
	})
}

// A table of the kernel has 65,537 slots, and a pool at most 4,096 nodes.
func TestTurnsOfTheLargestPoolFitTheKernel(t *testing.T) {
	shares := make([]cluster.Share, 4096)
	for i := range shares {
		shares[i].Weight = uint32(1 + i%3*9999)
	}
	var u turns
	if n := len(u.order(shares)); n < 60_000 || n > 65_536 {
		t.Errorf("got %d turns, want about and at most 65,536", n)
	}
}

// Every policy gives each node its part, where nothing is under way but what it gave itself.
func TestPartsFollowWeights(t *testing.T) {
	const n = 60_000
	for _, name := range []string{"wrr", "random", "has", "load", "sh", "mh"} {
		for i, got := range ask(table(t, name, 0, pool(100, 200, 300)), n) {
			if want := n * (i + 1) / 6; math.Abs(float64(got-want)) > 0.03*float64(want) {
				t.Errorf("%s: node %d got %d of %d requests, want about %d", name, i, got, n, want)
			}
		}
	}
	for _, name := range []string{"rr", "lc", "wlc", "p2c", "least-time"} {
		weights, want := []int{100, 200, 300}, []int{n / 6, n / 3, n / 2}
		if name == "rr" || name == "lc" {
			want = []int{n / 3, n / 3, n / 3}
		}
		members := pool(weights...)
		table := table(t, name, 0, members)
		for i := range members {
			members[i].Live.Time.Store(1e6)
		}
		r := rand.New(rand.NewPCG(3, 4))
		for turn := range n { // nothing is ever finished: the counts are what was given
			i := table.Pick(&cluster.Ask{Turn: uint64(turn), Random: r.Uint64()})
			members[i].Live.Active.Add(1)
		}
		for i, m := range members {
			if got := int(m.Live.Active.Load()); math.Abs(float64(got-want[i])) > 0.03*float64(want[i]) {
				t.Errorf("%s: node %d got %d of %d requests, want about %d", name, i, got, n, want[i])
			}
		}
	}
}

func TestEqualsShareWhenIdle(t *testing.T) {
	for _, name := range []string{"lc", "wlc"} {
		if diff := cmp.Diff([]int{250, 250, 250, 250}, ask(table(t, name, 0, pool(100, 100, 100, 100)), 1000)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLeastTime(t *testing.T) {
	members := pool(100, 100, 100)
	live := func(i int, time, active int64) {
		members[i].Live.Time.Store(time)
		members[i].Live.Active.Store(active)
	}
	tab := table(t, "least-time", 0, members)
	for _, c := range []struct {
		name  string
		state [3][2]int64 // time, under way
		want  int
	}{
		{"the fastest", [3][2]int64{{5e6, 0}, {2e6, 0}, {9e6, 0}}, 1},
		{"until it has more to do", [3][2]int64{{5e6, 0}, {2e6, 2}, {9e6, 0}}, 0},
		{"the unknown first", [3][2]int64{{5e6, 0}, {2e6, 0}, {0, 0}}, 2},
		{"one request explores it", [3][2]int64{{5e6, 9}, {9e6, 9}, {0, 1}}, 0},
		{"all unknown: the least under way", [3][2]int64{{0, 3}, {0, 1}, {0, 2}}, 1},
	} {
		for i, s := range c.state {
			live(i, s[0], s[1])
		}
		for turn := range uint64(explore - 1) {
			if got := tab.Pick(&cluster.Ask{Turn: turn}); got != c.want {
				t.Fatalf("%s: got node %d, want %d", c.name, got, c.want)
			}
		}
	}
	seen := map[int]bool{}
	for k := range uint64(3) {
		seen[tab.Pick(&cluster.Ask{Turn: k*explore + explore - 1})] = true
	}
	if len(seen) != 3 {
		t.Errorf("of the requests that explore, only nodes %v got any", seen)
	}
}

func TestP2CTakesTheLessBusy(t *testing.T) {
	members := pool(100, 100)
	members[0].Live.Active.Store(5)
	if got := ask(table(t, "p2c", 0, members), 1000); got[0] != 0 {
		t.Errorf("the busier of two got %d requests of 1000", got[0])
	}
}

// A client keeps its node when others come and go; its port counts for mh alone.
func TestHashing(t *testing.T) {
	members := pool(100, 100, 100, 100)
	for _, name := range []string{"sh", "mh"} {
		before := table(t, name, 2, members)
		down := slices.Clone(members)
		down[2].State = cluster.Out
		after := table(t, name, 2, down)
		ports := map[int]bool{}
		for k := range uint64(5000) {
			a := cluster.Ask{Key: k * 7919, Port: uint16(k), Turn: k, Random: k << 40}
			b := cluster.Ask{Key: k * 7919, Port: uint16(k)}
			was, is := before.Pick(&a), after.Pick(&b)
			if was != is && was != 2 || is == 2 {
				t.Fatalf("%s: key %d went from node %d to %d when node 2 was lost", name, k, was, is)
			}
			ports[before.Pick(&cluster.Ask{Key: 42, Port: uint16(k)})] = true
		}
		if want := map[string]int{"sh": 1, "mh": 4}[name]; len(ports) != want {
			t.Errorf("%s: the ports of one client lead to %d nodes, want %d", name, len(ports), want)
		}
	}
}

// Whatever the policy: who may not take a request never gets it, and if anybody may, somebody does.
func TestOnlyTheEligible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 70).Draw(t, "n")
		members := make([]cluster.Member, n)
		few := rapid.Bool().Draw(t, "few")
		for i := range members {
			members[i] = cluster.Member{Node: fmt.Sprint("t", i), Weight: rapid.SampledFrom([]int{0, 1, 100, 1000}).Draw(t, "weight"), Ramp: 1, Live: new(cluster.Live)}
			if !few || rapid.IntRange(0, 30).Draw(t, "active") == 0 {
				members[i].State = cluster.Active
			}
			members[i].Live.Limit.Store(3)
			members[i].Live.Active.Store(rapid.Int64Range(0, 4).Draw(t, "under way"))
			members[i].Live.Avoid.Store(rapid.Int64Range(0, 2).Draw(t, "avoid"))
			members[i].Index = cluster.Index(rapid.IntRange(0, 5000).Draw(t, "index"))
		}
		name := rapid.SampledFrom(Names()).Draw(t, "policy")
		p, err := New(name, Config{Floor: 2})
		if err != nil {
			t.Fatal(err)
		}
		tab := p.Table("web", members)
		a := cluster.Ask{Key: rapid.Uint64().Draw(t, "key"), Random: rapid.Uint64().Draw(t, "random"), Turn: rapid.Uint64().Draw(t, "turn"), Now: 1}
		for try := range 5 {
			if try > 0 && n > 0 {
				a.Tried(rapid.IntRange(0, n-1).Draw(t, "tried"))
			}
			got := tab.Pick(&a)
			again := tab.Pick(&a)
			if got != again {
				t.Fatalf("%s: the same question got %d and %d", name, got, again)
			}
			any := false
			a.Any = true
			for i := range members {
				any = any || a.May(tab, i)
			}
			if any != (got >= 0) || got >= 0 && !a.May(tab, got) {
				t.Fatalf("%s: got share %d; may anybody: %v", name, got, any)
			}
		}
	})
}

// The counts change under the choice: whatever it reads, it gives a share or none.
func TestChooseWhileCountsChange(t *testing.T) {
	for _, name := range Names() {
		members := pool(100, 100, 50)
		tab := table(t, name, 2, members)
		for _, m := range members {
			m.Live.Limit.Store(1)
		}
		var wg sync.WaitGroup
		for seed := range uint64(4) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 5))
				for turn := range uint64(3000) {
					a := cluster.Ask{Turn: turn, Key: r.Uint64(), Random: r.Uint64(), Now: int64(turn)}
					if i := tab.Pick(&a); i >= 0 {
						live := members[i].Live
						live.Active.Add(1)
						live.Observe(int64(turn))
						live.Avoid.Store(int64(turn + 2))
						live.Active.Add(-1)
					}
				}
			})
		}
		wg.Wait()
	}
}

// A node that is passed over leaves its part to all others, not to its neighbour.
func TestTurnsOfOneThatIsAvoidedAreSpread(t *testing.T) {
	members := pool(100, 100, 100, 100)
	members[1].Live.Avoid.Store(1)
	if diff := cmp.Diff([]int{400, 0, 400, 400}, ask(table(t, "rr", 0, members), 1200)); diff != "" {
		t.Error(diff)
	}
}

func TestChooseDoesNotAllocate(t *testing.T) {
	for _, name := range Names() {
		members := pool(100, 100, 50)
		members[0].Live.Avoid.Store(1 << 40)
		tab := table(t, name, 2, members)
		var a cluster.Ask
		if got := testing.AllocsPerRun(200, func() {
			a.Turn, a.Key, a.Random = a.Turn+1, a.Key+1, a.Random+1<<31
			tab.Pick(&a)
		}); got != 0 {
			t.Errorf("%s: %v allocations a choice", name, got)
		}
	}
}

func TestWorth(t *testing.T) {
	members := pool(100, 100, 100)
	for i := range members {
		members[i].Index = 1000
	}
	for _, c := range []struct {
		name   string
		policy string
		change func(m []cluster.Member)
		want   bool
	}{
		{"nothing", "has", func([]cluster.Member) {}, false},
		{"a little more room", "has", func(m []cluster.Member) { m[0].Index = 1020 }, false},
		{"all alike have less room", "has", func(m []cluster.Member) { m[0].Index, m[1].Index, m[2].Index = 500, 500, 500 }, false},
		{"more room", "has", func(m []cluster.Member) { m[0].Index = 1100 }, true},
		{"a state", "has", func(m []cluster.Member) { m[0].State = cluster.Out }, true},
		{"a state of one that has no weight", "wrr", func(m []cluster.Member) { m[0].State, m[0].Weight = cluster.Standby, 0 }, true},
		{"a little of slow start", "wrr", func(m []cluster.Member) { m[0].Ramp = 0.99 }, true},
		{"an index that does not count", "wrr", func(m []cluster.Member) { m[0].Index = 5 }, false},
		{"another node", "has", func(m []cluster.Member) { m[0].Live = new(cluster.Live) }, true},
	} {
		changed := slices.Clone(members)
		c.change(changed)
		old := table(t, c.policy, 2, members)
		if got := Worth(old, table(t, c.policy, 2, changed)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if tab := table(t, "has", 2, members); !Worth(nil, tab) || !Worth(table(t, "has", 2, members[:2]), tab) || !Worth(table(t, "rr", 2, members), tab) {
		t.Error("the first table, more nodes, or another schedule is not worth a swap")
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, name := range Names() {
		for _, n := range []int{4, 16, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				members := pool(slices.Repeat([]int{100}, n)...)
				for i := range members {
					members[i].Weight += i % 3
					members[i].Index, members[i].Room = cluster.Index(4000+i%7), cluster.Index(4000+i%7)
					members[i].Live.Time.Store(int64(1e6 + i))
					members[i].Live.Active.Store(int64(i % 5))
				}
				tab := table(b, name, 2, members)
				var a cluster.Ask
				b.ReportAllocs()
				for b.Loop() {
					a.Turn++
					a.Key = a.Turn * 0x9e3779b97f4a7c15
					a.Random = a.Key
					tab.Pick(&a)
				}
			})
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for _, name := range []string{"wrr", "wlc", "sh", "has"} {
		for _, n := range []int{16, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				members := pool(slices.Repeat([]int{100}, n)...)
				for i := range members {
					members[i].Index = cluster.Index(4000 + i%7)
				}
				p, err := New(name, Config{Floor: 2})
				if err != nil {
					b.Fatal(err)
				}
				for i := 0; b.Loop(); i++ {
					members[0].Ramp = float64(i%50+1) / 50
					p.Table("web", members)
				}
			})
		}
	}
}
