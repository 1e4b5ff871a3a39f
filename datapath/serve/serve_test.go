package serve

import (
	"bufio"
	"bytes"
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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// modified is when every test file was.
var modified = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// write makes files below a directory. A content of "-> x" makes a link to x.
func write(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
}

// A site under test.
type running struct {
	*Server
	addr string
	root string
	stop func() // and wait
}

func start(t testing.TB, cfg Config, files map[string]string) *running {
	t.Helper()
	if cfg.Root == "" {
		cfg.Root = t.TempDir()
	}
	write(t, cfg.Root, files)
	cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	if cfg.Threads == 0 {
		cfg.Threads = 2
	}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	r := &running{Server: s, addr: s.Addrs()[0].String(), root: cfg.Root}
	var stopped bool
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(r.stop)
	return r
}

// A client speaks to the server on one connection, and sees every byte.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (r *running) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

func (c *client) get(path string, fields ...string) (*http.Response, string) {
	c.t.Helper()
	return c.do("GET", path, fields...)
}

func (c *client) do(method, path string, fields ...string) (*http.Response, string) {
	c.t.Helper()
	head := method + " " + path + " HTTP/1.1\r\nHost: a\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	c.send(head + "\r\n")
	return c.response(method)
}

// closed says that the server has ended the connection, and sent nothing more.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("at the end of the connection: %q, %v", rest, err)
	}
}

