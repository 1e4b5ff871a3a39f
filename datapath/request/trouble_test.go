package request

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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/internal/loop"
)

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// brief has everything that is waited for in vain given up soon.
func brief(s *Service) {
	const d = 50 * time.Millisecond
	s.Timeouts = Timeouts{Head: d, Idle: d, Connect: d, Response: d, Stall: d, Queue: d, Tunnel: d, Out: d}
}

func TestAnotherNodeAnswers(t *testing.T) {
	hangUp := func(_ int, c net.Conn, r *bufio.Reader) { _, _ = http.ReadRequest(r) }
	silent := func(_ int, c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }
	nonsense := says("SSH-2.0-OpenSSH\r\n")
	post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
	for _, test := range []struct {
		name   string
		node   netip.AddrPort
		send   string
		status int
		s      Service
	}{
		{"refused", refused(t), bye, 200, www()},
		{"refused, POST", refused(t), post, 200, www()},
		{"hung up", node(t, hangUp), bye, 200, www()},
		{"hung up, POST", node(t, hangUp), post, 502, www()},
		{"hung up, not allowed", node(t, hangUp), bye, 502, www(func(s *Service) { s.Retry.Idempotent = false })},
		{"silent", node(t, silent), bye, 200, www(brief)},
		{"silent, POST", node(t, silent), post, 504, www(brief)},
		{"nonsense", node(t, nonsense), bye, 200, www()},
		{"nonsense, POST", node(t, nonsense), post, 502, www()},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, _ := with(t, test.s, test.node, node(t, says(ok2)))
			for range 2 { // one of the two begins with the bad node
				got := ask(t, p, test.send)
				var status int
				_, _ = fmt.Sscanf(got, "HTTP/1.1 %d", &status)
				if status != 200 && status != test.status {
					t.Errorf("got %q, want status %d", got, test.status)
				}
			}
			st := p.Status()[0]
			if failed := st.Ended["ok"] != 2; failed != (test.status != 200) {
				t.Errorf("got %v ended, want failures: %t", st.Ended, test.status != 200)
			}
			if test.status == 200 && st.Retries == 0 {
				t.Error("no retry was counted")
			}
		})
	}
}

func TestNoNodeIsLeft(t *testing.T) {
	page := func(s *Service) { s.Fallback = Fallback{Body: []byte("<p>sorry</p>")} }
	for _, test := range []struct {
		name   string
		weight uint32
		s      Service
		want   []string
	}{
		{"all refuse", 100, www(), []string{"HTTP/1.1 502 ", "could be connected to"}},
		{"none is active", 0, www(), []string{"HTTP/1.1 503 ", "No node of the pool is active", "Retry-After: 1\r\n"}},
		{"a page", 0, www(page), []string{"HTTP/1.1 503 ", "<p>sorry</p>", "text/html"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, table := with(t, test.s, refused(t), refused(t))
			changed := *table
			changed.Shares = append([]cluster.Share(nil), table.Shares...)
			for i := range changed.Shares {
				changed.Shares[i].Weight = test.weight
			}
			p.SetTable("www", &changed)
			got := ask(t, p, bye)
			for _, w := range test.want {
				if !strings.Contains(got, w) {
					t.Errorf("got %q, want %q in it", got, w)
				}
			}
		})
	}
	t.Run("another server", func(t *testing.T) {
		sorry := node(t, says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsorry"))
		p, _ := with(t, www(func(s *Service) { s.Fallback.Addr = sorry }))
		if got := ask(t, p, bye); !strings.HasSuffix(got, "sorry") {
			t.Errorf("got %q, want the fallback server's answer", got)
		}
	})
}

// document is what several nodes serve; its ETag says that it is the same.
var document = bytes.Repeat([]byte("0123456789abcdef"), 64<<10)

// breaksOff serves the document, but hangs up after half of what was asked for, the first times.
func breaksOff(etag string, times int) func(int, net.Conn, *bufio.Reader) {
	return func(n int, c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			from := 0
			status := "200 OK"
			extra := ""
			if rg := req.Header.Get("Range"); rg != "" && req.Header.Get("If-Range") == etag {
				_, _ = fmt.Sscanf(rg, "bytes=%d-", &from)
				status = "206 Partial Content"
				extra = fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", from, len(document)-1, len(document))
			}
			body := document[from:]
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n%sContent-Length: %d\r\n\r\n", status, etag, extra, len(body))
			if n < times {
				_, _ = c.Write(body[:len(body)/2])
				return
			}
			_, _ = c.Write(body)
		}
	}
}

