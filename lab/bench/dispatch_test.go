package bench

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"muster/config"
	"muster/lab/testbed"
)

// figure is what a way costs, with more behind the point than is told.
func figure(process, bpf, packets, whole, nodes, machine float64) Figure {
	return Figure{CPU: process, Rate: 1000, Median: 1, Slow: 2, Cost: Cost{process, bpf, 2, packets, whole, nodes, machine, 1}}
}

func TestDispatchIsWorkedOut(t *testing.T) {
	figures := make([][]Figure, 2)
	for i, by := range []float64{4, 1} { // the larger replies come first
		figures[i] = []Figure{
			figure(0, 0, 0, 0, 20*by, 50*by),
			figure(0.05, 0.15, 0.9, 1, 20*by, 52*by),
			figure(0.05, 0.2, 1.1, 1.2, 20*by, 52*by),
			figure(0.05, 0.3, 1.8, 2, 20*by, 53*by),
			figure(16, 0, 5, 16, 20*by, 70*by),
			figure(20, 0, 5, 22, 20*by, 75*by),
			figure(19, 0, 5, 20, 20*by, 74*by),
			figure(0, 0, 4, 4, 20*by, 55*by),
		}
	}
	r := dispatchResult([]int{4096, 1024}, DispatchOptions{}.ways(), figures)
	if r.Bytes != 1024 || r.DRToHAProxy != 0.01 || r.NATToDR != 1.75 || r.NFTToDR != 20 {
		t.Errorf("got %+v", r)
	}
	if want := (WholeRatios{0.0455, 2, 4}); r.Whole != want {
		t.Errorf("got %+v, want %+v", r.Whole, want)
	}
	if m := r.Methods[wayNFTables]; m.CPU != 4 || m.OverDirect != 5 || m.Limit != 250000 || r.Direct.OverDirect != 0 {
		t.Errorf("got %+v", m)
	}
	want := Capacity{Bytes: 4096, Node: 80, Nodes: map[string]float64{
		wayDR: 400, wayTunnel: 320, wayNAT: 228.6, wayProxy: 5, wayHAProxy: 4, wayNginx: 4.2, wayNFTables: 20,
	}, Whole: map[string]float64{
		wayDR: 80, wayTunnel: 66.7, wayNAT: 40, wayProxy: 5, wayHAProxy: 3.6, wayNginx: 4, wayNFTables: 20,
	}}
	if d := cmp.Diff(want, r.Capacity[0]); d != "" {
		t.Error(d)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var agreed struct {
		Methods     map[string]struct{ CPU, RPS float64 }
		DRToHAProxy float64 `json:"dr_to_haproxy"`
	}
	var plain struct {
		Methods map[string]map[string]float64 `json:"methods"`
	}
	if err := json.Unmarshal(b, &agreed); err != nil || agreed.DRToHAProxy != 0.01 {
		t.Errorf("%v: %s", err, b)
	}
	if err := json.Unmarshal(b, &plain); err != nil || plain.Methods["dr"]["cpu_us"] != 0.2 || plain.Methods["haproxy"]["rps"] != 1000 {
		t.Errorf("%v: %s", err, b)
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"4700", "2000", "dr to haproxy 1/100, nat to dr 1.75, nftables to dr 20.0; by whole: 1/22, "} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, &table)
		}
	}
	if err := r.Plot(filepath.Join(t.TempDir(), "dispatch.svg")); err != nil {
		t.Error(err)
	}
}

