package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/internal/run"
	"muster/internal/wire"
)

// A town is a cluster in this process: its file, and the nodes of it that run.
type town struct {
	t   *testing.T
	dir string

	mu    sync.Mutex
	nodes map[string]*resident
}

func (c *town) node(name string) *resident {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[name]
}

func (c *town) set(name string, r *resident) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name] = r
}

// A resident is a node that runs.
type resident struct {
	*Node
	stop  context.CancelFunc
	ended chan error
}

// ports are free on every address that the tests use, and stay so as long as nobody else takes them.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n {
		l, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		if u, err := net.ListenUDP("udp", &net.UDPAddr{Port: port}); err == nil {
			u.Close()
			ports = append(ports, port)
		}
	}
	return ports
}

// found makes a directory with a key, a page, and a file whose $PORTS are replaced by free ones.
func found(t *testing.T, file string) *town {
	t.Helper()
	c := &town{t: t, dir: t.TempDir(), nodes: map[string]*resident{}}
	if err := wire.WriteKey(filepath.Join(c.dir, "cluster.key"), wire.NewKey()); err != nil {
		t.Fatal(err)
	}
	c.write("www/index.html", "hello")
	c.write("other/index.html", "other")
	for i, p := range freePorts(t, 6) {
		file = strings.ReplaceAll(file, fmt.Sprintf("$%d", i), fmt.Sprint(p))
	}
	c.write("cluster.yaml", file)
	return c
}

func (c *town) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// edit replaces a part of the file.
func (c *town) edit(old, new string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "cluster.yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		c.t.Fatalf("the file has no %q", old)
	}
	c.write("cluster.yaml", strings.Replace(string(text), old, new, 1))
}

// start runs nodes until they are stopped, or the test ends.
func (c *town) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		log := slog.New(slog.NewTextHandler(logWriter{c.t, name}, nil))
		n, err := New(Options{Path: filepath.Join(c.dir, "cluster.yaml"), Name: name, Level: new(slog.LevelVar)}, log)
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		r := &resident{n, stop, make(chan error, 1)}
		go func() { r.ended <- run.All(ctx, n.Tasks()) }()
		c.set(name, r)
		c.t.Cleanup(func() { c.stop(name) })
	}
}

// stop stops a node in good order.
func (c *town) stop(name string) {
	c.t.Helper()
	r := c.node(name)
	if r == nil {
		return
	}
	c.set(name, nil)
	r.stop()
	if err := <-r.ended; err != nil {
		c.t.Errorf("node %s ended with %v", name, err)
	}
}

type logWriter struct {
	t    *testing.T
	node string
}

func (w logWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil { // after the test's end nothing may be logged
		w.t.Logf("%s: %s", w.node, strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// until waits for a condition.
func (c *town) until(what string, holds func() bool) {
	c.t.Helper()
	for late := time.After(20 * time.Second); !holds(); {
		select {
		case <-late:
			c.t.Fatalf("it never came that %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (c *town) state(node string) cluster.State {
	for _, n := range c.node("d1").Status().Director.Nodes {
		if n.Name == node {
			return n.State
		}
	}
	return cluster.Out
}

func (c *town) become(state cluster.State, nodes ...string) {
	c.t.Helper()
	for _, n := range nodes {
		c.until(n+" is "+state.String(), func() bool { return c.state(n) == state })
	}
}

func (c *town) client(node string) *console.Client {
	n := c.node(node)
	return console.NewClient([]string{"unix:" + n.socket()}, "")
}

// get asks a service for a page.
func (c *town) get(service, path string) (string, error) {
	var at netip.AddrPort
	for _, s := range c.node("d1").Status().Director.Services {
		if s.Name == service {
			at = netip.MustParseAddrPort(s.Addresses[0])
		}
	}
	r, err := http.Get("http://" + at.String() + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if r.StatusCode != 200 {
		return "", fmt.Errorf("status %d: %s", r.StatusCode, b)
	}
	return string(b), err
}

// under puts load on a service while f runs, and wants every request answered.
func (c *town) under(service, path, want string, f func()) {
	c.t.Helper()
	var asked atomic.Int64
	var wg sync.WaitGroup
	over := make(chan struct{})
	defer func() { close(over); wg.Wait() }() // f may end the test
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if got, err := c.get(service, path); err != nil || got != want {
					c.t.Errorf("got %q, %v; want %q", got, err, want)
				}
				asked.Add(1)
			}
		})
	}
	more := func() {
		before := asked.Load()
		c.until("requests are answered", func() bool { return asked.Load() > before+20 })
	}
	more()
	f()
	more()
}

// The timings leave room for a machine that has other things to do: what is silent or slow here must be so by our doing.
const three = `
cluster: test
key: cluster.key
state: state
threads: 1
ports: {report: $0, admin: $1}
timings: {report: 20ms, timeout: 1s, slow-start: 0, drain: 5s}
nodes:
  d1: {addresses: [127.0.0.1], roles: [director]}
  t1: {addresses: [127.0.0.11], roles: [traffic]}
  t2: {addresses: [127.0.0.12], roles: [traffic]}
checks:
  page: {kind: http, interval: 2s, timeout: 2s, fall: 5}
pools:
  web:
    nodes: [t1, t2]
    port: $2
    check: page
    application: {serve: {root: www, threads: 1}}
services:
  www: {listen: ["127.0.0.1:$3"], schedule: rr, pool: web, access-log: {format: combined, file: www.log}}
`
