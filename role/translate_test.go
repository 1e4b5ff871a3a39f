package role

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"muster/cluster"
	"muster/config"
	"muster/control/check"
	"muster/control/schedule"
	"muster/datapath/http1"
	"muster/datapath/request"
	"muster/datapath/serve"
	"muster/ha/member"
	"muster/ha/supervise"
)

const everything = `
cluster: c
key: k
timings: {report: 100ms, timeout: 300ms, slow-start: 3s, drain: 0}
nodes:
  d1: {addresses: [10.0.0.1], roles: [director]}
  t1: {addresses: [10.0.0.11], roles: [traffic], weight: 50}
  t2: {addresses: [10.0.0.12], roles: [traffic], applications: {web: {run: {command: [nginx, -g, daemon off;], stop-signal: QUIT}}}}
  t3: {addresses: [10.0.0.13], roles: [traffic]}
checks:
  page: {kind: https, path: /p, host: h, method: HEAD, status: [200, 300-399], headers: {X: y}, verify: false, server-name: s, port: 444, interval: 2s, timeout: 1s, rise: 3, fall: 4}
pools:
  web: {nodes: [t1, t2], port: 8080, check: page, limit: 7, application: {serve: {root: /srv, index: [], cache: 0, threads: 3, name-header: true}}, zone: {borrow-from: [media], above: 70%, below: 20%, keep: 0, hold: 1s}}
  media: {nodes: [t3], port: 8081}
services:
  www:
    listen: ["10.0.0.1:80"]
    pool: web
    threads: 2
    limits: {connections: 1, connections-per-source: 2, head: 2KiB, headers: 4, queue: 0, requests-per-connection: 5, body-rate: 0}
    timeouts: {head: 1s, idle: 2s, connect: 3s, response: 4s, stall: 5s, queue: 6s, tunnel: 7s}
    retry: {attempts: 2, idempotent: false, budget: 0%}
    forwarded: [via]
    proxy-protocol: {accept: true, trust: [10.0.0.0/8], send: v2}
    fallback: {address: "10.0.0.9:80"}
    access-log: {format: json, file: "-"}
`

func TestTheFileInTheTermsOfTheParts(t *testing.T) {
	f, err := config.Parse("cluster.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}, netip.Addr{}), cmp.Comparer(func(a, b *os.File) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	list, err := services(f, func(path string) (io.Writer, error) { return os.Stderr, nil })
	if err != nil {
		t.Fatal(err)
	}
	same("services", list, []request.Service{{
		Name: "www", Kind: cluster.HTTP, Listen: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}, Pool: "web", Threads: 2,
		Limits:   request.Limits{Connections: 1, PerSource: 2, Queue: -1, Requests: 5, BodyRate: -1, Head: http1.Limits{Head: 2048, Headers: 4}},
		Timeouts: request.Timeouts{Head: 1e9, Idle: 2e9, Connect: 3e9, Response: 4e9, Stall: 5e9, Queue: 6e9, Tunnel: 7e9},
		Retry:    request.Retry{Attempts: 2, Budget: -1}, Via: true,
		ProxyAccept: true, ProxyTrust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ProxySend: 2,
		Fallback: request.Fallback{Addr: netip.MustParseAddrPort("10.0.0.9:80")},
		Log:      request.AccessLog{Format: "json", To: os.Stderr},
	}})
	asked := &check.Config{
		Kind: check.HTTPS, Method: "HEAD", Path: "/p", Host: "h", Headers: map[string]string{"X": "y"},
		Status: []check.Range{{First: 200, Last: 200}, {First: 300, Last: 399}}, ServerName: "s",
		Interval: 2e9, Timeout: 1e9, Rise: 3, Fall: 4,
	}
	at := netip.MustParseAddrPort
	same("plans of t1", plansOf(f, f.Node("t1")), []plan{{
		Pool: "web", Target: at("10.0.0.11:8080"), Asked: at("10.0.0.11:444"), Check: asked,
		Serve: &serve.Config{
			Listen: []netip.AddrPort{at("10.0.0.11:8080")}, Threads: 3, Root: "/srv", Index: []string{}, CacheBytes: -1,
			Name: "t1", ShowName: true, Drain: 1,
		},
	}})
	same("plans of t2", plansOf(f, f.Node("t2")), []plan{{
		Pool: "web", Target: at("10.0.0.12:8080"), Asked: at("10.0.0.12:444"), Check: asked,
		Run: &supervise.Config{
			Command: []string{"nginx", "-g", "daemon off;"}, Dir: "/", StopSignal: syscall.SIGQUIT, StopTimeout: 10 * time.Second,
			BackoffMin: 200 * time.Millisecond, BackoffMax: 30 * time.Second,
		},
	}})
	lent := plansOf(f, f.Node("t3"))
	if len(lent) != 2 || lent[0].Pool != "web" || lent[0].Serve == nil {
		t.Errorf("t3 may be lent to web and does not prepare for it: %+v", lent)
	}
	same("what something else runs", lent[1:], []plan{{
		Pool: "media", Target: at("10.0.0.13:8081"), Asked: at("10.0.0.13:8081"), Check: &check.Config{Kind: check.TCP},
	}})
	same("pools", poolsOf(f), []member.Pool{
		{Name: "web", Nodes: []string{"t1", "t2"}, Port: 8080, Limit: 7, SlowStart: 3e9, From: []string{"media"}},
		{Name: "media", Nodes: []string{"t3"}, Port: 8081, SlowStart: 3e9},
	})
	same("zones", zonesOf(f), []schedule.Zone{{Pool: "web", From: []string{"media"}, Above: 700, Below: 200, Hold: 1e9}})
	if threads(f) != 2 || drainOf(f) != 1 {
		t.Errorf("got %d threads and a drain of %v, want 2 and next to none", threads(f), drainOf(f))
	}
}

func TestAFallbackPageIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sorry.html")
	s := config.Service{Fallback: &config.Fallback{Status: 503, BodyFile: path}, AccessLog: config.AccessLog{Format: config.AccessOff}}
	if _, err := service(&s, nil); err == nil {
		t.Error("a page that is not there was taken")
	}
	if err := os.WriteFile(path, []byte("sorry"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := service(&s, nil)
	if err != nil || string(got.Fallback.Body) != "sorry" {
		t.Errorf("got %q, %v", got.Fallback.Body, err)
	}
	if err := os.WriteFile(path, make([]byte, config.MaxBodyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service(&s, nil); err == nil {
		t.Error("a page that is too large was taken")
	}
}
