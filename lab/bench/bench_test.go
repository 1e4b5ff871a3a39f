package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"muster/config"
	"muster/lab/peer"
	"muster/lab/site"
)

// The test's program is also the plain Go proxy and the plain Go web server that stand in for Muster.
func TestMain(m *testing.M) {
	listen, to, root := os.Getenv("BENCH_LISTEN"), os.Getenv("BENCH_TO"), os.Getenv("BENCH_ROOT")
	var handler http.Handler
	switch {
	case to != "":
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
		proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		handler = proxy
		if bad := os.Getenv("BENCH_BAD"); bad != "" {
			var n atomic.Int64
			handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 100 {
					http.Error(w, bad, http.StatusBadGateway)
					return
				}
				proxy.ServeHTTP(w, r)
			})
		}
	case root != "":
		files := http.FileServer(http.Dir(root))
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if b, ok := site.Page(r.URL.Path); ok {
				_, _ = w.Write(b)
				return
			}
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "index.html") // to which FileServer would redirect
			files.ServeHTTP(w, r)
		})
	default:
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(listen, handler))
	os.Exit(1)
}

func proxyInGo(ctx context.Context, at Stage) (Server, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "BENCH_LISTEN="+at.Listen.String(), "BENCH_TO="+at.Nodes[0].String())
	return peer.Command(ctx, "go", cmd, at.Listen, at.Under)
}

func nodeInGo(ctx context.Context, root string, listen netip.AddrPort, on peer.Host) (Server, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "BENCH_LISTEN="+listen.String(), "BENCH_ROOT="+root)
	return peer.Command(ctx, "go", cmd, listen, on)
}

