package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"muster/cluster"
)

var (
	key   = []byte("0123456789abcdef0123456789abcdef")
	quiet = slog.New(slog.DiscardHandler)
	since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// sample is what a node that is both director and traffic node shows.
func sample() Status {
	return Status{
		Cluster: "shop", Node: "d1", Roles: cluster.Roles(), Version: "v0", Since: since,
		File: File{Path: "/etc/muster/cluster.yaml", Hash: "c0ffee", Revision: 2, Loaded: since},
		Director: &Director{
			Datagrams: map[string]uint64{"accepted": 1000, "wrong-key": 7},
			Nodes: []Node{
				{Name: "t1", Roles: []cluster.Role{cluster.Traffic}, Addresses: []string{"10.0.0.11"}, State: cluster.Active, Since: since, Index: 6717, Room: 4000, Busy: 250, Connections: 3, Pools: []string{"web"}},
				{Name: "t2", Roles: []cluster.Role{cluster.Traffic}, Addresses: []string{"10.0.0.12"}, State: cluster.Out, Reason: "silent for 700ms", Since: since, Wish: cluster.Drain, WishReason: "disk"},
			},
			Services: []Service{{
				Name: "www", Kind: cluster.HTTP, Dispatch: cluster.Proxy, Schedule: "has", Pool: "web", Addresses: []string{"10.0.0.100:80"},
				Clients: 4, Waiting: 1, Connections: 10, Requests: 100, BytesIn: 1000, BytesOut: 20000, Retries: 2, Refused: 5,
				Codes: map[string]uint64{"2xx": 99, "5xx": 1}, Ended: map[string]uint64{"ok": 99, "no-node": 1},
				Members: []Member{
					{Node: "t1", Address: "10.0.0.11:8080", State: cluster.Active, Weight: 65537, Active: 3, Served: 97, Failed: 1, TimeMS: 1.5},
					{Node: "t2", Address: "10.0.0.12:8080"},
				},
			}},
		},
		Traffic: &Traffic{
			Index: 6717, Room: 4000, Busy: 250, Terms: []Term{{"bogomips", 3358.72, "MIPS"}},
			Applications: []Application{{
				Pool: "web", Address: "10.0.0.11:8080", Check: Check{Up: true, Since: since, TookMS: 2},
				Process: &Process{State: "running", Since: since, PID: 42, Restarts: 3, Exit: "exit status 1", Lines: []string{"ready"}},
			}},
			Directors: []Hearing{{Director: "d1", LAN: 0, Heard: true, SilentMS: 20}, {Director: "d1", LAN: 1, SilentMS: -1}},
			Datagrams: map[string]uint64{"accepted": 900, "forged": 1},
		},
	}
}

// asked keeps what a console asked of its parts.
type asked struct{ list []string }

func (a *asked) note(format string, args ...any) {
	a.list = append(a.list, fmt.Sprintf(format, args...))
}

// parts shows the sample and does all but what is about t2.
func (a *asked) parts() Parts {
	return Parts{
		Status: func() Status {
			s := sample()
			s.Director.Services[0].Duration = &Histogram{[]float64{0.001, 0.1}, []uint64{90, 9, 1}, 2 * time.Second}
			return s
		},
		Wish: func(node string, wish cluster.Wish, reason string) error {
			if node == "t2" {
				return errors.New("t2 is the last of pool web")
			}
			a.note("%s %s %q", node, wish, reason)
			return nil
		},
		Reload: func() error { a.note("reload"); return nil },
		Mute:   func(muted bool) error { a.note("mute %v", muted); return nil },
		Detach: func() error { a.note("detach"); return nil },
	}
}

func TestAnswers(t *testing.T) {
	const bearer = "Bearer "
	for _, test := range []struct {
		name, request, auth, body string
		status                    int
		want                      string // part of the answer
		asked                     string
	}{
		{"status", "GET /v1/status", "", "", 200, `"cluster": "shop"`, ""},
		{"head", "HEAD /v1/status", "", "", 200, "", ""},
		{"alive", "GET /healthz", "", "", 200, `"alive": true`, ""},
		{"ready", "GET /readyz", "", "", 200, `"ready": true`, ""},
		{"metrics", "GET /metrics", "", "", 200, "muster_node_busy_ratio", ""},
		{"no events", "GET /v1/events", "", "", 200, `"events": []`, ""},
		{"events after nonsense", "GET /v1/events?after=x", "", "", 400, "after=x is no number", ""},
		{"no such path", "GET /v2", "", "", 404, `"error": "there is no /v2"`, ""},
		{"the paths are named", "GET /", "", "", 404, "/healthz, /metrics, /readyz, /v1/detach, /v1/events, /v1/nodes/NAME/wish, /v1/reload", ""},
		{"wrong method", "DELETE /v1/status", "", "", 405, `"hint": "use GET"`, ""},
		{"wrong method for metrics", "POST /metrics", "", "", 405, `"hint": "use GET"`, ""},
		{"no wishing by GET", "GET /v1/reload", "", "", 405, `"hint": "use POST"`, ""},

		{"no token to detach", "POST /v1/detach", "", "", 401, "takes the cluster's token", ""},
		{"detach", "POST /v1/detach", bearer + Token(key), "", 200, `"state": "detaching"`, "detach"},
		{"no token", "POST /v1/reload", "", "", 401, "takes the cluster's token", ""},
		{"wrong token", "POST /v1/reload", bearer + strings.Repeat("0", 64), "", 401, "takes the cluster's token", ""},
		{"wrong scheme", "POST /v1/reload", "Basic " + Token(key), "", 401, "takes the cluster's token", ""},
		{"reload", "POST /v1/reload", bearer + Token(key), "", 200, `"hash": "c0ffee"`, "reload"},
		{"drain", "POST /v1/nodes/t1/wish", "bearer " + Token(key), `{"wish":"drain","reason":"new disk"}`, 200, `"wish": "drain"`, `t1 drain "new disk"`},
		{"refused", "POST /v1/nodes/t2/wish", bearer + Token(key), `{"wish":"maint"}`, 422, "t2 is the last of pool web", ""},
		{"no such node", "POST /v1/nodes/t3/wish", bearer + Token(key), `{"wish":"maint"}`, 404, `no node \"t3\"`, ""},
		{"no such wish", "POST /v1/nodes/t1/wish", bearer + Token(key), `{"wish":"sleep"}`, 400, "ready, drain, maint", ""},
		{"no wish", "POST /v1/nodes/t1/wish", bearer + Token(key), `{}`, 400, "names no wish", ""},
		{"a reason of two lines", "POST /v1/nodes/t1/wish", bearer + Token(key), `{"wish":"drain","reason":"a\nb"}`, 400, "more than a line", ""},
		{"unknown key", "POST /v1/nodes/t1/wish", bearer + Token(key), `{"wish":"drain","why":"x"}`, 400, `unknown field \"why\"`, ""},
		{"two objects", "POST /v1/nodes/t1/wish", bearer + Token(key), `{"wish":"drain"}{}`, 400, "more after the object", ""},
		{"no body", "POST /v1/nodes/t1/wish", bearer + Token(key), "", 400, "send one JSON object", ""},
		{"large body", "POST /v1/nodes/t1/wish", bearer + Token(key), `{"reason":"` + strings.Repeat("x", bodyLimit) + `"}`, 413, "at most 65536 bytes", ""},
		{"mute", "POST /v1/reports/mute", bearer + Token(key), `{"muted":true}`, 200, `"muted": true`, "mute true"},
		{"mute what", "POST /v1/reports/mute", bearer + Token(key), `{}`, 400, "whether to mute", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var a asked
			c := New(Config{Key: key}, a.parts(), prometheus.NewRegistry(), quiet)
			method, path, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(test.body))
			if test.auth != "" {
				r.Header.Set("Authorization", test.auth)
			}
			w := httptest.NewRecorder()
			c.Handler(false).ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("got %d %s\nwant %d with %s", w.Code, w.Body, test.status, test.want)
			}
			if got := strings.Join(a.list, "; "); got != test.asked {
				t.Errorf("asked for %q, want %q", got, test.asked)
			}
			if w.Code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestOnlyWhoMayChangeSomethingSeesWhatApplicationsPrint(t *testing.T) {
	status := sample() // the same to all, so nobody may cut the lines out of it
	c := New(Config{Key: key}, Parts{Status: func() Status { return status }}, prometheus.NewRegistry(), quiet)
	keyless := New(Config{}, Parts{Status: func() Status { return status }}, prometheus.NewRegistry(), quiet)
	for _, test := range []struct {
		name    string
		handler http.Handler
		auth    string
		want    bool
	}{
		{"anybody", c.Handler(false), "", false},
		{"a wrong token", c.Handler(false), "Bearer " + strings.Repeat("0", 64), false},
		{"the token", c.Handler(false), "Bearer " + Token(key), true},
		{"an empty token where there is no key", keyless.Handler(false), "Bearer ", false},
		{"the socket", c.Handler(true), "", true},
	} {
		r := httptest.NewRequest("GET", "/v1/status", nil)
		r.Header.Set("Authorization", test.auth)
		w := httptest.NewRecorder()
		test.handler.ServeHTTP(w, r)
		if got := strings.Contains(w.Body.String(), `"lines"`); w.Code != 200 || got != test.want {
			t.Errorf("%s: got %d with the lines: %v, want 200 and %v", test.name, w.Code, got, test.want)
		}
	}
}

func TestRequestsOfOperatorsAreLogged(t *testing.T) {
	var log strings.Builder
	var a asked
	c := New(Config{Key: key}, a.parts(), prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&log, nil)))
	for _, node := range []string{"t1", "t2"} {
		r := httptest.NewRequest("POST", "/v1/nodes/"+node+"/wish", strings.NewReader(`{"wish": "drain"}`))
		c.Handler(true).ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, want := range []string{
		`level=INFO msg="asked by an operator" path=/v1/nodes/t1/wish from=192.0.2.1:1234` + "\n",
		`level=WARN msg="asked by an operator, and refused" path=/v1/nodes/t2/wish from=192.0.2.1:1234 error="t2 is the last of pool web"` + "\n",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got %s\nwant %s", log.String(), want)
		}
	}
}