func TestDocuments(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 10000) // past what the cache keeps whole
	mid := strings.Repeat("m", 20000)                // in memory, written apart from its head
	s := start(t, Config{Name: "t1", ShowName: true}, map[string]string{
		"index.html": "home", "a.txt": "text", "dir/index.html": "sub", "empty": "", "bare/x": "1", "big.bin": big, "mid.js": mid,
		"with space.css": "s", "ü.svg": "u", ".secret": "s", ".git/config": "s", ".well-known/acme": "token",
		"up": "-> ../outside", "abs": "-> /etc/passwd", "inside": "-> dir", "loop": "-> loop", "q#.html": "q",
	})
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.root), "outside"), []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	const none = "(no body is compared)"
	for _, c := range []struct {
		method, path string
		status       int
		ctype, body  string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "home"},
		{"GET", "/?x=1", 200, "text/html; charset=utf-8", "home"},
		{"GET", "/index.html", 200, "text/html; charset=utf-8", "home"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"GET", "http://a/a.txt", 200, "text/plain; charset=utf-8", "text"},
		{"GET", "/%61.txt", 200, "text/plain; charset=utf-8", "text"},
		{"GET", "//a.txt", 200, "text/plain; charset=utf-8", "text"},
		{"GET", "/dir/", 200, "text/html; charset=utf-8", "sub"},
		{"GET", "/dir//", 200, "text/html; charset=utf-8", "sub"},
		{"GET", "/inside/", 200, "text/html; charset=utf-8", "sub"},
		{"GET", "/empty", 200, "application/octet-stream", ""},
		{"GET", "/big.bin", 200, "application/octet-stream", big},
		{"HEAD", "/big.bin", 200, "application/octet-stream", ""},
		{"GET", "/mid.js", 200, "text/javascript; charset=utf-8", mid},
		{"GET", "/with%20space.css", 200, "text/css; charset=utf-8", "s"},
		{"GET", "/%C3%BC.svg", 200, "image/svg+xml", "u"},
		{"GET", "/q%23.html", 200, "text/html; charset=utf-8", "q"},
		{"GET", "/.well-known/acme", 200, "application/octet-stream", "token"},
		{"GET", "/none", 404, "text/plain; charset=utf-8", "404 Not Found\n"},
		{"HEAD", "/none", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/a.txt/", 404, "text/plain; charset=utf-8", none},
		{"GET", "/a.txt/b", 404, "text/plain; charset=utf-8", none},
		{"GET", "/" + strings.Repeat("x", 300), 404, "text/plain; charset=utf-8", none},
		{"GET", "/dir%2Findex.html", 404, "text/plain; charset=utf-8", none},
		{"GET", "/bare/", 403, "text/plain; charset=utf-8", none},
		{"GET", "/.secret", 404, "text/plain; charset=utf-8", none},
		{"GET", "/%2esecret", 404, "text/plain; charset=utf-8", none},
		{"GET", "/.git/config", 404, "text/plain; charset=utf-8", none},
		{"GET", "/up", 404, "text/plain; charset=utf-8", none},
		{"GET", "/abs", 404, "text/plain; charset=utf-8", none},
		{"GET", "/loop", 404, "text/plain; charset=utf-8", none},
		{"GET", "/../outside", 400, "text/plain; charset=utf-8", none},
		{"GET", "/dir/..", 400, "text/plain; charset=utf-8", none},
		{"GET", "/dir/%2e%2E/a.txt", 400, "text/plain; charset=utf-8", none},
		{"GET", "/./a.txt", 400, "text/plain; charset=utf-8", none},
		{"GET", "/a%00.txt", 400, "text/plain; charset=utf-8", none},
		{"DELETE", "/a.txt", 405, "text/plain; charset=utf-8", none},
		{"TRACE", "/a.txt", 405, "text/plain; charset=utf-8", none},
		{"BREW", "/a.txt", 501, "text/plain; charset=utf-8", none},
		{"OPTIONS", "/a.txt", 204, "", ""},
		{"OPTIONS", "*", 204, "", ""},
	} {
		for _, turn := range []string{"first", "again"} {
			conn := s.dial(t)
			resp, body := conn.do(c.method, c.path)
			if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.ctype || body != c.body && c.body != none {
				t.Errorf("%s %.40s, %s: got %d %s %.60q, want %d %s %.60q", c.method, c.path, turn, resp.StatusCode, resp.Header.Get("Content-Type"), body, c.status, c.ctype, c.body)
			}
			if resp.Header.Get("Date") == "" || resp.Header.Get("X-Muster-Node") != "t1" {
				t.Errorf("%s %s: fields of every response are missing: %v", c.method, c.path, resp.Header)
			}
			if allow := resp.Header.Get("Allow"); (c.status == 405 || c.method == "OPTIONS") != (allow == "GET, HEAD, OPTIONS") {
				t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
			}
			// The connection goes on.
			if _, body := conn.get("/a.txt"); body != "text" {
				t.Errorf("after %s %s: got %q", c.method, c.path, body)
			}
			_ = conn.Close()
		}
	}
	resp, _ := s.dial(t).get("/a.txt")
	want := http.Header{
		"Date": resp.Header["Date"], "Server": {"muster"}, "X-Muster-Node": {"t1"}, "Content-Type": {"text/plain; charset=utf-8"},
		"Content-Length": {"4"}, "Last-Modified": {"Mon, 06 May 2024 07:08:09 GMT"}, "Etag": {`"663881d9-4"`}, "Accept-Ranges": {"bytes"},
	}
	if d := cmp.Diff(want, resp.Header); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	head, _ := s.dial(t).do("HEAD", "/big.bin")
	if n := head.Header.Get("Content-Length"); n != "160000" {
		t.Errorf("HEAD of a large document: Content-Length %s", n)
	}
}

// A name that has a percent sign in it is not mistaken for an encoded one, cached or not.
func TestPercentInAName(t *testing.T) {
	conn := start(t, Config{}, map[string]string{"%61": "percent", "a": "letter"}).dial(t)
	for range 2 {
		if _, body := conn.get("/%2561"); body != "percent" {
			t.Errorf("/%%2561: got %q", body)
		}
		if _, body := conn.get("/%61"); body != "letter" {
			t.Errorf("/%%61: got %q", body)
		}
	}
}

func TestRedirect(t *testing.T) {
	s := start(t, Config{}, map[string]string{"dir/index.html": "", "a b/x": "", "evil.example/index.html": ""})
	for _, c := range []struct{ path, want string }{
		{"/dir", "/dir/"},
		{"/dir?a=b&c", "/dir/?a=b&c"},
		{"/a%20b", "/a%20b/"},
		{"//evil.example", "/evil.example/"}, // not to another host
		{"/dir/%0d%0aX:%20y", ""},
	} {
		resp, _ := s.dial(t).get(c.path)
		if got := resp.Header.Get("Location"); got != c.want || (resp.StatusCode == 301) != (c.want != "") || resp.Header.Get("X") != "" {
			t.Errorf("%s: got %d %q, want %q", c.path, resp.StatusCode, got, c.want)
		}
	}
}

