package http1

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ in, want string }{
		{"Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"},
		{"Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"},
		{"Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"},
		{"Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"},
		{"Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29T23:59:59Z"},
		{"Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00Z"},
		{"Wednesday, 01-Jan-76 00:00:00 GMT", "2076-01-01T00:00:00Z"},
		{"Sunday, 01-Mar-76 00:00:00 GMT", "2076-03-01T00:00:00Z"},
		{"Monday, 01-Mar-76 00:00:01 GMT", "1976-03-01T00:00:01Z"}, // more than 50 years ahead
		{"Thursday, 01-Jan-26 00:00:00 GMT", "2026-01-01T00:00:00Z"},
		{"Thu, 29 Feb 2023 00:00:00 GMT", ""},
		{"Sun, 00 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 31 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 24:00:00 GMT", ""},
		{"Sun, 06 Nov 1994 08:60:00 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:61 GMT", ""},
		{"Sun, 06 nov 1994 08:49:37 GMT", ""},
		{"Sun, 6 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:37 UTC", ""},
		{"Sun, 06 Nov 1994 08:49:37 +0000", ""},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", ""},
		{"Moonday, 06-Nov-94 08:49:37 GMT", ""},
		{"Mon Nov 0 08:49:37 1994", ""},
		{"", ""},
		{"0", ""},
	} {
		got, ok := ParseDate([]byte(c.in), now)
		if text := got.Format(time.RFC3339); ok != (c.want != "") || ok && text != c.want {
			t.Errorf("%q: got %s %v, want %q", c.in, text, ok, c.want)
		}
	}
}

func TestAppendDate(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(784111777, 0), time.Date(2031, 12, 9, 3, 4, 5, 6, time.Local)} {
		if got, want := string(AppendDate(nil, at)), at.UTC().Format(http.TimeFormat); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A date that we read, net/http reads too, as the same moment; and what we write we read.
func FuzzDate(f *testing.F) {
	f.Add([]byte("Sun, 06 Nov 1994 08:49:37 GMT"), int64(784111777))
	f.Add([]byte("Sunday, 06-Nov-94 08:49:37 GMT"), int64(0))
	f.Add([]byte("Sun Nov  6 08:49:37 1994"), int64(1))
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, in []byte, unix int64) {
		if at := time.Unix(unix%(1<<37), 0).UTC(); at.Year() >= 0 && at.Year() <= 9999 {
			if back, ok := ParseDate(AppendDate(nil, at), now); !ok || !back.Equal(at) {
				t.Fatalf("wrote %s, read %s %v", at, back, ok)
			}
		}
		got, ok := ParseDate(in, now)
		if !ok || strings.Contains(string(in), ":60") {
			return
		}
		std, err := http.ParseTime(string(in))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", in, err)
		}
		if !std.Equal(got) && len(in) < 30 { // net/http has another rule for years of two digits
			t.Fatalf("%q: net/http reads %s, here %s", in, std, got)
		}
	})
}

func TestStatusLine(t *testing.T) {
	for _, c := range []struct {
		status int
		want   string
	}{
		{200, "HTTP/1.1 200 OK\r\n"},
		{404, "HTTP/1.1 404 Not Found\r\n"},
		{599, "HTTP/1.1 599 \r\n"},
	} {
		if got := string(AppendStatusLine(nil, c.status)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
