package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/cluster"
)

func meter(t testing.TB, cfg Config) *Meter {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The node of HAS figures 57 and 58.
func TestHASFigures57And58(t *testing.T) {
	m := meter(t, Config{Proc: "testdata/has/proc", Sys: "testdata/has/sys"})
	l, total := m.Measure(262144 * 1024)
	if total != 775116*1024 || l.Index != 31 { // 1185.43 * 6880 / 262144 = 31.1
		t.Errorf("got index %d, %d bytes of RAM, want 31, %d", l.Index, total, 775116*1024)
	}
	if got := m.Last(); got.Index != 31 || got.Least != 262144*1024 {
		t.Errorf("the last reading: got %+v", got)
	}
	want := []string{"cpu use", "run queue", "cpu pressure", "memory pressure", "bandwidth"}
	if d := cmp.Diff(want, m.Last().Missing); d != "" {
		t.Errorf("missing, -want +got:\n%s", d)
	}
	if l, _ := m.Measure(0); l.Index != 10 { // 1185.43 * 6880 / 775116 = 10.5: its own RAM while nobody says
		t.Errorf("before the least RAM is known: got index %d, want 10", l.Index)
	}
}

func TestSeveralProcessorsCountTogetherAndFreeIsAvailable(t *testing.T) {
	r := meter(t, Config{Proc: "testdata/arm/proc"}).Read()
	if r.BogoMIPS != 216 || r.Index != 108 { // 216 * 512 MB / 1 GB
		t.Errorf("got %v BogoMIPS, index %d, want 216, 108", r.BogoMIPS, r.Index)
	}
	r = meter(t, Config{Proc: "testdata/arm/proc", MemFree: true}).Read()
	if r.Index != 27 { // 216 * 128 MB / 1 GB
		t.Errorf("of MemFree: got index %d, want 27", r.Index)
	}
}

func TestNodeThatSaysAlmostNothing(t *testing.T) {
	m := meter(t, Config{Proc: "testdata/bare/proc", Sys: "testdata/bare/sys"})
	l, total := m.Measure(1 << 30)
	if want := (cluster.Load{Index: 1000, Room: 1_000_000}); cmp.Diff(want, l) != "" || total != 0 {
		t.Errorf("got %+v, %d, want %+v, 0", l, total, want)
	}
	if n := len(m.Last().Missing); n != 7 {
		t.Errorf("got %q missing, want all seven terms", m.Last().Missing)
	}
}

func TestNoProc(t *testing.T) {
	_, err := New(Config{Proc: filepath.Join(t.TempDir(), "proc")})
	if err == nil || !strings.Contains(err.Error(), "mounted?") {
		t.Errorf("got %v, want an error that asks whether it is mounted", err)
	}
}

// A node is a /proc and a /sys that the test writes.
type node struct {
	t   testing.TB
	dir string
	all map[string]string
}

func newNode(t testing.TB) *node {
	n := &node{t: t, dir: t.TempDir(), all: map[string]string{}}
	n.write("proc/cpuinfo", strings.Repeat("processor: 0\nbogomips: 5000.00\n\n", 2))
	n.write("proc/meminfo", "MemTotal: 2097152 kB\nMemFree: 4096 kB\nMemAvailable: 1048576 kB\n")
	n.stat(0, 0)
	n.write("proc/loadavg", "9.99 9.99 9.99 1/100 4711\n")
	n.stall("cpu", 0)
	n.stall("memory", 0)
	n.dev(0, 0)
	n.write("sys/class/net/eth0/device", "")
	n.write("sys/class/net/eth0/speed", "1000\n")
	n.write("sys/class/net/eth0/operstate", "up\n")
	n.write("sys/class/net/br0/operstate", "up\n")
	return n
}

func (n *node) write(path, text string) {
	n.t.Helper()
	path = filepath.Join(n.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) stat(busy, idle int) {
	n.write("proc/stat", fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 2 3\nprocs_running 1\n", busy, idle))
}

func (n *node) stall(what string, us int) {
	n.write("proc/pressure/"+what, fmt.Sprintf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=999999\n", us))
}

func (n *node) dev(rx, tx int) {
	n.write("proc/net/dev", fmt.Sprintf("Inter-| Receive | Transmit\n face |bytes packets|bytes\n"+
		"    lo: %d 1 0 0 0 0 0 0 %d 1 0 0 0 0 0 0\n  eth0:%d 1 0 0 0 0 0 0 %d 1 0 0 0 0 0 0\n   br0: %d 1 0 0 0 0 0 0 %[5]d 1 0 0 0 0 0 0\n", 1<<40, 1<<41, rx, tx, 1<<42))
}

func (n *node) meter(cfg Config) *Meter {
	cfg.Proc, cfg.Sys = filepath.Join(n.dir, "proc"), filepath.Join(n.dir, "sys")
	return meter(n.t, cfg)
}

func TestRatesAreTakenOverTheTimeBetweenReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		m := n.meter(Config{})
		time.Sleep(200 * time.Millisecond)
		n.stat(30, 10)              // three quarters in use
		n.stall("cpu", 50_000)      // a quarter of 200 ms
		n.stall("memory", 100_000)  // half of it
		n.dev(1_000_000, 5_000_000) // 5 MB sent in 200 ms: 200 Mbit/s
		n.write("proc/loadavg", "9.99 9.99 9.99 5/100 4711\n")
		got := m.Read()
		// The queue's first value, 0, was taken as it was; from there it follows with the weight of 200 ms.
		if got.Queue <= 0.3 || got.Queue >= 0.4 {
			t.Errorf("got queue %v, want 2 * (1 - e^-0.2) = 0.36", got.Queue)
		}
		if got.Free <= 963e6 || got.Free >= 965e6 {
			t.Errorf("got %v bit/s free, want 1e9 - 2e8 * (1 - e^-0.2) = 964e6", got.Free)
		}
		want := Terms{
			BogoMIPS: 10000, Use: 0.75, Queue: got.Queue, CPUPressure: 0.25, Available: 1 << 30, Least: 2 << 30,
			MemoryPressure: 0.5, Links: 1, Free: got.Free,
		}
		if d := cmp.Diff(want, got.Terms); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if got.Busy != 750 || len(got.Missing) != 0 || got.Room != got.Terms.Room() {
			t.Errorf("got busy %d, missing %q, room %d", got.Busy, got.Missing, got.Room)
		}
		for range 50 { // the same rates go on: everything comes to what was put in
			time.Sleep(200 * time.Millisecond)
			got = m.Read()
		}
		if got.Queue < 1.99 || got.Use != 0.75 || got.CPUPressure > 0.001 || got.Free < 999e6 {
			t.Errorf("after 10 s: got %+v", got.Terms)
		}
	})
}

func TestTermComesBackAfterItsFileWasUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		m := n.meter(Config{})
		n.write("proc/pressure/cpu", "")
		time.Sleep(time.Second)
		if got := m.Read(); cmp.Diff([]string{"cpu pressure"}, got.Missing) != "" {
			t.Errorf("got %q missing, want cpu pressure", got.Missing)
		}
		n.stall("cpu", 1_000_000_000)
		time.Sleep(time.Second)
		m.Read()
		n.stall("cpu", 1_000_500_000)
		time.Sleep(time.Second)
		if got := m.Read(); got.CPUPressure != 0.5 || len(got.Missing) != 0 {
			t.Errorf("got pressure %v, missing %q, want 0.5, none", got.CPUPressure, got.Missing)
		}
	})
}