func TestConditions(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a.txt": "text", "big.bin": strings.Repeat("b", 100000)})
	const (
		tag    = `"663881d9-4"`
		same   = "Mon, 06 May 2024 07:08:09 GMT"
		before = "Mon, 06 May 2024 07:08:08 GMT"
		after  = "Tue, 07 May 2024 07:08:09 GMT"
	)
	for _, c := range []struct {
		fields string
		status int
	}{
		{"If-None-Match: " + tag, 304},
		{"If-None-Match: W/" + tag, 304},
		{"If-None-Match: \"x,y\", , " + tag, 304},
		{"If-None-Match: \"x\"\r\nIf-None-Match: " + tag, 304},
		{"If-None-Match: *", 304},
		{"If-None-Match: \"x\"", 200},
		{"If-None-Match: 663881d9-4", 200},
		{"If-None-Match: \"663881d9-4", 200},
		{"If-None-Match:", 200},
		{"If-Modified-Since: " + same, 304},
		{"If-Modified-Since: " + after, 304},
		{"If-Modified-Since: Monday, 06-May-24 07:08:09 GMT", 304},
		{"If-Modified-Since: Mon May  6 07:08:09 2024", 304},
		{"If-Modified-Since: " + before, 200},
		{"If-Modified-Since: yesterday", 200},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: " + same, 200}, // the date is not looked at
		{"If-None-Match: " + tag + "\r\nIf-Modified-Since: " + before, 304},
		{"If-Match: " + tag, 200},
		{"If-Match: *", 200},
		{"If-Match: \"x\", " + tag, 200},
		{"If-Match: W/" + tag, 412},
		{"If-Match: \"x\"", 412},
		{"If-Unmodified-Since: " + same, 200},
		{"If-Unmodified-Since: " + before, 412},
		{"If-Unmodified-Since: nonsense", 200},
		{"If-Match: " + tag + "\r\nIf-Unmodified-Since: " + before, 200}, // the date is not looked at
		{"If-Match: " + tag + "\r\nIf-None-Match: " + tag, 304},
		{"If-Match: \"x\"\r\nIf-None-Match: " + tag, 412},
		{"If-None-Match: " + tag + "\r\nRange: bytes=0-1", 304},
		{"If-Match: " + tag + "\r\nRange: bytes=0-1", 206},
		{"Range: bytes=0-1\r\nIf-Range: " + tag, 206},
		{"Range: bytes=0-1\r\nIf-Range: W/" + tag, 200},
		{"Range: bytes=0-1\r\nIf-Range: \"x\"", 200},
		{"Range: bytes=0-1\r\nIf-Range: " + same, 206},
		{"Range: bytes=0-1\r\nIf-Range: " + after, 200},
		{"Range: bytes=9-\r\nIf-Range: " + tag, 416},
		{"Range: bytes=9-\r\nIf-Range: \"x\"", 200},
		{"If-Range: \"x\"", 200},
	} {
		conn := s.dial(t)
		resp, body := conn.get("/a.txt", c.fields)
		if resp.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", c.fields, resp.StatusCode, c.status)
		}
		if resp.StatusCode == 304 && (body != "" || resp.Header.Get("Etag") != tag || resp.Header.Get("Last-Modified") != same || resp.ContentLength > 0) {
			t.Errorf("%s: got %v %q", c.fields, resp.Header, body)
		}
		_, _ = conn.do("HEAD", "/a.txt", c.fields)
		if resp, _ := conn.get("/a.txt"); resp.StatusCode != 200 {
			t.Errorf("after %s: %d", c.fields, resp.StatusCode)
		}
		_ = conn.Close()
	}
	conn := s.dial(t)
	resp, _ := conn.get("/big.bin")
	for range 3 {
		if again, _ := conn.get("/big.bin", "If-None-Match: "+resp.Header.Get("Etag")); again.StatusCode != 304 {
			t.Errorf("large document: got %d", again.StatusCode)
		}
	}
}

