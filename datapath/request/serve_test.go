package request

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/internal/loop"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// node runs serve for each connection, one after the other as they come.
func node(t testing.TB, serve func(n int, c net.Conn, r *bufio.Reader)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Add(1)
	go func() {
		defer wg.Done()
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				serve(n, c, bufio.NewReader(c))
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// says answers every request with the same bytes.
func says(answer string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if _, err := io.WriteString(c, answer); err != nil || strings.Contains(answer, "Connection: close") {
				return
			}
		}
	}
}

// refused is an address on which nobody listens: the socket is bound to it, so that nobody else can.
func refused(t testing.TB) netip.AddrPort {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	return loop.LocalAddr(fd)
}

// eventually waits for what another thread is about to do.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func www(change ...func(*Service)) Service {
	s := Service{Name: "www", Kind: cluster.HTTP, Listen: []netip.AddrPort{anyPort}, Retry: Retry{Idempotent: true}}
	for _, f := range change {
		f(&s)
	}
	return s
}

// with starts a proxy of one service before the nodes.
func with(t testing.TB, s Service, nodes ...netip.AddrPort) (*Proxy, *cluster.Table) {
	t.Helper()
	p := start(t, Config{Threads: 1, Drain: time.Second}, s)
	table := tableOf(nodes...)
	p.SetTable(s.Name, table)
	return p, table
}

func dial(t testing.TB, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends raw bytes and returns all that comes back until the director closes.
func ask(t testing.TB, p *Proxy, raw string) string {
	t.Helper()
	c := dial(t, p)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read after %q: %v (got %q)", raw, err, b)
	}
	return string(b)
}

const bye = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