func TestReadingsTooCloseTogetherKeepTheRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		m := n.meter(Config{})
		n.stat(1, 0)
		time.Sleep(time.Millisecond)
		if got := m.Read(); got.Use != 0 {
			t.Errorf("got use %v out of 1 ms, want the old one, 0", got.Use)
		}
	})
}

func TestWhichLinksCount(t *testing.T) {
	tests := []struct {
		name string
		set  func(*node)
		cfg  Config
		want Terms
	}{
		{"those with hardware", func(*node) {}, Config{}, Terms{Links: 1, Free: 1e9}},
		{"without hardware all but lo", func(n *node) {
			os.Remove(filepath.Join(n.dir, "sys/class/net/eth0/device"))
		}, Config{Speed: 5e9}, Terms{Links: 2, Free: 6e9}},
		{"those that are named", func(*node) {}, Config{Links: []string{"br0"}, Speed: 2e9}, Terms{Links: 1, Free: 2e9}},
		{"not those that are down", func(n *node) { n.write("sys/class/net/eth0/operstate", "down\n") }, Config{}, Terms{}},
		{"of unknown speed", func(n *node) { n.write("sys/class/net/eth0/speed", "-1\n") }, Config{}, Terms{Links: 1, Free: 1e9}},
	}
	for _, tt := range tests {
		n := newNode(t)
		tt.set(n)
		r := n.meter(tt.cfg).Read()
		if got := (Terms{Links: r.Links, Free: r.Free}); got != tt.want {
			t.Errorf("%s: got %d links, %v bit/s free, want %d, %v", tt.name, got.Links, got.Free, tt.want.Links, tt.want.Free)
		}
	}
}

func FuzzFiles(f *testing.F) {
	for _, s := range []string{
		"cpu  1 2 3 4 5 6 7 8 9 10\n", "cpu 18446744073709551615 9", "MemTotal: 5 kB\nMemAvailable: 99999999999999999999 kB",
		"0.1 0.2 0.3 4/5 6\n", "some avg10=0 total=77\n", "  eth0: 1 2 3 4 5 6 7 8 9 10\n", "eth0:1 2\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kilobytes(b, "MemTotal:")
		jiffies(b)
		runnable(b)
		stalled(b)
		traffic(b)
		n, rest, ok := number(b)
		if ok && len(rest) >= len(b) {
			t.Errorf("number(%q): got %d without reading a digit", b, n)
		}
	})
}

// One reading of this machine: it is taken five times a second.
func BenchmarkRead(b *testing.B) {
	m := meter(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		m.at = time.Time{} // all files, as if the last reading were long ago
		m.Read()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)*5/1e9*100, "%core@5Hz")
}