func needPeers(t *testing.T) {
	for _, p := range []string{"/usr/sbin/nginx", "/usr/sbin/haproxy"} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// options are short, unless BENCH_SECONDS asks for figures that mean something.
func options(t *testing.T) (Options, *[]string) {
	var steps []string
	opt := Options{Network: Loopback, Rounds: 1, Round: 50 * time.Millisecond, Warm: 10 * time.Millisecond, Clients: []int{1, 4}, Documents: 40}
	if s := os.Getenv("BENCH_SECONDS"); s != "" {
		d, err := time.ParseDuration(s + "s")
		if err != nil {
			t.Fatal(err)
		}
		opt = Options{Network: Loopback, Round: d, Pin: os.Getenv("BENCH_PIN") != ""}
	}
	opt.Progress = func(done, all int, what string) { steps = append(steps, fmt.Sprintf("%d/%d %s", done, all, what)) }
	return opt, &steps
}

func TestProxyPrintsWhatWasAgreed(t *testing.T) {
	needPeers(t)
	opt, steps := options(t)
	r, err := Proxy(t.Context(), opt, proxyInGo)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Network string
		Replies []struct {
			Bytes                  int
			Muster, HAProxy, NGINX map[string]float64
			Tuned                  map[string]float64 `json:"nginx_tuned"`
			Ratio                  float64            `json:"ratio_to_best"`
			ToTuned                float64            `json:"ratio_to_tuned"`
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if got.Network != "loopback" || len(got.Replies) != 2 || got.Replies[0].Bytes != 1024 || got.Replies[1].Bytes != 65536 {
		t.Fatalf("got %s", b)
	}
	for _, reply := range got.Replies {
		for _, f := range []map[string]float64{reply.Muster, reply.HAProxy, reply.NGINX, reply.Tuned} {
			if len(f) != 4 || f["cpu_us"] <= 0 || f["rps"] <= 0 || f["p50_ms"] <= 0 || f["p99_ms"] < f["p50_ms"] {
				t.Errorf("%d bytes: %v", reply.Bytes, f)
			}
		}
		ours := reply.Muster["cpu_us"]
		if want := rounded(ours / min(reply.HAProxy["cpu_us"], reply.NGINX["cpu_us"])); reply.Ratio != want {
			t.Errorf("ratio %v, want %v", reply.Ratio, want)
		}
		if want := rounded(ours / reply.Tuned["cpu_us"]); reply.ToTuned != want {
			t.Errorf("ratio %v to tuned nginx, want %v", reply.ToTuned, want)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil || strings.Count(table.String(), "\n") != 13 {
		t.Errorf("%v\n%s", err, &table)
	}
	t.Logf("\n%s", &table)
	if err := r.Plot(filepath.Join(t.TempDir(), "proxy.svg")); err != nil {
		t.Error(err)
	}
	if last := (*steps)[len(*steps)-1]; !strings.HasSuffix(last, "done") {
		t.Errorf("progress ended with %q", last)
	}
}

// Every part must be in its own network, and nothing of that be left afterwards.
func TestProxyOnANetworkOfItsOwn(t *testing.T) {
	needPeers(t)
	opt, _ := options(t)
	opt.Network = Veth
	if g, err := opt.prepare(); errors.Is(err, unix.EPERM) {
		t.Skipf("not root: %v", err)
	} else if err == nil {
		g.Close()
	}
	var stage Stage
	networks := map[string]bool{}
	r, err := Proxy(t.Context(), opt, func(ctx context.Context, at Stage) (Server, error) {
		stage = at
		for _, h := range []peer.Host{at.Under, at.Beside[0], {}} {
			err := h.Do(func() error {
				name, err := os.Readlink("/proc/thread-self/ns/net")
				networks[name] = true
				return err
			})
			if err != nil {
				return nil, err
			}
		}
		return proxyInGo(ctx, at)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Network != Veth || !stage.Listen.Addr().IsPrivate() || len(networks) != 3 {
		t.Errorf("measured on %s, at %+v in %v", r.Network, stage, networks)
	}
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	delete(networks, here)
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/self/fd/*"} {
		users, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if n, err := os.Readlink(u); err == nil && networks[n] {
				t.Errorf("%s is held by %s", n, u)
			}
		}
	}
}

func TestThereIsNoSuchNetwork(t *testing.T) {
	if _, err := Proxy(t.Context(), Options{Network: "token-ring", Sizes: []int{1}}, proxyInGo); err == nil || !strings.Contains(err.Error(), "token-ring") {
		t.Errorf("got %v", err)
	}
}

func TestNodePrintsTheLadder(t *testing.T) {
	needPeers(t)
	opt, steps := options(t)
	r, err := Node(t.Context(), opt, nodeInGo)
	if err != nil {
		t.Fatal(err)
	}
	if opt.Rounds == 1 && (len(r.Ladder) != 2 || r.Ladder[1].HAS.Rate != 567 || len(r.Replies) != 3) {
		t.Errorf("got %+v", r)
	}
	for _, g := range r.Ladder {
		if g.Muster.Errors != 0 || g.NGINX.Errors != 0 || g.Muster.CPU <= 0 || g.NGINX.Rate <= 0 {
			t.Errorf("got %+v", g)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", &table)
	if err := r.Plot(filepath.Join(t.TempDir(), "node.svg")); err != nil {
		t.Error(err)
	}
	seen := -1
	for _, s := range *steps {
		var done, all int
		if _, err := fmt.Sscanf(s, "%d/%d", &done, &all); err != nil || done <= seen || done > all {
			t.Fatalf("progress %q", *steps)
		}
		seen = done
	}
	if last := (*steps)[len(*steps)-1]; !strings.HasSuffix(last, "done") {
		t.Errorf("progress ended with %q", last)
	}
}

func TestAFailedRequestEndsTheBenchmark(t *testing.T) {
	needPeers(t)
	opt, _ := options(t)
	t.Setenv("BENCH_BAD", "one of a hundred")
	opt.Warm = time.Nanosecond
	if _, err := Proxy(t.Context(), opt, proxyInGo); err == nil || !strings.Contains(err.Error(), "muster under 1 KiB: 1 of ") {
		t.Errorf("got %v", err)
	}
}

func TestTheClustersFileIsRight(t *testing.T) {
	f, err := config.Parse("cluster.yaml", []byte(clusterFile(Stage{
		Listen: netip.MustParseAddrPort("10.0.1.1:8000"), Back: netip.MustParseAddr("10.0.2.1"), Control: 7946,
		Nodes: []netip.AddrPort{netip.MustParseAddrPort("10.0.2.11:8080"), netip.MustParseAddrPort("10.0.2.12:8080")},
	})))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Nodes) != 3 || len(f.Services) != 1 || f.Nodes[0].Addresses[0] != netip.MustParseAddr("10.0.2.1") {
		t.Errorf("got %+v, %+v", f.Nodes, f.Services)
	}
}
