package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// program makes the one that the lab's nodes run, or ends the test if there can be no lab.
func program(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: a lab is made of namespaces")
	}
	if path := os.Getenv("BENCH_PROGRAM"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "muster")
	cmd := exec.Command("go", "build", "-o", path, "muster/cmd/muster")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build muster: %v\n%s", err, out)
	}
	return path
}

// Every way must have done its work, and have been charged for it.
func TestDispatchInALab(t *testing.T) {
	needPeers(t)
	opt := DispatchOptions{Options: Options{Sizes: []int{1024}, Rounds: 1, Round: 100 * time.Millisecond, Warm: 10 * time.Millisecond}}
	r, err := Dispatch(t.Context(), opt, program(t))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", &table)
	for _, way := range Methods {
		m := r.Methods[way]
		if m.CPU <= 0 || m.Rate <= 0 || m.Packets <= 0 || m.Nodes <= 0 {
			t.Errorf("%s: %+v", way, m)
		}
		if byBPF := slices.Contains([]string{wayDR, wayTunnel, wayNAT}, way); byBPF != (m.Programs > 0) || byBPF && m.Programs > m.Packets {
			t.Errorf("%s: BPF takes %v of %v µs", way, m.Programs, m.Packets)
		}
	}
	if r.Direct.Packets != 0 || r.Direct.CPU != 0 || r.Direct.Nodes <= 0 {
		t.Errorf("without a director: %+v", r.Direct)
	}
	if r.DRToHAProxy <= 0 || r.DRToHAProxy > 1 || len(r.Capacity) != 1 {
		t.Errorf("dr to HAProxy %v, capacity %+v", r.DRToHAProxy, r.Capacity)
	}
}

func TestScaleInALab(t *testing.T) {
	opt := ScaleOptions{Options: Options{Rounds: 1, Round: 300 * time.Millisecond, Connections: 2}, Nodes: []int{1, 3}, Cores: 0.05, Work: 100}
	r, err := Scale(t.Context(), opt, program(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Clusters) != 2 || r.Alone <= 0 {
		t.Errorf("got %+v", r)
	}
	for _, c := range r.Clusters {
		if c.Rate <= 0 || c.Kept <= 0 || c.Busy <= 0 {
			t.Errorf("got %+v", c)
		}
	}
}