func TestAnotherNodeFinishesTheResponse(t *testing.T) {
	get := func(p *Proxy) ([]byte, error) {
		resp, err := http.Get("http://" + p.Addrs()[0].String() + "/")
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	t.Run("the same document", func(t *testing.T) {
		var out logBuffer
		p, _ := with(t, www(func(s *Service) { s.Log = AccessLog{Format: "json", To: &out} }), node(t, breaksOff(`"v1"`, 2)), node(t, breaksOff(`"v1"`, 2)), node(t, breaksOff(`"v1"`, 0)))
		for range 3 {
			if b, err := get(p); err != nil || !bytes.Equal(b, document) {
				t.Errorf("got %d bytes and %v, want the whole document of %d", len(b), err, len(document))
			}
		}
		if st := p.Status()[0]; st.Resumes == 0 || len(st.Ended) != 1 {
			t.Errorf("got %d resumed, ended %v; want some, and all well", st.Resumes, st.Ended)
		}
		eventually(t, "the requests are logged with all that they said", func() bool {
			return strings.Count(out.String(), `"user_agent":"Go-http-client/1.1"`) == 3
		})
	})
	t.Run("another version", func(t *testing.T) {
		p, _ := with(t, www(), node(t, breaksOff(`"v1"`, 9)), node(t, breaksOff(`"v2"`, 9)))
		if b, err := get(p); err == nil {
			t.Errorf("got %d bytes and no error, want the connection cut", len(b))
		}
	})
	t.Run("a weak ETag", func(t *testing.T) {
		p, _ := with(t, www(), node(t, breaksOff(`W/"v1"`, 9)), node(t, breaksOff(`W/"v1"`, 0)))
		first, err := get(p)
		second, err2 := get(p)
		if err == nil && err2 == nil {
			t.Errorf("got %d and %d bytes, want one of the connections cut", len(first), len(second))
		}
	})
}

// TestAFrozenNodeHoldsNothingUp has a node accept and never answer; then the table calls it out.
func TestAFrozenNodeHoldsNothingUp(t *testing.T) {
	arrived := make(chan struct{}, 8)
	frozen := node(t, func(_ int, c net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, r)
	})
	p, table := with(t, www(), frozen, node(t, says(ok2)))
	answers := make(chan string, 2)
	for range 2 {
		go func() { answers <- ask(t, p, bye) }()
	}
	<-arrived
	out := *table
	out.Shares = append([]cluster.Share(nil), table.Shares...)
	out.Shares[0].State, out.Shares[0].Weight = cluster.Out, 0
	p.SetTable("www", &out)
	for range 2 {
		if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("got %q, want the other node's answer", got)
		}
	}
}

// TestAnOverdueReportAndAnOwedAnswerAreEnough has no new table come: the node's report is overdue, and so is its answer.
func TestAnOverdueReportAndAnOwedAnswerAreEnough(t *testing.T) {
	frozen := node(t, func(_ int, c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	p, table := with(t, www(), frozen, node(t, says(ok2)))
	table.Shares[0].Live.Overdue.Store(true)
	for range 4 {
		if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("got %q, want the other node's answer", got)
		}
	}
	if p.Status()[0].Retries == 0 {
		t.Error("no request was taken from the node: none had met it")
	}
}

func TestAConnectionThatWaitedTooLongIsReplaced(t *testing.T) {
	// Each connection answers one request, and hangs up when the second comes.
	at := node(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, ok2)
		_, _ = http.ReadRequest(r)
	})
	p, table := with(t, www(func(s *Service) { s.Retry.Attempts = 1 }), at)
	for range 5 {
		if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("got %q, want 200", got)
		}
	}
	if n := table.Shares[0].Live.Failed.Load(); n != 0 {
		t.Errorf("the node is charged with %d failures, want 0", n)
	}
}

func TestRequestsWaitForANodeWithRoom(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 8)
	at := backend(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, "ok")
	})
	p, table := with(t, www(func(s *Service) { s.Limits.Queue = 2 }), at)
	table.Shares[0].Live.Limit.Store(1)
	answers := make(chan string, 4)
	get := func() { go func() { answers <- ask(t, p, bye) }() }
	get()
	<-arrived
	get()
	get()
	eventually(t, "two requests wait", func() bool { return p.Status()[0].Waiting == 2 })
	if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "queue is full") {
		t.Errorf("got %q, want 503 for a full queue", got)
	}
	close(release)
	for range 3 {
		if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("got %q, want 200", got)
		}
	}
}