func TestRanges(t *testing.T) {
	small, big := "0123456789", strings.Repeat("0123456789", 20000)
	s := start(t, Config{}, map[string]string{"small.txt": small, "big.txt": big, "empty": ""})
	for _, c := range []struct {
		set    string
		status int
		parts  []string // as positions "a-b"
	}{
		{"bytes=0-0", 206, []string{"0-0"}},
		{"bytes=2-4", 206, []string{"2-4"}},
		{"Bytes = 2-4", 206, []string{"2-4"}},
		{"bytes=5-", 206, []string{"5-9"}},
		{"bytes=-3", 206, []string{"7-9"}},
		{"bytes=-99", 206, []string{"0-9"}},
		{"bytes=0-99999999999999999999999", 206, []string{"0-9"}},
		{"bytes=0-1,3-4", 206, []string{"0-1", "3-4"}},
		{"bytes=0-1, ,-1,", 206, []string{"0-1", "9-9"}},
		{"bytes=8-9,20-30", 206, []string{"8-9"}},
		{"bytes=10-", 416, nil},
		{"bytes=99999999999999999999999-", 416, nil},
		{"bytes=-0", 416, nil},
		{"bytes=20-30,40-", 416, nil},
		{"bytes=4-2", 200, nil},
		{"bytes=a-b", 200, nil},
		{"bytes=1", 200, nil},
		{"bytes=-", 200, nil},
		{"bytes=", 200, nil},
		{"bytes=,", 200, nil},
		{"bytes 0-1", 200, nil},
		{"bytes=+1-2", 200, nil},
		{"lines=0-1", 200, nil},
		{"bytes=0-9,0-9", 200, nil}, // more than the document
		{"bytes=" + strings.Repeat("0-0,", 17), 200, nil},
	} {
		conn := s.dial(t)
		resp, body := conn.get("/small.txt", "Range: "+c.set)
		if resp.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", c.set, resp.StatusCode, c.status)
			continue
		}
		switch {
		case c.status == 200 && body != small:
			t.Errorf("%s: got %q", c.set, body)
		case c.status == 416 && resp.Header.Get("Content-Range") != "bytes */10":
			t.Errorf("%s: got Content-Range %q", c.set, resp.Header.Get("Content-Range"))
		case c.status == 206:
			if d := cmp.Diff(partsOf(small, c.parts), bodyParts(t, resp, body)); d != "" {
				t.Errorf("%s (-want +got)\n%s", c.set, d)
			}
		}
		if resp, body := conn.do("HEAD", "/small.txt", "Range: "+c.set); resp.StatusCode != 200 || body != "" {
			t.Errorf("HEAD with %s: got %d %q", c.set, resp.StatusCode, body)
		}
	}
	conn := s.dial(t)
	for range 2 {
		for _, parts := range [][]string{{"5-9"}, {"100000-199999"}, {"0-99999", "150000-150009", "199999-199999"}} {
			resp, body := conn.get("/big.txt", "Range: bytes="+strings.Join(parts, ","))
			if d := cmp.Diff(partsOf(big, parts), bodyParts(t, resp, body)); d != "" {
				t.Errorf("%s (-want +got)\n%.300s", parts, d)
			}
		}
	}
	if resp, _ := conn.get("/empty", "Range: bytes=-5"); resp.StatusCode != 200 {
		t.Errorf("the end of an empty document: got %d", resp.StatusCode)
	}
	if resp, _ := conn.get("/empty", "Range: bytes=0-"); resp.StatusCode != 416 {
		t.Errorf("a byte of an empty document: got %d", resp.StatusCode)
	}
}

// partsOf makes the parts that positions stand for.
func partsOf(doc string, positions []string) map[string]string {
	m := map[string]string{}
	for _, p := range positions {
		var a, b int
		_, _ = fmt.Sscanf(p, "%d-%d", &a, &b)
		m[fmt.Sprintf("bytes %s/%d", p, len(doc))] = doc[a : b+1]
	}
	return m
}

