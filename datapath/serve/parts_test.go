package serve

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"muster/datapath/http1"
)

// bodyParts takes a 206 apart: Content-Range to content.
func bodyParts(t *testing.T, resp *http.Response, body string) map[string]string {
	t.Helper()
	m := map[string]string{}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "multipart/byteranges" {
		m[resp.Header.Get("Content-Range")] = body
		return m
	}
	r := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return m
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil || p.Header.Get("Content-Type") == "" {
			t.Fatal(err, p.Header)
		}
		m[p.Header.Get("Content-Range")] = string(b)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/", "/a//b/", "/%2e%2e/x", "/a%2fb", "/%00", "/\x00", "/%", "/.well-known/x", "*", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, status := clean(nil, []byte(in))
		if status != 0 {
			return
		}
		got := string(out)
		if got == "" || got[0] != '/' || strings.Contains(got, "//") || strings.Contains(got, "\x00") {
			t.Fatalf("%q became %q", in, got)
		}
		for _, name := range strings.Split(got, "/") {
			if name == "." || name == ".." {
				t.Fatalf("%q became %q", in, got)
			}
		}
		escaped := appendEscaped(nil, got)
		again, status := clean(nil, escaped)
		if status != 0 || string(again) != got {
			t.Fatalf("%q is escaped as %q, which becomes %q", got, escaped, again)
		}
		if hidden(got) != hidden(got+"/x") {
			t.Fatalf("%q and what is in it are not hidden alike", got)
		}
	})
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5,1-", "bytes=9-8", "bytes=1-2,1-2,1-2", "bytes=99999999999999999999-"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size &= 1<<50 - 1
		list, ok := spans(nil, []byte(field), size)
		total := int64(0)
		for _, s := range list {
			if s.off < 0 || s.n <= 0 || s.off+s.n > size {
				t.Fatalf("%q of %d: %v", field, size, s)
			}
			total += s.n
		}
		if total > size || len(list) > maxRanges || !ok && len(list) > 0 {
			t.Fatalf("%q of %d: %v", field, size, list)
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("gzip;q=0.5, br, *;q=0", `"a", W/"663881d9-4"`)
	f.Add("identity;q=0", `*`)
	pg := &page{many: true}
	for c := range codings {
		pg.forms[c] = &form{coding: c}
	}
	f.Fuzz(func(t *testing.T, accept, tags string) {
		var r http1.Request
		if r.Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: "+accept+"\r\nIf-None-Match: "+tags+"\r\n\r\n"), nil) != nil {
			return
		}
		p := prefer(&r)
		for c, q := range p {
			if q < 0 || q > 1000 {
				t.Fatalf("%q: weight %d of %s", accept, q, codingNames[c])
			}
		}
		if got := p.pick(pg); got.coding != identity && p[got.coding] == 0 {
			t.Fatalf("%q: picked %s, which is not wanted", accept, codingNames[got.coding])
		}
		if matches(&r, http1.IfNoneMatch, `"663881d9-4"`, true) && !strings.Contains(tags, `"663881d9-4"`) && !strings.Contains(tags, "*") {
			t.Fatalf("%q matches", tags)
		}
	})
}
