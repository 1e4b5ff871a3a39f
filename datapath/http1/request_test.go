package http1

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parsed is what a test says of a request, as strings.
type parsed struct {
	Method, Target, Path, Query, Host, Upgrade string
	Verb                                       Verb
	Minor                                      int
	Body                                       Framing
	Length                                     int64
	KeepAlive, Absolute, Expect100, Nominates  bool
	Start, Rest                                int // Rest: bytes after the head
	Fields                                     []string
}

func show(r *Request, in []byte) parsed {
	p := parsed{
		Method: string(r.Method), Target: string(r.Target), Path: string(r.Path), Query: string(r.Query), Host: string(r.Host),
		Upgrade: string(r.Upgrade), Verb: r.Verb, Minor: r.Minor, Body: r.Body, Length: r.Length, KeepAlive: r.KeepAlive,
		Absolute: r.Absolute, Expect100: r.Expect100, Nominates: r.Nominates, Start: r.Start, Rest: len(in) - r.Size,
	}
	for _, f := range r.Fields {
		p.Fields = append(p.Fields, string(f.Name)+"="+string(f.Value))
	}
	return p
}

var requests = []struct {
	in   string
	want parsed
}{
	{
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/", Path: "/", Host: "a.example", Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a.example"}},
	},
	{
		"\r\nGET /a?b=c&d HTTP/1.1\r\nhost:[2001:db8::1]:8080\r\nConnection: close\r\n\r\nGET",
		parsed{Method: "GET", Verb: GET, Target: "/a?b=c&d", Path: "/a", Query: "b=c&d", Host: "[2001:db8::1]:8080", Minor: 1, Length: -1, Start: 2, Rest: 3, Fields: []string{"host=[2001:db8::1]:8080", "Connection=close"}},
	},
	{
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-Continue\r\nX:\t a\tb \t\r\nY:\r\n\r\n",
		parsed{Method: "POST", Verb: POST, Target: "/x", Path: "/x", Host: "a", Minor: 1, Body: BodyLength, Length: 12, KeepAlive: true, Expect100: true, Fields: []string{"Host=a", "Content-Length=12", "Expect=100-Continue", "X=a\tb", "Y="}},
	},
	{
		"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: , x-private,te,\r\nX-Private: 1\r\n\r\n",
		parsed{Method: "PUT", Verb: PUT, Target: "/x", Path: "/x", Host: "a", Minor: 1, Body: BodyChunked, Length: -1, KeepAlive: true, Nominates: true, Fields: []string{"Host=a", "Transfer-Encoding=Chunked", "Connection=, x-private,te,", "X-Private=1"}},
	},
	{
		"GET /chat HTTP/1.1\r\nHost: a:80\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/chat", Path: "/chat", Host: "a:80", Minor: 1, Length: -1, KeepAlive: true, Upgrade: "websocket", Fields: []string{"Host=a:80", "Connection=keep-alive, Upgrade", "Upgrade=websocket"}},
	},
	{
		"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/chat", Path: "/chat", Host: "a", Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a", "Upgrade=websocket"}},
	},
	{
		"GET / HTTP/1.0\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/", Path: "/", Length: -1},
	},
	{
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/", Path: "/", Body: BodyLength, Length: 3, KeepAlive: true, Fields: []string{"Connection=Keep-Alive", "Expect=100-continue", "Content-Length=3"}},
	},
	{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/", Path: "/", Host: "a", Minor: 1, Fields: []string{"Host=a", "Connection=keep-alive, close", "Content-Length=0"}},
	},
	{
		"GET HTTP://A.example/p?q HTTP/1.1\r\nHost: a.Example\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "HTTP://A.example/p?q", Path: "/p", Query: "q", Host: "A.example", Absolute: true, Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a.Example"}},
	},
	{
		"GET https://a?q HTTP/1.1\r\nHost: a\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "https://a?q", Path: "/", Query: "q", Host: "a", Absolute: true, Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a"}},
	},
	{
		"OPTIONS http://a:8001 HTTP/1.1\r\nHost: a:8001\r\n\r\n",
		parsed{Method: "OPTIONS", Verb: OPTIONS, Target: "http://a:8001", Path: "*", Host: "a:8001", Absolute: true, Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a:8001"}},
	},
	{
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		parsed{Method: "OPTIONS", Verb: OPTIONS, Target: "*", Path: "*", Host: "a", Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a"}},
	},
	{
		"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		parsed{Method: "CONNECT", Verb: CONNECT, Target: "a:443", Host: "a:443", Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a:443"}},
	},
	{
		"get /%41%2F;x=[y]|{z}?%zz HTTP/1.1\r\nHost: a_b.c.\r\nX: \xc3\xa9\r\n\r\n",
		parsed{Method: "get", Target: "/%41%2F;x=[y]|{z}?%zz", Path: "/%41%2F;x=[y]|{z}", Query: "%zz", Host: "a_b.c.", Minor: 1, Length: -1, KeepAlive: true, Fields: []string{"Host=a_b.c.", "X=\xc3\xa9"}},
	},
	{
		"GET /a?b?c HTTP/1.1\r\nHost: a\r\nConnection: content-type\r\n\r\n",
		parsed{Method: "GET", Verb: GET, Target: "/a?b?c", Path: "/a", Query: "b?c", Host: "a", Minor: 1, Length: -1, KeepAlive: true, Nominates: true, Fields: []string{"Host=a", "Connection=content-type"}},
	},
}

