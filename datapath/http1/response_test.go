package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestResponse(t *testing.T) {
	type want struct {
		status int
		reason string
		body   Framing
		length int64
		keep   bool
	}
	for _, c := range []struct {
		verb Verb
		in   string
		want want
	}{
		{GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", want{200, "OK", BodyLength, 5, true}},
		{GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want{200, "OK", BodyNone, 0, true}},
		{GET, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", want{200, "", BodyChunked, -1, true}},
		{GET, "HTTP/1.1 404 Not  Found\r\n\r\n", want{404, "Not  Found", BodyClose, -1, false}},
		{GET, "HTTP/1.1 404 \xc3\xa9\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", want{404, "\xc3\xa9", BodyLength, 2, false}},
		{GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", want{200, "OK", BodyLength, 5, false}},
		{GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", want{200, "OK", BodyLength, 5, true}},
		{GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", want{200, "OK", BodyClose, -1, false}},
		{HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", want{200, "OK", BodyNone, 5, true}},
		{HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want{200, "OK", BodyNone, -1, true}},
		{HEAD, "HTTP/1.1 200 OK\r\n\r\n", want{200, "OK", BodyNone, -1, true}},
		{GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", want{304, "Not Modified", BodyNone, 5, true}},
		{GET, "HTTP/1.1 204 No Content\r\n\r\n", want{204, "No Content", BodyNone, -1, true}},
		{GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", want{204, "No Content", BodyNone, 0, true}},
		{POST, "HTTP/1.1 100 Continue\r\n\r\n", want{100, "Continue", BodyNone, -1, true}},
		{GET, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", want{101, "Switching Protocols", BodyNone, -1, true}},
		{CONNECT, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", want{200, "OK", BodyNone, 5, true}},
		{CONNECT, "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", want{403, "No", BodyLength, 5, true}},
		{GET, "HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\n", want{999, "Odd", BodyLength, 5, true}},
	} {
		var r, slow Response
		in := []byte(c.in)
		if err := r.Parse(append(in, "rest"...), nil, c.verb); err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if got := (want{r.Status, string(r.Reason), r.Body, r.Length, r.KeepAlive}); got != c.want || r.Size != len(in) {
			t.Errorf("%s %q: got %+v, want %+v", c.verb, c.in, got, c.want)
		}
		for n := range len(in) {
			if err := slow.Parse(in[:n], nil, c.verb); err != ErrMore {
				t.Fatalf("%q: got %v, want ErrMore", in[:n], err)
			}
		}
		if err := slow.Parse(in, nil, c.verb); err != nil || slow.Body != r.Body || slow.Status != r.Status {
			t.Errorf("%q byte by byte: %v", c.in, err)
		}
	}
}

func TestResponseRefused(t *testing.T) {
	for _, c := range []struct {
		verb   Verb
		in     string
		reason *Error
	}{
		{GET, "\r\nHTTP/1.1 200 OK\r\n\r\n", errStatusLine},
		{GET, "ICY 200 OK\r\nContent-Length: 1\r\n\r\n", errStatusLine},
		{GET, "<html>", errStatusLine},
		{GET, "HTTP/1.1  200 OK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.1 20 OK\r\n\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.1 2000 OK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.1 099 OK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.1 +20 OK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.1 200\tOK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.12 00 OK\r\n\r\n", errStatusLine},
		{GET, "HTTP/1.2 200 OK\r\n\r\n", errStatusVersion},
		{GET, "HTTP/2.0 200 OK\r\n\r\n", errStatusVersion},
		{GET, "HTTP/1.1 200 O\x00K\r\n\r\n", errReason},
		{GET, "HTTP/1.1 200 OK\n\r\n", errBareLF},
		{GET, "HTTP/1.1 200 OK\r \n\r\n", errBareCR},
		{GET, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", errFold},
		{GET, "HTTP/1.1 200 OK\r\nX : a\r\n\r\n", errSpaceColon},
		{GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", errLengthTwice},
		{HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n", errLength},
		{GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", errBoth},
		{GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding10},
		{GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", errCodingOther},
		{GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", errCodingOrder},
		{GET, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", errStatusBody},
		{GET, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", errStatusBody},
		{GET, "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", errStatusBody},
		{GET, "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 16<<10), errHeadLarge},
	} {
		var r Response
		err := r.Parse([]byte(c.in), nil, c.verb)
		var e *Error
		if !errors.As(err, &e) || e.Status != 502 || e.Reason != c.reason.Reason {
			t.Errorf("%.60q: got %v, want %v", c.in, err, c.reason)
		}
	}
}

// What we accept, net/http accepts too, and finds the same body in it.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), uint8(GET), uint16(4))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), uint8(GET), uint16(30))
	f.Add([]byte("HTTP/1.0 404 \r\nConnection: keep-alive\r\n\r\nx"), uint8(POST), uint16(3))
	f.Add([]byte("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), uint8(HEAD), uint16(20))
	f.Fuzz(func(t *testing.T, in []byte, v uint8, cut uint16) {
		verb := Verb(v)%PATCH + GET
		var r, again Response
		err := r.Parse(in, nil, verb)
		if first := again.Parse(in[:min(int(cut), len(in))], nil, verb); first == ErrMore {
			if err2 := again.Parse(bytes.Clone(in), nil, verb); err == nil && err2 != nil {
				t.Fatalf("whole: accepted; after %d bytes: %v", cut, err2)
			}
		} else if first != nil && err == nil {
			t.Fatalf("refused after %d bytes: %v, but accepted as a whole", cut, first)
		}
		if err != nil || verb == CONNECT || r.Status < 200 {
			return
		}
		std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), &http.Request{Method: verb.String()})
		if err != nil {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
		if std.StatusCode != r.Status || std.ProtoMinor != r.Minor {
			t.Fatalf("status differs: %d, %d", std.StatusCode, r.Status)
		}
		if r.Body == BodyLength && std.ContentLength != r.Length {
			t.Fatalf("length differs: net/http %d, here %d", std.ContentLength, r.Length)
		}
		body, err := io.ReadAll(std.Body)
		rest := in[r.Size:]
		switch r.Body {
		case BodyNone:
			if len(body) > 0 {
				t.Fatalf("net/http reads a body of %d bytes where there is none", len(body))
			}
		case BodyLength:
			if want := rest[:min(int64(len(rest)), r.Length)]; !bytes.Equal(body, want) {
				t.Fatalf("net/http reads %q, want %q", body, want)
			}
		case BodyClose:
			if err != nil || !bytes.Equal(body, rest) {
				t.Fatalf("net/http reads %q, %v, want %q", body, err, rest)
			}
		}
	})
}

func BenchmarkResponse(b *testing.B) {
	in := []byte("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 22 Nov 2025 20:13:00 GMT\r\nContent-Type: text/html\r\n" +
		"Content-Length: 1024\r\nLast-Modified: Sat, 22 Nov 2025 20:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"65f0a1b2-400\"\r\n" +
		"Accept-Ranges: bytes\r\n\r\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	var r Response
	for b.Loop() {
		if err := r.Parse(in, nil, GET); err != nil {
			b.Fatal(err)
		}
	}
}
