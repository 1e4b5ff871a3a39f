package scenario

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"muster/config"
	"muster/lab/load"
	"muster/lab/site"
	"muster/lab/testbed"
)

func TestAReportHasTheAgreedForm(t *testing.T) {
	r := &Report{Scenarios: []Result{}}
	r.add(Result{Name: "one", Passed: true, Requests: 100, LongestGap: 12.5})
	r.add(Result{
		Name: "two", Requests: 50, Failed: 3, Broken: 1, Errors: map[string]int64{"closed": 2, "reset": 1},
		Asserted: []Assertion{{"no request fails", false, "3 of 50 failed"}, {"the sky is up", true, "it is"}},
		Tails:    map[string]string{"d1": "a\nb"},
	})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenarios      []map[string]any
		Passed, Failed int
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Passed != 1 || got.Failed != 1 || len(got.Scenarios) != 2 {
		t.Errorf("got %d passed, %d failed, %d scenarios", got.Passed, got.Failed, len(got.Scenarios))
	}
	want := map[string]any{"name": "one", "passed": true, "requests": 100.0, "failed": 0.0, "broken": 0.0, "longest_gap_ms": 12.5}
	for k, v := range want {
		if got.Scenarios[0][k] != v {
			t.Errorf("%s: got %v, want %v", k, got.Scenarios[0][k], v)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "1 of 2  FAILED two (closed 2, reset 1)\n1 passed, 1 failed\n") {
		t.Errorf("table:\n%s", &table)
	}
	said := r.Scenarios[1].String()
	for _, want := range []string{"NOT SO: no request fails: 3 of 50 failed", "d1 said last:\n    a\n    b"} {
		if !strings.Contains(said, want) {
			t.Errorf("a failure says\n%s\nwant %q in it", said, want)
		}
	}
	if strings.Contains(said, "sky") {
		t.Errorf("a failure tells what held:\n%s", said)
	}
}

func TestScenariosAreFoundByName(t *testing.T) {
	all, err := Find("all")
	if err != nil || len(all) != len(All()) {
		t.Errorf("all: got %d, %v", len(all), err)
	}
	two, err := Find("nat", "dr")
	if err != nil || len(two) != 2 || two[0].Name != "nat" || two[1].Name != "dr" {
		t.Errorf("nat, dr: got %v, %v", two, err)
	}
	if _, err := Find("drr"); err == nil || !strings.Contains(err.Error(), "there are dr nat tunnel") {
		t.Errorf("drr: got %v", err)
	}
	for _, s := range All() {
		if s.Name == "" || s.Does == "" || s.Must == "" || s.do == nil {
			t.Errorf("scenario %q does not say what it is", s.Name)
		}
		for _, p := range s.Needs {
			if packages[p] == "" {
				t.Errorf("%s needs %s, of which nobody knows the package", s.Name, p)
			}
		}
	}
}

func TestTheFilesOfAllScenariosAreRight(t *testing.T) {
	docs := &site.Tree{Root: "/srv/documents", Files: []site.File{{Path: "/bytes/1"}}}
	for _, s := range All() {
		shape := s.shape.filled()
		l, err := testbed.Plan{Traffic: shape.traffic}.Layout()
		if err != nil {
			t.Fatal(err)
		}
		text := shape.text(l, testbed.Paths{Dir: "/lab", Key: "/lab/key", Site: "/lab/site"}, docs)
		f, err := config.Parse("cluster.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v\n%s", s.Name, err, text)
			continue
		}
		if got, want := len(f.Services), 2*len(shape.offer); got != want {
			t.Errorf("%s: got %d services, want %d", s.Name, got, want)
		}
	}
}

func TestWhatWrkSays(t *testing.T) {
	const said = `Running 1s test @ http://10.7.1.100:80/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.08ms    2.04ms  23.11ms   92.51%
    Req/Sec    27.08k     3.30k   31.96k    80.00%
  26950 requests in 1.00s, 33.33MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  26918.54
`
	w, err := readWrk(said)
	if err != nil || w.Requests != 26950 || w.Errors != 15 || w.Slowest != 23110*time.Microsecond {
		t.Errorf("got %+v, %v", w, err)
	}
	if _, err := readWrk("unable to connect"); err == nil {
		t.Error("no figures were taken for some")
	}
}