func TestWaitingEnds(t *testing.T) {
	silent := node(t, func(_ int, c net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	half := node(t, func(_ int, c net.Conn, r *bufio.Reader) {
		_, _ = http.ReadRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		_, _ = io.Copy(io.Discard, r)
	})
	for _, test := range []struct {
		name, send string
		node       netip.AddrPort
		full       bool
		want       string
		cause      Cause
	}{
		{"half a head", "GET / HTTP/1.1\r\nHo", silent, false, "HTTP/1.1 408 ", HeadTimeout},
		{"half a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", silent, false, "HTTP/1.1 408 ", BodyTimeout},
		{"no answer", bye, silent, false, "HTTP/1.1 504 ", NodeTimeout},
		{"no room", bye, silent, true, "HTTP/1.1 503 ", QueueTimeout},
		{"half an answer", bye, half, false, "", NodeStalled},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, table := with(t, www(brief), test.node)
			if test.full {
				table.Shares[0].Live.Limit.Store(1)
				table.Shares[0].Live.Active.Store(1)
			}
			c := dial(t, p)
			_, _ = io.WriteString(c, test.send)
			b, err := io.ReadAll(c)
			if test.want == "" {
				if err == nil {
					t.Errorf("got %q and an end in order, want the connection cut", b)
				}
			} else if !strings.HasPrefix(string(b), test.want) {
				t.Errorf("got %q, %v, want %q", b, err, test.want)
			}
			eventually(t, "the cause is counted", func() bool { return p.Status()[0].Ended[test.cause.String()] == 1 })
		})
	}
}

func TestThereAreLimitsToConnections(t *testing.T) {
	for _, test := range []struct {
		limits Limits
		cause  Cause
	}{
		{Limits{Connections: 1}, TooManyConnections},
		{Limits{PerSource: 1}, TooManyFromSource},
	} {
		p, _ := with(t, www(func(s *Service) { s.Limits = test.limits }), node(t, says(ok2)))
		first := dial(t, p)
		eventually(t, "the first is in", func() bool { return p.Status()[0].Clients == 1 })
		if b, _ := io.ReadAll(dial(t, p)); !strings.HasPrefix(string(b), "HTTP/1.1 503 ") {
			t.Errorf("%s: got %q, want status 503", test.cause, b)
		}
		if p.Status()[0].Ended[test.cause.String()] != 1 {
			t.Errorf("%s: got %v, want it counted", test.cause, p.Status()[0].Ended)
		}
		first.Close()
		eventually(t, "the first is out", func() bool { return p.Status()[0].Clients == 0 })
		if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%s: got %q afterwards, want 200", test.cause, got)
		}
	}
}