func TestRequest(t *testing.T) {
	for _, c := range requests {
		in := []byte(c.in)
		var r Request
		if err := r.Parse(in, nil); err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if d := cmp.Diff(c.want, show(&r, in)); d != "" {
			t.Errorf("%q (-want +got)\n%s", c.in, d)
		}
		for _, f := range r.Fields {
			if line := string(in[f.Start:f.End]); !strings.HasPrefix(line, string(f.Name)+":") || !strings.HasSuffix(line, "\r\n") {
				t.Errorf("%q: the line of %s is %q", c.in, f.Name, line)
			}
		}
	}
}

// However the bytes come, and wherever they lie when more have come, the outcome is that of the whole.
func TestRequestInPieces(t *testing.T) {
	for _, c := range requests {
		size := len(c.in) - c.want.Rest
		for first := range size {
			var r Request
			for _, n := range []int{first, size - 1, len(c.in)} {
				in := []byte(c.in[:max(n, first)])
				err := r.Parse(in, nil)
				if len(in) < size {
					if err != ErrMore {
						t.Fatalf("%q: got %v, want ErrMore", in, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%q after %d: %v", in, first, err)
				}
				if d := cmp.Diff(c.want, show(&r, in)); d != "" {
					t.Fatalf("%q after %d (-want +got)\n%s", c.in, first, d)
				}
			}
		}
		var r Request
		for n := range size {
			if err := r.Parse([]byte(c.in[:n]), nil); err != ErrMore {
				t.Fatalf("%q: got %v, want ErrMore", c.in[:n], err)
			}
		}
		if err := r.Parse([]byte(c.in[:size]), nil); err != nil {
			t.Fatalf("%q byte by byte: %v", c.in, err)
		}
	}
}

const okHost = "Host: a\r\n"

// get wraps header lines in a request.
func get(fields string) string { return "GET / HTTP/1.1\r\n" + okHost + fields + "\r\n" }

var refused = []struct {
	in   string
	want *Error
}{
	{"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", errLeading},
	{"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", errBareCR},
	{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"\x16\x03\x01\x02\x00", errMethod},
	{"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"GET\r\n", errMethod},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", errMethod},
	{strings.Repeat("A", 33), errMethodLong},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", errTargetEmpty},
	{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", errTargetByte},
	{"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", errVersion},
	{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", errAfterVersion},
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", errBareLF},
	{"GET / HTTP/1.1\rHost: a\r\n\r\n", errBareCR},
	{"GET /\r\n", errNoVersion},
	{"GET /\n", errNoVersion},
	{"GET / \r\nHost: a\r\n\r\n", errVersion},
	{"GET / http/1.1\r\nHost: a\r\n\r\n", errVersion},
	{"GET / HTTP/1.10\r\nHost: a\r\n\r\n", errAfterVersion},
	{"GET / HTTP/11.1\r\nHost: a\r\n\r\n", errVersion},
	{"GET / HTTP/1,1\r\nHost: a\r\n\r\n", errVersion},
	{"GET / HTTQ/1.1\r\nHost: a\r\n\r\n", errVersion},
	{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", errVersionOther},
	{"GET / HTTP/0.9\r\nHost: a\r\n\r\n", errVersionOther},
	{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", errVersionOther},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", errPreface},
	{"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", errFragment},
	{"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", errNonASCII},
	{"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", errTargetByte},
	{"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", errTargetByte},
	{"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", errPercent},
	{"GET /%4g HTTP/1.1\r\nHost: a\r\n\r\n", errPercent},
	{"GET a HTTP/1.1\r\nHost: a\r\n\r\n", errTargetForm},
	{"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", errTargetForm},
	{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", errTargetForm},
	{"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", errTargetForm},
	{"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", errTargetForm},
	{"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", errTargetForm},
	{"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", errAuthority},
	{"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", errAuthority},
	{"GET http://a:/x HTTP/1.1\r\nHost: a\r\n\r\n", errAuthority},
	{"GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", errHostDiffers},
	{"GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", errHostDiffers},
	{"GET http://a/x HTTP/1.1\r\n\r\n", errHostMissing},
	{"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", errAuthority},
	{"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", errAuthority},
	{"CONNECT :443 HTTP/1.1\r\nHost: :443\r\n\r\n", errAuthority},
	{"CONNECT http://a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", errAuthority},
	{"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", errHostDiffers},
	{"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\n", errConnectBody},

	{"GET / HTTP/1.1\r\n\r\n", errHostMissing},
	{get("Host: a\r\n"), errHostTwice},
	{get("host: b\r\n"), errHostTwice},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: .a\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: [::1%25eth0]\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: a\xc3\xa9\r\n\r\n", errHost},
	{"GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 300) + "\r\n\r\n", errHost},
	{"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", errHost},

	{"GET / HTTP/1.1\r\n Host: a\r\n\r\n", errFold},
	{get("X: a\r\n b\r\n"), errFold},
	{get("X: a\r\n\tb\r\n"), errFold},
	{get("X : a\r\n"), errSpaceColon},
	{get("X\t: a\r\n"), errSpaceColon},
	{get("Content-Length : 5\r\n"), errSpaceColon},
	{get(": a\r\n"), errNameEmpty},
	{get("X\r\n"), errNoColon},
	{get("X\n"), errNoColon},
	{get("X\x00: a\r\n"), errNameByte},
	{get("X\xe9: a\r\n"), errNameByte},
	{get("X(: a\r\n"), errNameByte},
	{get("\x00\r\n"), errNameByte},
	{get("X: a\n"), errBareLF},
	{get("X: a\nY: b\r\n"), errBareLF},
	{get("X: a\rb\r\n"), errBareCR},
	{get("X: a\r\r\n"), errBareCR},
	{get("X: a\x00\r\n"), errValueByte},
	{get("X: a\x0bb\r\n"), errValueByte},
	{get("X: a\x7f\r\n"), errValueByte},
	{get("X: 123456789\x01\r\n"), errValueByte},
	{"GET / HTTP/1.1\r\nHost: a\r\n\n", errBareLF},
	{"GET / HTTP/1.1\r\nHost: a\r\n\rX", errBareCR},

	{get("Content-Length: 5\r\nContent-Length: 5\r\n"), errLengthTwice},
	{get("Content-Length: 5\r\ncontent-length: 6\r\n"), errLengthTwice},
	{get("Content-Length: 5, 5\r\n"), errLength},
	{get("Content-Length:\r\n"), errLength},
	{get("Content-Length: +5\r\n"), errLength},
	{get("Content-Length: -5\r\n"), errLength},
	{get("Content-Length: 5 5\r\n"), errLength},
	{get("Content-Length: 0x5\r\n"), errLength},
	{get("Content-Length: 5.0\r\n"), errLength},
	{get("Content-Length: 9223372036854775808\r\n"), errLength},
	{get("Content-Length: 99999999999999999999\r\n"), errLength},
	{get("Content-Length: 00000000000000000005\r\n"), errLength},
	{get("Content-Length: \xef\xbc\x95\r\n"), errLength},
	{get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), errBoth},
	{get("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), errBoth},
	{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding10},
	{get("Transfer-Encoding:\r\n"), errCoding},
	{get("Transfer-Encoding: chunked,\r\n"), errCoding},
	{get("Transfer-Encoding: ,chunked\r\n"), errCoding},
	{get("Transfer-Encoding: chunked;q=1\r\n"), errCoding},
	{get("Transfer-Encoding: \"chunked\"\r\n"), errCoding},
	{get("Transfer-Encoding: chunked chunked\r\n"), errCoding},
	{get("Transfer-Encoding: chunked, chunked\r\n"), errCodingOrder},
	{get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), errCodingOrder},
	{get("Transfer-Encoding: chunked, gzip\r\n"), errCodingOrder},
	{get("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), errCodingOrder},
	{get("Transfer-Encoding: gzip, chunked\r\n"), errCodingOther},
	{get("Transfer-Encoding: gzip\r\n"), errCodingOther},
	{get("Transfer-Encoding: identity\r\n"), errCodingOther},
	{get("Transfer-Encoding: xchunked\r\n"), errCodingOther},
	{get("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n"), errCodingOther},

	{get("Connection: a b\r\n"), errConnection},
	{get("Connection: close, host\r\n"), errNominated},
	{get("Connection: Content-Length\r\n"), errNominated},
	{get("Connection: transfer-encoding\r\n"), errNominated},
	{get("Expect: 200-ok\r\n"), errExpect},
	{get("Expect:\r\n"), errExpect},
	{get("Upgrade: a\r\nUpgrade: b\r\n"), errUpgradeTwice},
	{get(strings.Repeat("X: a\r\n", 100)), errFieldsMany},
	{get("X: " + strings.Repeat("a", 16<<10) + "\r\n"), errHeadLarge},
	{"GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\n", errTargetLong},
	{"GET /" + strings.Repeat("a", 8<<10), errTargetLong},
	{"GET / HTTP/1.1\r\n" + strings.Repeat("a", 16<<10), errHeadLarge},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		var r Request
		err := r.Parse([]byte(c.in), nil)
		if err != error(c.want) {
			t.Errorf("%.80q: got %v, want %v", c.in, err, c.want)
		}
		// However it comes, it is not accepted.
		r = Request{}
		for n := range len(c.in) + 1 {
			if err = r.Parse([]byte(c.in[:n]), nil); err == nil {
				t.Fatalf("%.80q: accepted byte by byte", c.in)
			} else if err != ErrMore {
				break
			}
		}
		if err == ErrMore && strings.Contains(c.in, "\r\n\r\n") {
			t.Errorf("%.80q: byte by byte it never ends", c.in)
		}
	}
}

func TestLimits(t *testing.T) {
	in := []byte("GET /abc HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, c := range []struct {
		limits Limits
		want   error
	}{
		{Limits{Head: len(in)}, nil},
		{Limits{Head: len(in) - 1}, errHeadLarge},
		{Limits{Headers: 1}, nil},
		{Limits{Target: 4}, nil},
		{Limits{Target: 3}, errTargetLong},
	} {
		var r Request
		if err := r.Parse(in, &c.limits); err != c.want {
			t.Errorf("%+v: got %v, want %v", c.limits, err, c.want)
		}
	}
}

func TestEndToEnd(t *testing.T) {
	var r Request
	err := r.Parse([]byte(get("Connection: close, X-Mine\r\nKeep-Alive: 5\r\nx-mine: 1\r\nX-Other: 2\r\nTE: trailers\r\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range r.Fields {
		if r.EndToEnd(&r.Fields[i]) {
			got = append(got, string(r.Fields[i].Name))
		}
	}
	if d := cmp.Diff([]string{"Host", "X-Other"}, got); d != "" {
		t.Error(d)
	}
	if f := r.Lookup("x-OTHER"); f == nil || string(f.Value) != "2" {
		t.Errorf("Lookup: got %v", f)
	}
	if v := r.Value(KeepAlive); string(v) != "5" {
		t.Errorf("Value: got %q", v)
	}
	if f := r.Find(Cookie); f != nil {
		t.Errorf("Find of what is not there: got %v", f)
	}
}

func TestKnown(t *testing.T) {
	for k := Host; k < knownEnd; k++ {
		if got := Kind([]byte(strings.ToUpper(k.String()))); got != k {
			t.Errorf("%s: got %v", k, got)
		}
		if got := Kind([]byte(k.String() + "x")); got != Other {
			t.Errorf("%sx: got %v", k, got)
		}
	}
	if knownEnd > 64 {
		t.Error("a Set cannot hold all known fields")
	}
	for k := Host; k < knownEnd; k++ {
		if len(k.String()) > maxName && notTrailers.Has(k) {
			t.Errorf("%s does not fit a Chunked", k)
		}
	}
}

func TestVerbs(t *testing.T) {
	var safe, idempotent []string
	for v := GET; v <= PATCH; v++ {
		if VerbOf([]byte(v.String())) != v {
			t.Errorf("%s is not itself", v)
		}
		if v.Safe() {
			safe = append(safe, v.String())
		}
		if v.Idempotent() {
			idempotent = append(idempotent, v.String())
		}
	}
	if d := cmp.Diff("GET HEAD OPTIONS TRACE", strings.Join(safe, " ")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff("GET HEAD PUT DELETE OPTIONS TRACE", strings.Join(idempotent, " ")); d != "" {
		t.Error(d)
	}
}

// What we accept, net/http accepts too, and finds the same message in it.
func FuzzRequest(f *testing.F) {
	for _, c := range requests {
		f.Add([]byte(c.in), uint16(7))
	}
	for _, c := range refused {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in), uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		var r, again Request
		err := r.Parse(in, nil)
		var refusal *Error
		if err != nil && err != ErrMore && !errors.As(err, &refusal) {
			t.Fatalf("error of another kind: %v", err)
		}
		first := again.Parse(in[:min(int(cut), len(in))], nil)
		if first == ErrMore {
			if err2 := again.Parse(bytes.Clone(in), nil); err == nil && err2 != nil {
				t.Fatalf("whole: accepted; after %d bytes: %v", cut, err2)
			}
		} else if first != nil && err == nil {
			t.Fatalf("refused after %d bytes: %v, but accepted as a whole", cut, first)
		}
		if err != nil {
			return
		}
		if r.Size > len(in) || string(in[r.Size-4:r.Size]) != "\r\n\r\n" && r.Size > 4 {
			t.Fatalf("the head ends at %d of %d", r.Size, len(in))
		}
		std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in[r.Start:])))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URI") || strings.Contains(err.Error(), "parse ") {
				return // net/url has its own view of what a path may hold
			}
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
		if std.Method != string(r.Method) || std.ProtoMinor != r.Minor || std.RequestURI != string(r.Target) {
			t.Fatalf("request lines differ: %s %s 1.%d", std.Method, std.RequestURI, std.ProtoMinor)
		}
		chunked := len(std.TransferEncoding) == 1 && std.TransferEncoding[0] == "chunked"
		if chunked != (r.Body == BodyChunked) || std.ContentLength != max(r.Length, 0) && !chunked {
			t.Fatalf("framing differs: net/http %d %v, here %d %d", std.ContentLength, std.TransferEncoding, r.Length, r.Body)
		}
		if r.Minor == 1 && std.Host != string(r.Host) && !EqualFold(std.Host, r.Host) {
			t.Fatalf("hosts differ: %q, %q", std.Host, r.Host)
		}
		if r.KeepAlive && std.Close {
			t.Fatal("net/http would close")
		}
	})
}

var benchHeads = []struct{ name, head string }{
	{"wrk", "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
	{"curl", "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"},
	{"browser", "GET /docs/guide/start?lang=en HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nReferer: https://www.example.org/docs/\r\n" +
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n" +
		"Sec-Fetch-Mode: navigate\r\nIf-None-Match: \"65f0a1b2-2c1f\"\r\n\r\n"},
}

func BenchmarkRequest(b *testing.B) {
	for _, h := range benchHeads {
		in := []byte(h.head)
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			var r Request
			for b.Loop() {
				if err := r.Parse(in, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(h.name+"-net-http", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			src := bytes.NewReader(in)
			rd := bufio.NewReader(src)
			for b.Loop() {
				src.Reset(in)
				rd.Reset(src)
				if _, err := http.ReadRequest(rd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
