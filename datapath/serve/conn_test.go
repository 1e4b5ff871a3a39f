package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestKeepAlive(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "text", "big": strings.Repeat("x", 300000)})
	for _, c := range []struct {
		name, head string
		connection string // of the response
		closes     bool
	}{
		{"1.1", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "", false},
		{"1.1 close", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close", true},
		{"1.1 close, large", "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close", true},
		{"1.0", "GET /a HTTP/1.0\r\n\r\n", "close", true},
		{"1.0 keep-alive", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", false},
		{"1.1 not found, close", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close", true},
		{"body", "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "", false},
		{"chunked body", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", "", false},
		{"long body", "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "close", true},
		{"body held back", "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "close", true},
		{"body, close", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "close", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := s.dial(t)
			conn.send(c.head)
			resp, body := conn.response("GET")
			if got := strings.Join(resp.Header["Connection"], ","); got != c.connection && !(got == "" && resp.Close && c.connection == "close") {
				t.Errorf("Connection: got %q, want %q", got, c.connection)
			}
			if resp.StatusCode == 200 && int64(len(body)) != resp.ContentLength {
				t.Errorf("got %d bytes of %d", len(body), resp.ContentLength)
			}
			if c.closes {
				conn.closed()
			} else if _, body := conn.get("/a"); body != "text" {
				t.Errorf("then: got %q", body)
			}
		})
	}
}

func TestPipelining(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "small", "mid": strings.Repeat("m", 50000), "big": strings.Repeat("b", 3000000)})
	conn := s.dial(t)
	want := []struct {
		path string
		size int
	}{{"/a", 5}, {"/big", 3000000}, {"/a", 5}, {"/mid", 50000}, {"/none", 14}, {"/big", 3000000}, {"/a", 5}}
	const rounds = 40
	sent := make(chan error, 1)
	go func() {
		var b strings.Builder
		for range rounds {
			for _, w := range want {
				b.WriteString("GET " + w.path + " HTTP/1.1\r\nHost: a\r\nX-Fill: " + strings.Repeat("f", 100) + "\r\n\r\n")
			}
		}
		_, err := io.WriteString(conn, b.String())
		sent <- err
	}()
	for range rounds {
		for _, w := range want {
			if resp, body := conn.response("GET"); len(body) != w.size {
				t.Fatalf("%s: got %d, %d bytes, want %d", w.path, resp.StatusCode, len(body), w.size)
			}
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	// A hundred small ones, byte by byte at the seams.
	all := strings.Repeat("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 100)
	for len(all) > 0 {
		n := min(len(all), 41)
		conn.send(all[:n])
		all = all[n:]
	}
	for range 100 {
		if _, body := conn.response("GET"); body != "small" {
			t.Fatalf("got %q", body)
		}
	}
}

func TestMalformed(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "text"})
	for _, c := range []struct {
		in     string
		status int
		reason string
	}{
		{"GET /a HTTP/1.1\r\n\r\n", 400, "no Host field\n"},
		{"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "more than one Host field\n"},
		{"GET /a HTTP/1.1\nHost: a\n\n", 400, "line ends with a bare LF\n"},
		{"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "Content-Length and Transfer-Encoding together\n"},
		{"GET /a HTTP/2.0\r\n\r\n", 505, "version is neither HTTP/1.0 nor HTTP/1.1\n"},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 20000) + "\r\n\r\n", 431, "head too large\n"},
		{"GET /a HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417, "expectation other than 100-continue\n"},
		{"\x16\x03\x01\x00\x05hello", 400, "bad character in the method\n"},
	} {
		conn := s.dial(t)
		conn.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n" + c.in + strings.Repeat("more that must not be answered", 1000))
		if _, body := conn.response("GET"); body != "text" {
			t.Errorf("before it: got %q", body)
		}
		resp, body := conn.response("GET")
		if resp.StatusCode != c.status || body != c.reason || !resp.Close {
			t.Errorf("%.30q: got %d %q, close %v, want %d %q", c.in, resp.StatusCode, body, resp.Close, c.status, c.reason)
		}
		conn.closed()
	}
	if st := s.Status(); st.Malformed != 8 {
		t.Errorf("counted %d malformed requests, want 8", st.Malformed)
	}
	// A chunked body that nobody wants, and that is wrong.
	conn := s.dial(t)
	conn.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
	if resp, _ := conn.response("POST"); resp.StatusCode != 405 {
		t.Errorf("got %d", resp.StatusCode)
	}
	if _, err := conn.r.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

// A client that sends too slowly, or nothing, or takes nothing, does not keep its connection.
func TestTimeouts(t *testing.T) {
	const soon = 50 * time.Millisecond
	files := map[string]string{"a": "text", "big": strings.Repeat("b", 16<<20)}
	t.Run("head", func(t *testing.T) {
		conn := start(t, Config{Head: soon}, files).dial(t)
		conn.send("GET /a HTTP/1.1\r\nHos")
		if resp, _ := conn.response("GET"); resp.StatusCode != 408 {
			t.Errorf("got %d", resp.StatusCode)
		}
		conn.closed()
	})
	t.Run("first head", func(t *testing.T) {
		start(t, Config{Head: soon}, files).dial(t).closed()
	})
	t.Run("second head", func(t *testing.T) {
		conn := start(t, Config{Head: soon}, files).dial(t)
		conn.get("/a")
		conn.send("GET /a HTTP/1.1\r\n")
		if resp, _ := conn.response("GET"); resp.StatusCode != 408 {
			t.Errorf("got %d", resp.StatusCode)
		}
		conn.closed()
	})
	t.Run("idle", func(t *testing.T) {
		conn := start(t, Config{Idle: soon}, files).dial(t)
		conn.get("/a")
		conn.closed()
	})
	t.Run("body", func(t *testing.T) {
		conn := start(t, Config{Head: soon}, files).dial(t)
		conn.send("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
		conn.response("GET")
		conn.closed()
	})
	t.Run("stall", func(t *testing.T) {
		s := start(t, Config{Stall: soon}, files)
		conn := s.dial(t)
		conn.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
		for end := time.Now().Add(10 * time.Second); s.Status().TimedOut == 0 && time.Now().Before(end); {
			continue
		}
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
	})
}

// Everything that the client does wrong with its end of the connection leaves the server as it was.
func TestClientsGo(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "text", "big": strings.Repeat("b", 8<<20)})
	for _, in := range []string{"", "GET", "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123"} {
		for _, reset := range []bool{false, true} {
			conn := s.dial(t)
			conn.send(in)
			if reset {
				_ = conn.Conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
	}
	// One that has said all it will say still gets its answers.
	conn := s.dial(t)
	conn.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.Conn.(*net.TCPConn).CloseWrite()
	if _, body := conn.response("GET"); len(body) != 8<<20 {
		t.Errorf("got %d bytes", len(body))
	}
	if _, body := conn.response("GET"); body != "text" {
		t.Errorf("got %q", body)
	}
	conn.closed()
	for end := time.Now().Add(10 * time.Second); s.Status().Connections > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left", s.Status().Connections)
		}
	}
}

// A file that becomes shorter while it is sent ends the connection: the client sees that it did not get all.
func TestFileCutShort(t *testing.T) {
	s := start(t, Config{}, map[string]string{"big": strings.Repeat("b", 16<<20)})
	conn := s.dial(t)
	conn.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(s.root, "big"), 100); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if _, body := s.dial(t).get("/big"); len(body) != 100 {
		t.Errorf("then: got %d bytes", len(body))
	}
}

func TestDrain(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "text", "big": strings.Repeat("b", 32<<20)})
	idle, busy, large, fresh := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.get("/a")
	busy.get("/a")
	large.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(large.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for s.Status().Connections < 4 {
		continue
	}
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	for !s.Status().Draining {
		continue
	}
	for _, c := range []*client{busy, fresh} {
		if resp, body := c.get("/a"); body != "text" || !resp.Close {
			t.Errorf("a request on its way: got %q, close %v", body, resp.Close)
		}
		c.closed()
	}
	idle.closed()
	select {
	case <-stopped:
		t.Error("stopped before the download was done")
	default:
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != 32<<20 || err != nil {
		t.Errorf("the download: got %d bytes, %v", n, err)
	}
	<-stopped
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("a connection was accepted")
	}
}

func TestDrainIsBounded(t *testing.T) {
	s := start(t, Config{Drain: 50 * time.Millisecond}, map[string]string{"big": strings.Repeat("b", 16<<20)})
	conn := s.dial(t)
	conn.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := conn.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	s.stop()
}

// Configurations change under load, and no request fails.
func TestReload(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a": "old"})
	other := t.TempDir()
	write(t, other, map[string]string{"a": "new"})
	var news atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		conn := s.dial(t)
		clients.Go(func() {
			for ctx.Err() == nil {
				switch resp, body := conn.get("/a"); {
				case resp.StatusCode != 200 || body != "old" && body != "new":
					t.Errorf("got %d %q", resp.StatusCode, body)
					return
				case body == "new":
					news.Add(1)
				}
			}
		})
	}
	for i := range 50 {
		root := other
		if i%2 == 0 {
			root = s.root
		}
		if err := s.Reload(Config{Root: root}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Reload(Config{Root: "/nowhere"}); err == nil {
		t.Error("a root that is not there was taken")
	}
	for news.Load() < 100 {
		continue
	}
	stop()
	clients.Wait()
	if got := s.Status().Root; got != other {
		t.Errorf("the root is %s", got)
	}
}

// A server listens on further addresses and gives up others while clients are at it; connections stay.
func TestReloadOfAddresses(t *testing.T) {
	s := start(t, Config{Threads: 2}, map[string]string{"a": "text"})
	first := netip.MustParseAddrPort("127.0.0.1:0") // as it was started
	conn := s.dial(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second := l.Addr().(*net.TCPAddr).AddrPort()
	cfg := Config{Root: s.root, Listen: []netip.AddrPort{first, second}}
	if err := s.Reload(cfg); err == nil || len(s.Addrs()) != 1 {
		t.Errorf("an address that another has was taken: %v, %v", s.Addrs(), err)
	}
	_ = l.Close()
	for range 3 {
		cfg.Listen = []netip.AddrPort{first, second}
		if err := s.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		there := (&running{addr: second.String()}).dial(t)
		if _, body := there.get("/a"); body != "text" {
			t.Errorf("got %q at the new address", body)
		}
		cfg.Listen, cfg.VIPs = cfg.Listen[:1], []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("[2001:db8::1]:80")}
		if err := s.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if _, body := there.get("/a"); body != "text" {
			t.Errorf("got %q on a connection to an address that was given up", body)
		}
		for { // until the workers have let go of it
			c, err := net.Dial("tcp", second.String())
			if err != nil {
				break
			}
			_ = c.Close()
		}
	}
	if _, body := conn.get("/a"); body != "text" {
		t.Errorf("got %q on the old connection", body)
	}
	s.stop()
	if err := s.Reload(cfg); err == nil {
		t.Error("a server that has ended was given an address")
	}
}

func TestConnectionLimit(t *testing.T) {
	s := start(t, Config{Connections: 2, Threads: 1}, map[string]string{"a": "text"})
	a, b := s.dial(t), s.dial(t)
	a.get("/a")
	b.get("/a")
	c := s.dial(t) // waits in the kernel
	c.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := s.Status().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	_ = a.Close()
	if _, body := c.response("GET"); body != "text" {
		t.Errorf("got %q", body)
	}
}

func TestStatusAndLog(t *testing.T) {
	var lines lockedBuffer
	s := start(t, Config{AccessLog: &lines}, map[string]string{"a": "text"})
	conn := s.dial(t)
	conn.get("/a", "User-Agent: x\"\xe9", "Referer: http://b/")
	conn.do("HEAD", "/a")
	conn.get("/none?q=\"")
	_ = conn.Close()
	for s.Status().Connections > 0 {
		continue
	}
	st := s.Status()
	if st.Requests != 3 || st.Responses != [6]uint64{2: 2, 4: 1} || st.Accepted != 1 || st.Hits != 1 || st.Misses != 2 || st.Pages != 1 || st.Sent == 0 {
		t.Errorf("got %+v", st)
	}
	s.stop()
	if st := s.Status(); st.Requests != 3 || !st.Draining {
		t.Errorf("after the end: got %+v", st)
	}
	var got []string
	for line := range strings.Lines(lines.String()) {
		before, rest, _ := strings.Cut(line, "[")
		_, after, _ := strings.Cut(rest, "]")
		got = append(got, before+"[]"+after)
	}
	want := "127.0.0.1 - - [] \"GET /a HTTP/1.1\" 200 4 \"http://b/\" \"x\\x22\\xe9\"\n" +
		"127.0.0.1 - - [] \"HEAD /a HTTP/1.1\" 200 0 \"-\" \"-\"\n" +
		"127.0.0.1 - - [] \"GET /none?q=\\x22 HTTP/1.1\" 404 14 \"-\" \"-\"\n"
	if all := strings.Join(got, ""); all != want {
		t.Errorf("got\n%swant\n%s", all, want)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

// The tree is kept without openat2 too.
func TestOldKernel(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"a": "text", "up": "-> /etc/passwd", "d/index.html": "sub"})
	s, err := newSite(Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if s.tree.root, err = os.OpenRoot(root); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/a": 200, "/": 403, "/d/": 200, "/d": 301, "/up": 404, "/none": 404, "/a/b": 404} {
		f := s.load(path, 1)
		if got := f.status; f.page == nil && got != want || f.page != nil && want != 200 {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
}