func TestServicesChangeUnderOpenConnections(t *testing.T) {
	at := node(t, says(ok2))
	p, table := with(t, www(), at)
	c := dial(t, p)
	r := bufio.NewReader(c)
	get := func() {
		t.Helper()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v, want 200", resp, err)
		} else {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
	get()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := []Service{www(), {Name: "more", Kind: cluster.HTTP, Listen: []netip.AddrPort{netip.MustParseAddrPort(taken.Addr().String())}}}
	if err := p.Apply(bad); err == nil || !strings.Contains(err.Error(), "service more: listen on") || !strings.Contains(err.Error(), "another program has the port") {
		t.Errorf("got %v, want a port that is in use", err)
	}
	get()
	second := netip.MustParseAddrPort("127.0.0.2:0")
	if err := p.Apply([]Service{www(), {Name: "more", Kind: cluster.HTTP, Listen: []netip.AddrPort{second}}}); err != nil {
		t.Fatal(err)
	}
	p.SetTable("more", table)
	get()
	if n := len(p.Addrs()); n != 2 {
		t.Errorf("got %d addresses, want 2", n)
	}
	if err := p.Apply([]Service{www()}); err != nil {
		t.Fatal(err)
	}
	get()
	if n := len(p.Addrs()); n != 1 {
		t.Errorf("got %d addresses, want 1", n)
	}
}

func TestWhatIsUnderWayFinishesWhenToldToStop(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	at := backend(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, "ok")
	})
	p, err := New(Config{Threads: 2}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply([]Service{www()}); err != nil {
		t.Fatal(err)
	}
	p.SetTable("www", tableOf(at))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	addr := p.Addrs()[0].String()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr + "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		answer <- fmt.Sprintf("%s %v close=%t", b, err, resp.Close)
	}()
	<-arrived
	stop()
	eventually(t, "nobody listens any more", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-answer; got != "ok <nil> close=true" {
		t.Errorf("got %q, want the whole answer and the end of the connection", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestABodyThatTricklesIsGivenUp has a client send a byte every now and then, each within the time for a stall.
func TestABodyThatTricklesIsGivenUp(t *testing.T) {
	p, _ := with(t, www(brief, func(s *Service) { s.Limits.BodyRate = 1000 }), node(t, says(ok2)))
	c := dial(t, p)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
	gone := make(chan struct{})
	go func() {
		slowly := time.NewTicker(10 * time.Millisecond)
		defer slowly.Stop()
		for {
			select {
			case <-slowly.C:
				_, _ = io.WriteString(c, "x")
			case <-gone:
				return
			}
		}
	}()
	b, _ := io.ReadAll(c)
	close(gone)
	if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("got %q, want 408", b)
	}
}

func TestAServiceMayHaveFewerLoops(t *testing.T) {
	one := www(func(s *Service) { s.Threads = 1 })
	at := node(t, says(ok2)) // ahead of the proxy: it ends after it
	p := start(t, Config{Threads: 4}, one)
	p.SetTable("www", tableOf(at))
	get := func() {
		if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Fatalf("got %q, want 200", got)
		}
	}
	for range 20 {
		get()
	}
	for i := range 3 {
		if n := (*p.services.Load())["www"].count[i+1].Connections.Load(); n != 0 {
			t.Errorf("loop %d took %d connections, want 0", i+1, n)
		}
	}
	// The change to all of them is seen by loops that watch the socket now, and did not.
	all := one
	all.Threads = 0
	if err := p.Apply([]Service{all}); err != nil {
		t.Fatal(err)
	}
	watching := make(chan int, 4)
	p.each(func(w *worker) {
		n := 0
		for _, d := range w.doors {
			if d.watching {
				n++
			}
		}
		watching <- n
	})
	for range 4 {
		if n := <-watching; n != 1 {
			t.Errorf("a loop watches %d sockets, want 1", n)
		}
	}
	get()
}

func TestANewServicesClientsWaitForItsTable(t *testing.T) {
	at := node(t, says(ok2))
	p := start(t, Config{Threads: 1}, www())
	c := dial(t, p)
	_, _ = io.WriteString(c, bye)
	eventually(t, "the request has come", func() bool { return p.Status()[0].Requests == 1 })
	p.SetTable("www", tableOf(at))
	if b, err := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("got %q, %v, want 200", b, err)
	}
	without := start(t, Config{Threads: 1}, www(brief))
	if got := ask(t, without, bye); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("got %q without a table, want 503", got)
	}
}

// TestANodeThatIsCutOffIsPassedOver has a node's port swallow connections, as a machine does that has lost its power.
func TestANodeThatIsCutOffIsPassedOver(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at := loop.LocalAddr(fd)
	for range 4 { // its queue is full then, and the kernel drops what comes
		c, err := loop.Dial(at, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
	}
	p, table := with(t, www(func(s *Service) { s.Timeouts.Connect = patience }), at, node(t, says(ok2)))
	answers := make(chan string, 2)
	for range 2 { // one of the two meets the node, and waits
		go func() { answers <- ask(t, p, bye) }()
	}
	if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Fatalf("got %q, want 200", got)
	}
	eventually(t, "the node is passed over", func() bool { return table.Shares[0].Live.Avoided(loop.Monotonic()) })
	for range 4 {
		if got := ask(t, p, bye); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("got %q, want the other node's answer", got)
		}
	}
	out := *table
	out.Shares = append([]cluster.Share(nil), table.Shares...)
	out.Shares[0].State, out.Shares[0].Weight = cluster.Out, 0
	p.SetTable("www", &out)
	if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("got %q, want the other node's answer once the node is out", got)
	}
}

// TestAFrozenDownloadGoesOnElsewhere has a node stop in the middle of a document, its connection open, and its report overdue.
func TestAFrozenDownloadGoesOnElsewhere(t *testing.T) {
	half := make(chan struct{})
	frozen := node(t, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: %d\r\n\r\n", len(document))
		_, _ = c.Write(document[:len(document)/2])
		close(half)
		_, _ = io.Copy(io.Discard, r)
	})
	p, table := with(t, www(), frozen, node(t, breaksOff(`"v1"`, 0)))
	table.Shares[1].Live.Avoid.Store(1 << 62) // so that the first node gets the request
	resp, err := http.Get("http://" + p.Addrs()[0].String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-half
	table.Shares[0].Live.Overdue.Store(true)
	out := *table
	out.Shares = append([]cluster.Share(nil), table.Shares...)
	out.Shares[0].State, out.Shares[0].Weight = cluster.Out, 0
	p.SetTable("www", &out)
	if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, document) {
		t.Errorf("got %d bytes and %v, want the whole document of %d", len(b), err, len(document))
	}
	if n := p.Status()[0].Resumes; n != 1 {
		t.Errorf("got %d resumed, want 1", n)
	}
}