func TestWhatANodeCannotDo(t *testing.T) {
	c := New(Config{}, Parts{Status: sample}, prometheus.NewRegistry(), quiet)
	for path, want := range map[string]string{
		"/v1/nodes/t1/wish": "a director's affair", "/v1/reload": "does not reload", "/v1/reports/mute": "sends no reports",
	} {
		w := httptest.NewRecorder()
		c.Handler(true).ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader("{}")))
		if w.Code != 409 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %d %s, want 409 with %s", path, w.Code, w.Body, want)
		}
		w = httptest.NewRecorder()
		c.Handler(false).ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader("{}")))
		if w.Code != 403 {
			t.Errorf("%s without a key, over TCP: got %d, want 403", path, w.Code)
		}
	}
}

func TestReady(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Status)
		want   []string
	}{
		{"well", func(*Status) {}, []string{}},
		{"no node", func(s *Status) { s.Director.Services[0].Members[0].Weight = 0 }, []string{"service www: no node of pool web takes new work"}},
		{"one service of two", func(s *Status) {
			s.Director.Services = append(s.Director.Services, Service{Name: "img", Pool: "media"})
		}, []string{}},
		{"no kernel", func(s *Status) {
			s.Director.Services[0].Members, s.Director.Services[0].Problem = nil, "the port cannot run XDP programs"
		}, []string{"service www: the port cannot run XDP programs"}},
		{"no service", func(s *Status) { s.Director.Services = nil }, []string{"no service is configured"}},
		{"application down", func(s *Status) {
			s.Traffic.Applications[0].Check = Check{Reason: "status 500, want 200-399"}
		}, []string{"application of pool web: status 500, want 200-399"}},
		{"not heard", func(s *Status) { s.Traffic.Directors[0].Heard = false }, []string{"no director hears this node"}},
		{"a director alone", func(s *Status) { s.Traffic = nil }, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := New(Config{}, Parts{Status: func() Status {
				s := sample()
				test.change(&s)
				return s
			}}, prometheus.NewRegistry(), quiet)
			server := httptest.NewServer(c.Handler(false))
			defer server.Close()
			got, err := NewClient([]string{server.Listener.Addr().String()}, "").Ready(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(Readiness{len(test.want) == 0, test.want}, got); d != "" {
				t.Errorf("readiness (-want +got):\n%s", d)
			}
			answer, err := http.Get(server.URL + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if want := map[bool]int{true: 200, false: 503}[got.Ready]; answer.StatusCode != want {
				t.Errorf("status %d, want %d", answer.StatusCode, want)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	var e Events
	for i := range eventLimit + 10 {
		e.Add(Event{Kind: "node", Name: fmt.Sprint(i + 1)})
	}
	check := func(after, first, count uint64) {
		t.Helper()
		list := e.After(after)
		if uint64(len(list)) != count {
			t.Fatalf("after %d: %d events, want %d", after, len(list), count)
		}
		for i, ev := range list {
			if n := first + uint64(i); ev.Number != n || ev.Name != fmt.Sprint(n) || ev.At.IsZero() {
				t.Fatalf("after %d: event %d is %+v, want number %d", after, i, ev, n)
			}
		}
	}
	check(0, 11, eventLimit)
	check(5, 11, eventLimit)
	check(263, 264, 3)
	check(266, 0, 0)
	check(1<<63, 0, 0)
}

// Of what the kernel dispatches, connections and packets have rates.
func TestRatesOfTheKernel(t *testing.T) {
	s := sample()
	s.Director.Services = []Service{{
		Name: "www", Kind: cluster.HTTP, Connections: 7, Packets: &ServicePackets{Packets: 70},
		Members: []Member{{Node: "t1", Served: 6, Packets: &MemberPackets{Packets: 60}}},
	}}
	got := map[string]uint64{}
	each(&s, func(name string, count uint64, _ *float64) { got[name] = count })
	want := map[string]uint64{"www": 7, "www packets": 70, "www t1": 6, "www t1 packets": 60}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what has a rate (-want +got):\n%s", d)
	}
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counted atomic.Int64
		c := New(Config{}, Parts{Status: func() Status {
			looks := counted.Add(1)
			s := sample()
			s.Director.Services = append(s.Director.Services, Service{Name: "mail", Kind: cluster.TCP, Connections: uint64(7 * looks)})
			s.Director.Services[0].Requests = uint64(100 * looks)
			s.Director.Services[0].Members[0].Served = 1000 - looks // a counter that began anew
			return s
		}}, prometheus.NewRegistry(), quiet)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(2*rateTime + rateTime/2) // of the bubble
		services := c.status().Director.Services
		if got := [3]float64{services[0].Rate, services[1].Rate, services[0].Members[0].Rate}; got != [3]float64{100, 7, 0} {
			t.Errorf("rates %v, want 100, 7, 0", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	var a asked
	metricsAre(t, a.parts(), "testdata/metrics.txt")
}

func TestMetricsOfTheKernel(t *testing.T) {
	s := sample()
	s.Traffic = nil
	s.Director.Nodes, s.Director.Datagrams = nil, nil
	s.Director.Services = []Service{{
		Name: "www", Kind: cluster.TCP, Dispatch: cluster.NAT, Pool: "web", Clients: 3, Connections: 12,
		Members: []Member{
			{Node: "t1", State: cluster.Active, Weight: 100, Active: 3, Served: 12, Packets: &MemberPackets{Active: 2, Packets: 100, Bytes: 9000, ReplyPackets: 90, ReplyBytes: 90000}},
			{Node: "t2", Packets: &MemberPackets{Gone: true, Packets: 1, Bytes: 60}},
		},
		Packets: &ServicePackets{Packets: 101, Bytes: 9060, Unconfirmed: 14, Reasons: map[string]uint64{"no-node": 2}},
	}, {Name: "dns", Kind: cluster.UDP, Dispatch: cluster.DR, Pool: "web", Problem: "no XDP"}}
	s.Director.Packets = &Packets{
		Ports: []Port{{Name: "eth0", Driver: "veth", Mode: "native", Up: true, Forwards: true}, {Name: "eth1", Driver: "dummy", Why: "no XDP"}},
		Flows: Fill{3, 262144}, States: map[string]int{"established": 3}, Reasons: map[string]uint64{"passed": 7},
		Expired: 1, Resets: 2, Evicted: 3, LostEvents: 4, Swaps: 5, SwapMS: 1.5, Wrong: []string{"t2: no route"},
	}
	s.Network = &Network{
		Answer: []netip.Addr{netip.MustParseAddr("10.0.0.100")}, Problem: "it is not so",
		Tunnels: &Tunnels{Packets: 10, Bytes: 1000, NotDone: map[string]uint64{"not-director": 1}},
	}
	metricsAre(t, Parts{Status: func() Status { return s }}, "testdata/packets.txt")
}

// metricsAre compares those of ours with a file.
func metricsAre(t *testing.T, parts Parts, file string) {
	t.Helper()
	c := New(Config{}, parts, prometheus.NewRegistry(), quiet)
	w := httptest.NewRecorder()
	c.Handler(false).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var ours []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, "muster_") {
			ours = append(ours, line)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), strings.Join(ours, "")); d != "" {
		t.Errorf("metrics (-want +got):\n%s", d)
	}
}

// freePort is an address at which nobody listens.
func freePort(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(l.Addr().String())
}

// serve runs a console until the test ends, and waits until it answers.
func serve(t *testing.T, cfg Config, parts Parts) (stop func()) {
	t.Helper()
	c := New(cfg, parts, prometheus.NewRegistry(), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for _, place := range append([]string{"unix:" + cfg.Socket}, cfg.Listen[0].String()) {
		for {
			if _, err := NewClient([]string{place}, "").Status(ctx); err == nil {
				break
			}
			select {
			case err := <-done:
				t.Fatalf("Run: %v", err)
			default:
			}
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestServing(t *testing.T) {
	var a asked
	socket := filepath.Join(t.TempDir(), "s")
	cfg := Config{Listen: []netip.AddrPort{freePort(t)}, Socket: socket, Key: key}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil { // as a killed process leaves it
		t.Fatal(err)
	}
	stop := serve(t, cfg, a.parts())
	if info, err := os.Lstat(socket); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v; want one of mode 0600", info, err)
	}

	tcp, local := []string{cfg.Listen[0].String()}, []string{"unix:" + socket}
	status, err := NewClient(local, "").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), status); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	want := sample()
	want.Traffic.Applications[0].Process.Lines = nil
	if status, err = NewClient(tcp, "").Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, status); d != "" {
		t.Errorf("status for anybody (-want +got):\n%s", d)
	}
	if err := NewClient(tcp, "").Wish(t.Context(), "t1", cluster.Maint, ""); err == nil || !strings.Contains(err.Error(), "takes the cluster's token") {
		t.Errorf("wish without a token: %v, want a refusal", err)
	}
	if err := NewClient(tcp, Token(key)).Wish(t.Context(), "t1", cluster.Maint, ""); err != nil {
		t.Error(err)
	}
	if file, err := NewClient(local, "").Reload(t.Context()); err != nil || file.Hash != "c0ffee" {
		t.Errorf("reload: %+v, %v", file, err)
	}
	if err := NewClient(local, "").Mute(t.Context(), true); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{`t1 maint ""`, "reload", "mute true"}, a.list); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}

	again := Config{Socket: socket, Key: key}
	err = New(again, a.parts(), prometheus.NewRegistry(), quiet).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another muster serves there") {
		t.Errorf("a second one on the socket: %v, want an error", err)
	}
	again = Config{Listen: cfg.Listen}
	err = New(again, a.parts(), prometheus.NewRegistry(), quiet).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the port is in use") {
		t.Errorf("a second one on the port: %v, want an error", err)
	}

	stop()
	if entries, err := os.ReadDir(filepath.Dir(socket)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSocketThatCannotBe(t *testing.T) {
	for path, want := range map[string]string{
		"/no/such/dir/s":                       "no such file or directory",
		t.TempDir() + strings.Repeat("x", 110): "the path is too long for a socket",
	} {
		err := New(Config{Socket: path}, Parts{Status: sample}, prometheus.NewRegistry(), quiet).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	cfg := Config{Listen: []netip.AddrPort{freePort(t)}, Socket: filepath.Join(t.TempDir(), "s")}
	stop := serve(t, cfg, Parts{Status: sample})
	defer stop()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range connLimit + 50 {
		c, err := net.Dial("tcp", cfg.Listen[0].String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if _, err := conns[len(conns)-1].Read(make([]byte, 1)); err == nil {
		t.Error("the last connection was answered, want it closed")
	}
	if _, err := NewClient([]string{"unix:" + cfg.Socket}, "").Status(t.Context()); err != nil {
		t.Errorf("on the socket: %v", err)
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("POST", "/v1/nodes/t1/wish", "Bearer x", `{"wish":"drain"}`)
	f.Add("POST", "/v1/reports/mute", "", `{"muted":true}`)
	f.Add("GET", "/v1/events?after=3", "", "")
	f.Fuzz(func(t *testing.T, method, path, auth, body string) {
		r, err := http.NewRequest(method, "http://muster"+path, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.Header.Set("Authorization", auth)
		var a asked
		c := New(Config{Key: key}, a.parts(), prometheus.NewRegistry(), quiet)
		for _, trusted := range []bool{false, true} {
			if trusted {
				r.Body = io.NopCloser(strings.NewReader(body))
			}
			w := httptest.NewRecorder()
			c.Handler(trusted).ServeHTTP(w, r)
			if w.Code >= 500 && w.Code != 503 {
				t.Errorf("trusted %v: %d %s", trusted, w.Code, w.Body)
			}
			if !trusted && len(a.list) > 0 {
				t.Errorf("without a token it did %q", a.list)
			}
		}
	})
}
