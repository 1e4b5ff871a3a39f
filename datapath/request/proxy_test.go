package request

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"muster/cluster"
)

// turns is a table that gives each node with weight its turn.
func turns(t *cluster.Table, a *cluster.Ask) int {
	for i := range t.Shares {
		n := (int(a.Turn%uint64(len(t.Shares))) + i) % len(t.Shares)
		if a.May(t, n) {
			return n
		}
	}
	return -1
}

func tableOf(addrs ...netip.AddrPort) *cluster.Table {
	t := &cluster.Table{Pool: "web", Choose: turns}
	for i, a := range addrs {
		t.Shares = append(t.Shares, cluster.Share{
			Node: fmt.Sprintf("t%d", i+1), Addr: a, State: cluster.Active, Weight: 100, Live: &cluster.Live{},
		})
	}
	return t
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// start runs a proxy with the services until the test ends.
func start(t testing.TB, cfg Config, services ...Service) *Proxy {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	p, err := New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(services); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("proxy ended with %v", err)
		}
	})
	return p
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func backend(t testing.TB, h http.HandlerFunc) netip.AddrPort {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestRequestsAreAnsweredByTheNodesInTurn(t *testing.T) {
	say := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s", name, r.Method, r.URL, body)
		}
	}
	p := start(t, Config{Threads: 2}, Service{Name: "www", Kind: cluster.HTTP, Listen: []netip.AddrPort{anyPort}})
	p.SetTable("www", tableOf(backend(t, say("t1")), backend(t, say("t2"))))
	url := "http://" + p.Addrs()[0].String()
	got := map[string]int{}
	for i := range 20 {
		var resp *http.Response
		var err error
		if i/2%2 == 0 {
			resp, err = http.Get(url + "/page?x=1")
		} else {
			resp, err = http.Post(url+"/form", "text/plain", strings.NewReader("hello"))
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		got[string(b)]++
	}
	if len(got) != 4 {
		t.Errorf("got %v, want both nodes to answer both kinds of request", got)
	}
}