func TestScaleIsWorkedOut(t *testing.T) {
	opt := ScaleOptions{Nodes: []int{16, 2, 16}}.withDefaults()
	with := func(rate float64) Figure { return Figure{Rate: rate, Cost: Cost{Processes: 0.1, Busy: 0.5}} }
	r := scaleResult(opt, 16, []Figure{with(6400), with(6000), with(7000)}, []Figure{with(450)}, [][]rung{
		{{with(800), 1}, {with(800), 1.01}}, {{with(6304), 0.985}, {with(6000), 0.98}, {with(7000), 0.99}},
	})
	if len(r.Clusters) != 2 || r.Alone != 400 || r.Resting != 450 {
		t.Fatalf("got %+v", r)
	}
	want := Scaled{Nodes: 16, Rate: 6304, Kept: 0.985, Least: 0.98, Most: 0.99, Director: 0.1, Busy: 0.5}
	if r.Clusters[1] != want || r.Clusters[0].Kept != 1.005 || r.Clusters[0].Rate != 804 {
		t.Errorf("got %+v, want %+v", r.Clusters, want)
	}
	if r.HAS[3].Kept != 0.969 || r.LVS[5].Kept != 0.65 {
		t.Errorf("HAS says 96.9 %% at 16 and LVS 65 %% at 12: %+v, %+v", r.HAS, r.LVS)
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"clusters":[{"nodes":2,"rps":804,"kept":1.005,`) {
		t.Errorf("%v: %s", err, b)
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil || !strings.Contains(table.String(), "98.5 %") || !strings.Contains(table.String(), "96.9 %") {
		t.Errorf("%v\n%s", err, &table)
	}
	if err := r.Plot(filepath.Join(t.TempDir(), "scale.svg")); err != nil {
		t.Error(err)
	}
}

func TestTheLabsFilesAreRight(t *testing.T) {
	for name, file := range map[string]func(*testbed.Layout, testbed.Paths) string{
		"dispatch": func(l *testbed.Layout, p testbed.Paths) string { return dispatchFile(l, p, "/srv", Methods) },
		"scale": func(l *testbed.Layout, p testbed.Paths) string {
			return scaleFile(l, p, "/muster", "/srv", ScaleOptions{Work: 100}.withDefaults())
		},
	} {
		l, err := testbed.Plan{Directors: 1, Traffic: 2, Monitors: 3}.Layout()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse("cluster.yaml", []byte(file(l, testbed.Paths{Key: "/key"}))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcessesAreKeptToAProcessor(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	if err := keepTo([]int{sleep.Process.Pid}, 0); err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(sleep.Process.Pid, &set); err != nil || set.Count() != 1 || !set.IsSet(0) {
		t.Errorf("%v, %v", set, err)
	}
	if err := keepTo([]int{1 << 30}, 0); err == nil {
		t.Error("a process that is not there was kept")
	}
}

func TestTooManyNodesAreRefused(t *testing.T) {
	_, err := Scale(t.Context(), ScaleOptions{Nodes: []int{64}, Cores: 1}, "/nonexistent")
	if err == nil || !strings.Contains(err.Error(), "--cores") {
		t.Errorf("got %v", err)
	}
}

func TestAPageTakesWork(t *testing.T) {
	page := Page(2)
	if len(page) != 1024 || bytes.Equal(page, Page(3)) || !bytes.Equal(page, Page(2)) {
		t.Errorf("got %s", page)
	}
	// printf '%2048s' | tr ' ' '\\0' | sha256sum
	if want := "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad"; !bytes.HasPrefix(page, []byte(want)) {
		t.Errorf("got %s, want %s again and again", page, want)
	}
}

func TestAClusterHasOtherNodesInEachRound(t *testing.T) {
	seen := map[int]bool{}
	for round := range 7 {
		for _, nodes := range []int{1, 3, 16, 64} {
			list := choose(round, nodes, 64)
			if len(list) != nodes || len(slices.Compact(slices.Sorted(slices.Values(list)))) != nodes || slices.Max(list) >= 64 {
				t.Errorf("round %d, %d nodes: got %v", round, nodes, list)
			}
			if nodes == 1 {
				seen[list[0]] = true
			}
		}
	}
	if len(seen) != 7 {
		t.Errorf("seven rounds have had %v", seen)
	}
}
