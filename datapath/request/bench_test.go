package request

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"muster/datapath/http1"
)

// fixed answers each read with the same response: one request a read is what the benchmark below sends.
func fixed(b *testing.B, response []byte) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// BenchmarkRequest is one request through the proxy and back, client and node included; what it must show is that none of
// them allocates.
func BenchmarkRequest(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	response := append([]byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"), body...)
	for _, bench := range []struct {
		name string
		s    Service
	}{
		{"plain", www()},
		{"tagged", www(func(s *Service) { s.XForwarded, s.Via = true, true })},
		{"logged", www(func(s *Service) { s.Log = AccessLog{Format: "json", To: io.Discard} })},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p, _ := with(b, bench.s, fixed(b, response))
			c := dial(b, p)
			_ = c.SetDeadline(time.Time{})
			request := []byte("GET /index.html HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < len(response); {
					n, err := c.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}

func BenchmarkRequestHead(b *testing.B) {
	raw := []byte("GET /index.html HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html\r\n" +
		"Accept-Encoding: gzip, br\r\nConnection: keep-alive\r\nCookie: a=b; c=d\r\n\r\n")
	var r http1.Request
	if err := r.Parse(raw, nil); err != nil {
		b.Fatal(err)
	}
	cfg := www(func(s *Service) { s.XForwarded, s.Via = true, true })
	c := &client{cfg: &cfg}
	c.introduce(netip.MustParseAddrPort("192.0.2.1:5555"))
	c.ex.replay = make([]byte, 0, largeBuffer)
	b.ReportAllocs()
	for b.Loop() {
		c.ex.replay = c.ex.replay[:0]
		c.requestHead(&r, raw)
	}
}
