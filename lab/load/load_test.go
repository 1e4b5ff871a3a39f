package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers each connection with a function that may misbehave as it likes.
func serve(t *testing.T, conn func(*net.TCPConn, *bufio.Reader)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				conn(c.(*net.TCPConn), bufio.NewReader(c))
			}()
		}
	}()
	t.Cleanup(func() { cancel(); l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// always answers every request of a connection with the same bytes.
func always(answer string) func(*net.TCPConn, *bufio.Reader) {
	return func(c *net.TCPConn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFailuresAreCountedByWhatTheClientSaw(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	once := func(answer string, end func(*net.TCPConn)) func(*net.TCPConn, *bufio.Reader) {
		return func(c *net.TCPConn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(c, answer)
				end(c)
			}
		}
	}
	shut := func(c *net.TCPConn) { c.Close() }
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0) }
	stall := func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	for _, tt := range []struct {
		name string
		conn func(*net.TCPConn, *bufio.Reader)
		want map[Kind]int64
	}{
		{"right", always(ok + "hello"), map[Kind]int64{}},
		{"chunked", always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"), map[Kind]int64{}},
		{"to the end", once("HTTP/1.0 200 OK\r\n\r\nhello", shut), map[Kind]int64{}},
		{"interim", always("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "hello"), map[Kind]int64{}},
		{"refused", nil, map[Kind]int64{Refused: 3}},
		{"closed", once("", shut), map[Kind]int64{Closed: 3}},
		{"truncated", once(ok+"hel", shut), map[Kind]int64{Truncated: 3}},
		{"truncated head", once(ok[:20], shut), map[Kind]int64{Truncated: 3}},
		{"truncated chunk", once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", shut), map[Kind]int64{Truncated: 3}},
		{"reset", once("", reset), map[Kind]int64{Reset: 3}},
		{"stall", once("", stall), map[Kind]int64{Timeout: 3}},
		{"stall in the body", once(ok+"hel", stall), map[Kind]int64{Timeout: 3}},
		{"status", always("HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello"), map[Kind]int64{BadStatus: 3}},
		{"length", always("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"), map[Kind]int64{WrongLength: 3}},
		{"bytes", always(ok + "hallo"), map[Kind]int64{WrongBody: 3}},
		{"too much", always(ok + "hello there"), map[Kind]int64{Malformed: 3}},
		{"two framings", always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), map[Kind]int64{Malformed: 3}},
		{"bare LF", always("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello\r\n\r\n"), map[Kind]int64{Malformed: 3}},
	} {
		for _, sum := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sum=%v", tt.name, sum), func(t *testing.T) {
				target := closed.Addr().(*net.TCPAddr).AddrPort()
				if tt.conn != nil {
					target = serve(t, tt.conn)
				}
				req := Request{Length: 5, Body: []byte("hello")}
				if sum {
					req = Request{Length: 5, Sum: xxhash.Sum64String("hello")}
				}
				cfg := Config{Targets: []netip.AddrPort{target}, Requests: []Request{req}, Connections: 1, Count: 3}
				if tt.want[Timeout] > 0 { // elsewhere a slow machine must not look like a stall
					cfg.Timeout = 50 * time.Millisecond
				}
				r := run(t, cfg)
				if diff := cmp.Diff(r.Errors, tt.want); diff != "" {
					t.Errorf("errors (-got +want):\n%s%v", diff, r.Failures)
				}
				if r.Requests != 3 || r.Failed != int64(len(tt.want))*3 || r.Latency.TotalCount() != 3-r.Failed {
					t.Errorf("got %d requests, %d failed, %d latencies", r.Requests, r.Failed, r.Latency.TotalCount())
				}
			})
		}
	}
}

func TestEachRequestIsSentOnceAndConnectionsAreKept(t *testing.T) {
	for _, shut := range []bool{false, true} {
		target := serve(t, always("HTTP/1.1 200 OK\r\nX-Muster-Node: t1\r\nServer: x\r\nContent-Length: 2\r\n\r\nok"))
		r := run(t, Config{
			Targets: []netip.AddrPort{target}, Requests: []Request{{Path: "/a"}, {Path: "/b", Weight: 5}},
			Connections: 4, Count: 400, Close: shut,
		})
		connects := int64(4)
		if shut {
			connects = 400
		}
		if r.Requests != 400 || r.Failed != 0 || r.Nodes["t1"] != 400 || r.Bytes != 800 || r.Connects != connects {
			t.Errorf("close=%v: got %d requests, %d failed, %d bytes, %d connects, nodes %v", shut, r.Requests, r.Failed, r.Bytes, r.Connects, r.Nodes)
		}
	}
}

// A server that stalls once must be charged for the requests that were due meanwhile.
func TestOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	n := 0
	target := serve(t, func(c *net.TCPConn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if n++; n == 20 {
				<-time.After(stall)
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := run(t, Config{Targets: []netip.AddrPort{target}, Requests: []Request{{}}, Connections: 1, Rate: 200, Count: 100})
	if r.Requests != 100 || r.Failed != 0 {
		t.Fatalf("got %d requests, %d failed: %v", r.Requests, r.Failed, r.Failures)
	}
	// 60 requests were due in the 300 ms; a closed loop would have one slow answer.
	if slow := r.Percentile(60); slow < 20*time.Millisecond {
		t.Errorf("p60 is %v: requests that had to wait were not charged", slow)
	}
	if r.Gap < stall || r.ClientGap < stall {
		t.Errorf("gaps %v and %v, want at least %v", r.Gap, r.ClientGap, stall)
	}
}

func TestClientsAskInTurn(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	cfg := Config{Targets: []netip.AddrPort{serve(t, always(ok))}, Requests: []Request{{}}, Connections: 8, Rate: 200, Count: 32, InTurn: true}
	if r := run(t, cfg); r.Failed != 0 || r.Connects != 8 {
		t.Errorf("in turn: got %d connections, %v, want all 8", r.Connects, r.Failures)
	}
}

func TestOpenLoopCountsWhatItCouldNotSend(t *testing.T) {
	target := serve(t, func(c *net.TCPConn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	r := run(t, Config{
		Targets: []netip.AddrPort{target}, Requests: []Request{{}}, Connections: 1, Rate: 100,
		Duration: 200 * time.Millisecond, Timeout: time.Second,
	})
	if r.Failed != r.Requests || r.Errors[Unsent] == 0 || r.Errors[Timeout] == 0 || r.Errors[Unsent]+r.Errors[Timeout] != r.Failed {
		t.Errorf("got %d requests, %d failed, %v", r.Requests, r.Failed, r.Errors)
	}
}

func TestLapsAddUpAndAGapGoesOn(t *testing.T) {
	open := make(chan struct{})
	target := serve(t, func(c *net.TCPConn, r *bufio.Reader) {
		for i := 0; ; i++ {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if i == 10 {
				<-open
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	g, err := New(Config{Targets: []netip.AddrPort{target}, Requests: []Request{{}}, Connections: 1, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan *Result)
	go func() {
		r, err := g.Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	first := newResult()
	for first.Requests < 10 || first.ClientGap < 20*time.Millisecond { // until the stall is seen
		lap := g.Lap()
		first.Requests += lap.Requests
		first.ClientGap = max(first.ClientGap, lap.ClientGap)
	}
	close(open)
	second := newResult()
	for second.Requests == 0 {
		second = g.Lap()
	}
	g.Stop()
	total := <-done
	third := g.Lap()
	if first.Requests != 10 || second.ClientGap < first.ClientGap || total.Gap != second.Gap {
		t.Errorf("got laps of %d requests with gap %v, then gap %v; total gap %v", first.Requests, first.ClientGap, second.ClientGap, total.Gap)
	}
	if sum := first.Requests + second.Requests + third.Requests; total.Requests != sum {
		t.Errorf("total %d, laps %d", total.Requests, sum)
	}
	var series int64
	for _, s := range total.Series {
		series += s.Requests
	}
	if series != total.Requests || g.Lap().Requests != 0 {
		t.Errorf("series %d, total %d", series, total.Requests)
	}
}

func TestASlowClientTakesItsTime(t *testing.T) {
	body := strings.Repeat("x", 40_000)
	target := serve(t, always(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)))
	r := run(t, Config{
		Targets: []netip.AddrPort{target}, Requests: []Request{{Body: []byte(body)}}, Connections: 2, Count: 2, ReadRate: 200_000,
	})
	if r.Failed != 0 || r.Requests != 2 || r.Percentile(0) < 100*time.Millisecond {
		t.Errorf("got %d requests, %d failed, fastest %v: %v", r.Requests, r.Failed, r.Percentile(0), r.Failures)
	}
}

func TestTheEndOfTheContextEndsTheRun(t *testing.T) {
	target := serve(t, func(c *net.TCPConn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	ctx, cancel := context.WithCancel(t.Context())
	g, err := New(Config{Targets: []netip.AddrPort{target}, Requests: []Request{{}}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, err := g.Run(ctx); err != nil || r.Requests != 0 {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	target := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}
	for _, cfg := range []Config{
		{},
		{Targets: target},
		{Targets: target, Requests: []Request{{}}, Rate: -1},
		{Targets: target, Requests: []Request{{Path: "/ HTTP/1.1\r\nX: y"}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

// However an answer is cut into pieces, the verdict is the same.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 \r\n\r\nx",
		"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		take := func(step int) (body string, complete bool, failed bool, r reply) {
			r.reset(false)
			for rest := b; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				done, err := r.feed(rest[:min(step, len(rest))], func(p []byte) { body += string(p) })
				if err != nil {
					return body, false, true, r
				}
				complete = done
			}
			return body, complete, false, r
		}
		if len(b) > lineMax {
			return // where a bound is met may depend on the pieces
		}
		wb, wc, wf, wr := take(len(b) + 1)
		gb, gc, gf, gr := take(int(step) + 1)
		if gf != wf || !wf && (gb != wb || gc != wc || gr.status != wr.status || gr.eof() != wr.eof()) {
			t.Errorf("in pieces of %d: %q %v %v %d, in one: %q %v %v %d", step+1, gb, gc, gf, gr.status, wb, wc, wf, wr.status)
		}
	})
}