func TestFragmentsMakeTheirDatagram(t *testing.T) {
	payload := query(7, largeQuery)
	for _, addrs := range [][2]string{{"10.7.9.11", "10.7.1.100"}, {"fd07:9::11", "fd07:1::100"}} {
		from, to := netip.AddrPortFrom(netip.MustParseAddr(addrs[0]), 4711), netip.AddrPortFrom(netip.MustParseAddr(addrs[1]), dnsPort)
		list, err := fragments(from, to, payload, 1, 1200)
		if err != nil || len(list) != 3 {
			t.Fatalf("%s: got %d fragments, %v", to, len(list), err)
		}
		whole := make([]byte, 8+len(payload))
		for i, p := range list {
			head, at, more := 20, 8*int(binary.BigEndian.Uint16(p[6:])&0x1fff), p[6]&0x20 != 0
			if to.Addr().Is6() {
				head = 48
				offset := binary.BigEndian.Uint16(p[42:])
				at, more = int(offset&^7), offset&1 != 0
			}
			if more != (i < 2) {
				t.Errorf("%s: fragment %d says that more come: %v", to, i, more)
			}
			copy(whole[at:], p[head:])
		}
		if got := binary.BigEndian.Uint16(whole[2:]); got != dnsPort {
			t.Errorf("%s: got port %d", to, got)
		}
		if d := cmp.Diff(payload, whole[8:]); d != "" {
			t.Errorf("%s: -want +got:\n%s", to, d)
		}
	}
}

func TestTheTextOfAnAnswer(t *testing.T) {
	question := query(1, 0)[12 : 12+len(whoName)+6]
	answer := append(make([]byte, 12), question...)
	answer = append(answer, 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 3, 2, 't', '1')
	if got := text(answer); got != "t1" {
		t.Errorf("got %q, want t1", got)
	}
	for i := range answer { // cut anywhere, it is no panic
		if got := text(answer[:i]); got == "t1" {
			t.Errorf("of %d bytes: got %q", i, got)
		}
	}
}

func TestAddressesWithin(t *testing.T) {
	for _, network := range []netip.Prefix{nobody4, nobody6} {
		seen := map[netip.Addr]bool{}
		for n := range uint64(1000) {
			a := within(network, n*7919)
			if !network.Contains(a) {
				t.Fatalf("%s is not in %s", a, network)
			}
			seen[a] = true
		}
		if len(seen) != 1000 {
			t.Errorf("%s: got %d addresses, want 1000", network, len(seen))
		}
	}
}

func TestLapsAreChartedWhereTheyWere(t *testing.T) {
	var c clients
	c.chart(0, &load.Result{Elapsed: 3 * beat / 2, Series: []load.Interval{{Start: 0, Requests: 10}, {Start: beat, Requests: 5, Failed: 1}}})
	c.chart(0, &load.Result{Elapsed: 3 * beat / 2, Series: []load.Interval{{Start: 3 * beat / 2, Requests: 10}, {Start: 5 * beat / 2, Requests: 5}}})
	c.chart(2*beat, &load.Result{Elapsed: beat, Series: []load.Interval{{Start: 0, Requests: 100}}}) // another one, later
	want := []Moment{{At: 0, Right: 10}, {At: beat, Right: 9, Wrong: 1}, {At: 2 * beat, Right: 110}}
	if d := cmp.Diff(want, c.beats); d != "" {
		t.Error(d)
	}
}

// Every scenario, with half the load.
func TestScenarios(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: scenarios build networks and load programs into the kernel")
	}
	program := build(t)
	for _, s := range All() {
		t.Run(s.Name, func(t *testing.T) {
			if what := missing(s.Needs); what != "" {
				t.Skipf("a program is missing: %s", what)
			}
			r, err := Run(t.Context(), Config{Program: program, Short: true, Progress: func(line string) { t.Log(line) }}, s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if r.Passed != 1 {
				t.Error(&r.Scenarios[0])
			}
			if slices.ContainsFunc(r.Scenarios[0].Asserted, func(a Assertion) bool { return a.Found == "" }) {
				t.Error("an assertion does not say what was found")
			}
		})
	}
}