func TestCodings(t *testing.T) {
	s := start(t, Config{}, map[string]string{
		"a.html": "identity", "a.html.gz": "gz", "a.html.br": "br", "b.css": "identity", "b.css.zst": "zst", "c.js": "identity!", "c.js.gz": "gz",
		"d.html": "identity", "d.html.gz": "samesize", "e.png": "identity", "e.png.gz": "gz",
	})
	old := modified.Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(s.root, "c.js.gz"), old, old); err != nil {
		t.Fatal(err)
	}
	conn := s.dial(t)
	for _, c := range []struct{ path, accept, coding, body string }{
		{"/a.html", "", "", "identity"},
		{"/a.html", "gzip", "gzip", "gz"},
		{"/a.html", "GZIP", "gzip", "gz"},
		{"/a.html", "x-gzip", "gzip", "gz"},
		{"/a.html", "gzip, deflate, br, zstd", "br", "br"},
		{"/a.html", "br;q=0.5, gzip;q=0.8", "gzip", "gz"},
		{"/a.html", "br;q=0, gzip;q=0", "", "identity"},
		{"/a.html", "gzip;q=0.5, identity", "", "identity"},
		{"/a.html", "identity;q=0.5, gzip;q=0.5", "gzip", "gz"},
		{"/a.html", "*", "br", "br"},
		{"/a.html", "*;q=0", "", "identity"}, // rather than nothing
		{"/a.html", "*;q=0.1, br;q=0", "gzip", "gz"},
		{"/a.html", "gzip;q=1.001", "", "identity"},
		{"/a.html", "gzip;q=x", "", "identity"},
		{"/a.html", "gzip ; q=0.001", "gzip", "gz"},
		{"/a.html", "gzip;q=", "", "identity"},
		{"/a.html", "deflate", "", "identity"},
		{"/b.css", "gzip, br", "", "identity"},
		{"/b.css", "zstd", "zstd", "zst"},
		{"/c.js", "gzip", "", "identity!"}, // the packed one is older
		{"/d.html", "gzip", "gzip", "samesize"},
		{"/e.png", "gzip", "", "identity"},
	} {
		var fields []string
		if c.accept != "" {
			fields = []string{"Accept-Encoding: " + c.accept}
		}
		resp, body := conn.get(c.path, fields...)
		if got := resp.Header.Get("Content-Encoding"); got != c.coding || body != c.body {
			t.Errorf("%s with %q: got %q %q, want %q %q", c.path, c.accept, got, body, c.coding, c.body)
		}
		vary := c.path != "/c.js" && c.path != "/e.png"
		if got := resp.Header.Get("Vary"); (got == "Accept-Encoding") != vary {
			t.Errorf("%s: Vary is %q", c.path, got)
		}
		tag := resp.Header.Get("Etag")
		again, _ := conn.get(c.path, append(fields, "If-None-Match: "+tag)...)
		if again.StatusCode != 304 || again.Header.Get("Etag") != tag {
			t.Errorf("%s with %q and its tag: got %d %s", c.path, c.accept, again.StatusCode, again.Header.Get("Etag"))
		}
		if other, _ := conn.get(c.path, "If-None-Match: "+tag); c.coding != "" && other.StatusCode != 200 {
			t.Errorf("%s: forms share the tag %s", c.path, tag)
		}
		if c.coding != "" {
			part, body := conn.get(c.path, append(fields, "Range: bytes=1-")...)
			if part.StatusCode != 206 || body != c.body[1:] || part.Header.Get("Content-Encoding") != c.coding {
				t.Errorf("%s: part of a packed form: got %d %q %v", c.path, part.StatusCode, body, part.Header)
			}
		}
	}
}

func TestListing(t *testing.T) {
	s := start(t, Config{Listing: true}, map[string]string{"d/<b>&.txt": "12", "d/sub/x": "", "d/.hidden": "", "d/link": "-> /etc", "i/index.html": "index"})
	_, body := s.dial(t).get("/d/")
	for _, want := range []string{`<a href="../">`, `<a href="./sub/">sub/</a>`, `<a href="./%3Cb%3E%26.txt">&lt;b&gt;&amp;.txt</a>`, `<td align="right">2</td>`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in\n%s", want, body)
		}
	}
	for _, no := range []string{"hidden", "link", "<b>"} {
		if strings.Contains(body, no) {
			t.Errorf("%s is in\n%s", no, body)
		}
	}
	if _, body := s.dial(t).get("/i/"); body != "index" {
		t.Errorf("got %q", body)
	}
}

