package request

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// FuzzClient sends what a client might send, in two pieces. Whatever it is, the director answers or hangs up, in time, and
// lets the node go.
func FuzzClient(f *testing.F) {
	for _, s := range []string{
		bye, "GET / HTTP/1.1\r\nHost: h\r\n\r\n" + bye, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n\r\n\r\n", "\x00\x01",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(len(s)/2))
	}
	p, table := with(f, www(brief), node(f, says(ok2)))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint16) {
		c := dial(t, p)
		at := int(cut) % (len(raw) + 1)
		_, _ = c.Write(raw[:at])
		_, _ = c.Write(raw[at:])
		_ = c.(*net.TCPConn).CloseWrite()
		r := bufio.NewReader(c)
		for {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				break
			}
			if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
				break
			}
		}
		if _, err := io.Copy(io.Discard, r); isTimeout(err) {
			t.Errorf("the connection still stands %s after %q", patience, raw)
		}
		eventually(t, "the node is let go", func() bool { return table.Shares[0].Live.Active.Load() == 0 })
	})
}

// FuzzNode answers what a node might answer. Whatever it is, the client gets a whole response or a cut connection, in time.
func FuzzNode(f *testing.F) {
	for _, s := range []string{
		ok2, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.0 200\r\n\r\nrest",
		"HTTP/1.1 100 Continue\r\n\r\n" + ok2, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello",
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\nbroken", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", "", "HTTP/2 200\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(len(s)/2), false)
		f.Add([]byte(s), uint16(len(s)/2), true)
	}
	answers := make(chan [2][]byte, 1)
	at := node(f, func(_ int, c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		select {
		case b := <-answers:
			_, _ = c.Write(b[0])
			_, _ = c.Write(b[1])
		default: // a retry
		}
	})
	p, table := with(f, www(brief), at, at)
	f.Fuzz(func(t *testing.T, answer []byte, cut uint16, old bool) {
		select {
		case <-answers:
		default:
		}
		at := int(cut) % (len(answer) + 1)
		answers <- [2][]byte{answer[:at], answer[at:]}
		c := dial(t, p)
		send := bye
		if old {
			send = strings.Replace(send, "HTTP/1.1", "HTTP/1.0", 1)
		}
		_, _ = io.WriteString(c, send)
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Errorf("the connection still stands %s after the node said %q", patience, answer)
		}
		eventually(t, "the nodes are let go", func() bool {
			return table.Shares[0].Live.Active.Load()+table.Shares[1].Live.Active.Load() == 0
		})
	})
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
