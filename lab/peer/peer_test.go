package peer

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"muster/lab/load"
	"muster/lab/site"
)

func begin(t *testing.T, p Peer) *Process {
	t.Helper()
	if _, err := Find(p.Program); err != nil {
		t.Skipf("%s is not installed", p.Program)
	}
	proc, err := p.Start(t.Context(), Host{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proc.Stop)
	return proc
}

func free(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	a, err := Free(netip.MustParseAddr(at))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// accepted asks an nginx node how many connections and requests it has had.
func accepted(t *testing.T, node netip.AddrPort) (connections, requests int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + node.String() + StatusPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var active, handled int
	_, counts, _ := bytes.Cut(b, []byte("requests"))
	if _, err := fmt.Sscanf(string(b[:bytes.IndexByte(b, '\n')]), "Active connections: %d", &active); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	if _, err := fmt.Sscan(string(counts), &connections, &handled, &requests); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return connections, requests
}

// Each proxy must keep its connections to the nodes alive, pass on every byte and use all nodes.
func TestProxiesKeepConnectionsToTheNodes(t *testing.T) {
	dir, err := site.Directory() // as root the servers are nobody, who cannot read the test's own directory
	if err != nil {
		t.Fatal(err)
	}
	tree, err := site.Make(dir, site.Config{Sizes: []int{1024, 65536}})
	if err != nil {
		t.Fatal(err)
	}
	var nodes []netip.AddrPort
	for i := range 2 {
		node := begin(t, NginxNode(fmt.Sprintf("t%d", i+1), free(t, fmt.Sprintf("127.0.0.%d", 11+i)), tree.Root))
		nodes = append(nodes, node.Addr)
	}
	requests := []load.Request{}
	for _, f := range tree.Files {
		requests = append(requests, load.Request{Path: f.Path, Length: f.Size, Sum: f.Sum})
	}
	page, _ := site.Page("/page/17")
	requests = append(requests, load.Request{Path: "/page/17", Body: page})
	for _, p := range []Peer{
		NginxProxy(free(t, "127.0.0.1"), nodes), NginxProxyTuned(free(t, "127.0.0.1"), nodes),
		HAProxy(free(t, "127.0.0.1"), nodes), HAProxyTCP(free(t, "127.0.0.1"), nodes),
	} {
		t.Run(p.Name, func(t *testing.T) {
			proxy := begin(t, p)
			c1, r1 := accepted(t, nodes[0])
			c2, r2 := accepted(t, nodes[1])
			g, err := load.New(load.Config{Targets: []netip.AddrPort{proxy.Addr}, Requests: requests, Connections: 8, Count: 3000})
			if err != nil {
				t.Fatal(err)
			}
			r, err := g.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Failed != 0 || r.Nodes["t1"] == 0 || r.Nodes["t2"] == 0 {
				t.Errorf("%d failed, nodes %v: %v", r.Failed, r.Nodes, r.Failures)
			}
			d1, s1 := accepted(t, nodes[0])
			d2, s2 := accepted(t, nodes[1])
			// The two questions are counted too.
			if got := s1 + s2 - r1 - r2 - 2; got != 3000 {
				t.Errorf("the nodes had %d requests, want 3000", got)
			}
			if got := d1 + d2 - c1 - c2 - 2; got > 40 {
				t.Errorf("%d connections to the nodes for 3000 requests of 8 clients", got)
			}
			pids, err := proxy.PIDs()
			if err != nil || len(pids) == 0 || pids[0] != proxy.PID() {
				t.Errorf("processes %v, %v", pids, err)
			}
		})
	}
}

// All HTTP proxies must do the same work on a request.
func TestProxiesAddTheSameFields(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan http.Header, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
	nodes := []netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()}
	for _, p := range []Peer{NginxProxy(free(t, "127.0.0.1"), nodes), HAProxy(free(t, "127.0.0.1"), nodes)} {
		proxy := begin(t, p)
		resp, err := http.Get("http://" + proxy.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := <-seen
		got := []string{h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host")}
		if got[0] != "127.0.0.1" || got[1] != "http" || got[2] != proxy.Addr.String() {
			t.Errorf("%s added %q", p.Name, got)
		}
	}
}

func TestWhatGoesWrongIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().(*net.TCPAddr).AddrPort()
	at := free(t, "127.0.0.1")
	for _, tt := range []struct {
		want string
		try  func() (*Process, error)
	}{
		{"apt-get install no-such-package", func() (*Process, error) {
			return Peer{Program: "no-such-program", Package: "no-such-package", Addr: at}.Start(t.Context(), Host{})
		}},
		{"address already in use", func() (*Process, error) { return Command(t.Context(), "x", exec.Command("true"), used, Host{}) }},
		{"because of this", func() (*Process, error) {
			return Command(t.Context(), "x", exec.Command("sh", "-c", "echo because of this; exit 3"), at, Host{})
		}},
	} {
		if _, err := tt.try(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