func TestResponsesReachTheClientAsTheyShould(t *testing.T) {
	const plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	const inChunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n"
	for _, test := range []struct{ name, node, send, want string }{
		{
			"as it came", plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + bye,
			plain + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		},
		{
			"chunks and trailers", inChunks, "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + bye,
			inChunks + strings.Replace(inChunks, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1),
		},
		{
			"chunks for HTTP/1.0", inChunks, "GET / HTTP/1.0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
		},
		{
			"HTTP/1.0 with keep-alive", plain, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello" +
				"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		},
		{
			"until the end becomes chunks", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
		},
		{
			"until the end for HTTP/1.0", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", "GET / HTTP/1.0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
		},
		{
			"no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + bye,
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\nConnection: close\r\n\r\n",
		},
		{
			"an interim response first", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + plain, bye,
			"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		},
		{
			"no interim response for HTTP/1.0", "HTTP/1.1 103 Early Hints\r\n\r\n" + plain, "GET / HTTP/1.0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		},
		{
			"fields for this hop", "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello", "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + bye,
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		},
		{"from HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", bye, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := with(t, www(), node(t, says(test.node)))
			if diff := cmp.Diff(test.want, ask(t, p, test.send)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheNodeSeesTheRequestAndWhoSentIt(t *testing.T) {
	heads := make(chan string, 1)
	at := node(t, func(_ int, c net.Conn, r *bufio.Reader) {
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		heads <- head.String()
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	full := func(s *Service) { s.XForwarded, s.Forwarded, s.Via = true, true, true }
	const tags = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=127.0.0.1;proto=http\r\nVia: 1.1 muster\r\n\r\n"
	for _, test := range []struct {
		name, send, want string
		s                Service
	}{
		{"untouched", "GET /a?b HTTP/1.1\r\nhOST: h\r\nX: 1\r\n\r\n", "GET /a?b HTTP/1.1\r\nhOST: h\r\nX: 1\r\n\r\n", www()},
		{"tagged", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: h\r\n" + tags, www(full)},
		{
			"not spoofed", "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: h\r\n" + tags, www(full),
		},
		{
			"less what was for us", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 3\r\nProxy-Connection: x\r\nA: b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n", www(),
		},
		{"absolute target", "GET http://h/x?y HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: h\r\n\r\n", www()},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", www()},
		{"not to HTTP/2", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: foo, H2C\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", www()},
		{"upgrade", "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", www()},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := with(t, test.s, at)
			c := dial(t, p)
			_, _ = io.WriteString(c, test.send)
			if diff := cmp.Diff(test.want, <-heads); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotHTTPIsRefused(t *testing.T) {
	p, _ := with(t, www(), node(t, says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))
	for _, raw := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		got := ask(t, p, raw+strings.Repeat("x", 100))
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("%q: got %q, want status 400 and the end of the connection", raw, got)
		}
	}
	if got := ask(t, p, "GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", 20<<10)); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("a head of 20 kB: got %q, want status 431", got)
	}
	if n := p.Status()[0].Ended["bad-request"]; n != 8 {
		t.Errorf("got %d bad requests counted, want 8", n)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	at := backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path, ";") })
	p, _ := with(t, www(), at, at)
	var send, want strings.Builder
	for i := range 50 {
		fmt.Fprintf(&send, "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", i)
		fmt.Fprintf(&want, "/%d;", i)
	}
	send.WriteString(bye)
	c := dial(t, p)
	_, _ = io.WriteString(c, send.String())
	r := bufio.NewReader(c)
	var got strings.Builder
	for range 50 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(&got, resp.Body)
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestContinueIsTheNodesToSay(t *testing.T) {
	p, _ := with(t, www(), backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	c := dial(t, p)
	r := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, want the interim response", line)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(c, "4\r\nbody\r\n0\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != "body" {
		t.Errorf("got %q, want the body echoed", b)
	}
}

// TestLargeBodiesPassBothWays sends 32 MB up and reads them back slowly: they must not wait in the director's memory.
func TestLargeBodiesPassBothWays(t *testing.T) {
	p, _ := with(t, www(), backend(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}))
	sent := make([]byte, 32<<20)
	_, _ = rand.Read(sent)
	for _, length := range []int64{int64(len(sent)), -1} {
		req, _ := http.NewRequest("PUT", "http://"+p.Addrs()[0].String()+"/", io.MultiReader(bytes.NewReader(sent)))
		req.ContentLength = length
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("length %d: got %d bytes and %v, want the %d sent", length, len(got), err, len(sent))
		}
	}
}

func TestWebSocketsAndTunnels(t *testing.T) {
	echo := func(_ int, c net.Conn, r *bufio.Reader) {
		_, _ = io.Copy(c, r)
		_, _ = io.WriteString(c, "end")
	}
	upgraded := func(n int, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst;")
		echo(n, c, r)
	}
	for _, test := range []struct {
		name, send, want string
		s                Service
		node             func(int, net.Conn, *bufio.Reader)
	}{
		{
			"upgrade", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nping",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst;pingend", www(), upgraded,
		},
		{"tcp", "ping", "pingend", www(func(s *Service) { s.Kind = cluster.TCP }), echo},
		{
			"tcp with PROXY in", "PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\nping", "pingend",
			www(func(s *Service) {
				s.Kind, s.ProxyAccept, s.ProxyTrust = cluster.TCP, true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}),
			echo,
		},
		{
			"tcp with PROXY in and out", "PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\nping", "192.0.2.1:5555 pingend",
			www(func(s *Service) {
				s.Kind, s.ProxyAccept, s.ProxyTrust, s.ProxySend = cluster.TCP, true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 1
			}),
			func(n int, c net.Conn, r *bufio.Reader) {
				line, _ := r.ReadString('\n')
				f := strings.Fields(line)
				_, _ = fmt.Fprintf(c, "%s:%s ", f[2], f[4])
				echo(n, c, r)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, table := with(t, test.s, node(t, test.node))
			c := dial(t, p)
			_, _ = io.WriteString(c, test.send)
			_ = c.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
			eventually(t, "the node is let go", func() bool { return table.Shares[0].Live.Active.Load() == 0 })
		})
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestEveryRequestLeavesALine(t *testing.T) {
	for _, format := range []string{"combined", "json"} {
		t.Run(format, func(t *testing.T) {
			var out logBuffer
			t.Run("requests", func(t *testing.T) {
				p, _ := with(t, www(func(s *Service) { s.Log = AccessLog{Format: format, To: &out} }), node(t, says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
				ask(t, p, "GET /a\"b HTTP/1.1\r\nHost: h\r\nUser-Agent: \"x\\\r\n\r\n"+bye)
				ask(t, p, "nonsense\r\n\r\n")
			})
			// That test has ended, and the proxy with it.
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(lines) != 3 {
				t.Fatalf("got %q, want a line for each request", lines)
			}
			// What was not HTTP must not be laid at the door of whoever came before.
			if last := lines[2]; strings.Contains(last, "GET") || strings.Contains(last, "x\\") {
				t.Errorf("the line of what was not HTTP has parts of another request: %s", last)
			}
			for _, l := range lines {
				if format == "json" && !json.Valid([]byte(l)) {
					t.Errorf("not JSON: %s", l)
				}
				if format == "combined" && !strings.Contains(l, " www ") {
					t.Errorf("no service in: %s", l)
				}
			}
		})
	}
}