func TestDynamic(t *testing.T) {
	s := start(t, Config{Dynamic: func(path, query string) ([]byte, string, bool) {
		switch path {
		case "/now here":
			return []byte("query=" + query), "text/plain", true
		case "/long":
			return bytes.Repeat([]byte("x"), 100000), "text/plain", true
		}
		return nil, "", false
	}}, map[string]string{"a": "file"})
	conn := s.dial(t)
	if _, body := conn.get("/now%20here?a=b"); body != "query=a=b" {
		t.Errorf("got %q", body)
	}
	if _, body := conn.get("/long"); len(body) != 100000 {
		t.Errorf("got %d bytes", len(body))
	}
	if resp, _ := conn.do("HEAD", "/long"); resp.Header.Get("Content-Length") != "100000" {
		t.Errorf("got %v", resp.Header)
	}
	if _, body := conn.get("/a"); body != "file" {
		t.Errorf("got %q", body)
	}
}

// A document that changes is served as it is now, a second later at most; so is one that goes, and a packed form that
// comes.
func TestChange(t *testing.T) {
	s := start(t, Config{}, map[string]string{"a.txt": "one", "big": strings.Repeat("1", 100000), "gone": "x"})
	conn := s.dial(t)
	until := func(path, what string, ok func(*http.Response, string) bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; {
			if resp, body := conn.get(path); ok(resp, body) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("%s: %s", path, what)
			}
		}
	}
	for path, want := range map[string]string{"/a.txt": "one", "/big": strings.Repeat("1", 100000), "/gone": "x"} {
		if _, body := conn.get(path); body != want {
			t.Fatalf("%s: got %.20q", path, body)
		}
	}
	write(t, s.root, map[string]string{"a.new": "two!", "big.new": strings.Repeat("2", 100000)})
	for _, name := range []string{"a.txt", "big"} {
		from := strings.TrimSuffix(name, ".txt") + ".new"
		if err := os.Rename(filepath.Join(s.root, from), filepath.Join(s.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(s.root, "gone")); err != nil {
		t.Fatal(err)
	}
	until("/a.txt", "still the old one", func(_ *http.Response, body string) bool { return body == "two!" })
	until("/big", "still the old one", func(_ *http.Response, body string) bool { return body[0] == '2' })
	until("/gone", "still there", func(r *http.Response, _ string) bool { return r.StatusCode == 404 })
}

func TestWrongConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	write(t, filepath.Dir(file), map[string]string{"f": ""})
	at := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: at}, "serve: no root directory is given; set root to the directory with the files"},
		{Config{Listen: at, Root: file}, "serve: root " + file + " is not a directory"},
		{Config{Listen: at, Root: file + "x"}, "serve: open the root: open " + file + "x: no such file or directory"},
		{Config{Root: "/"}, "serve: no address to listen on is given"},
		{Config{Listen: at, Root: "/", Index: []string{"../a"}}, `serve: index "../a" is not a file name`},
		{Config{Listen: at, Root: "/", Name: "a\r\nb", ShowName: true}, `serve: name "a\r\nb" cannot be sent in a header field`},
	} {
		_, err := New(c.cfg, slog.New(slog.DiscardHandler))
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v: got %v, want %s", c.cfg, err, c.want)
		}
	}
	first := start(t, Config{}, nil)
	taken := []netip.AddrPort{netip.MustParseAddrPort(first.addr)}
	if _, err := New(Config{Listen: taken, Root: "/"}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "listen on "+first.addr) {
		t.Errorf("a port in use: got %v", err)
	}
	unused, err := New(Config{Listen: at, Root: "/"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	unused.Status()
	unused.Close()
	if err := unused.Run(t.Context()); err == nil {
		t.Error("a closed server ran")
	}
}
