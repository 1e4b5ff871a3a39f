package http1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// dechunk reads a body that comes in pieces of the given size.
func dechunk(in []byte, piece int) (data []byte, used int, done bool, err error) {
	var c Chunked
	for used < len(in) && !done {
		b := in[used:min(used+piece, len(in))]
		for len(b) > 0 && !done {
			var d []byte
			var n int
			if d, n, done, err = c.Next(b); err != nil {
				return data, used + n, false, err
			}
			data = append(data, d...)
			used += n
			b = b[n:]
		}
	}
	return data, used, done, nil
}

func TestChunked(t *testing.T) {
	const rest = "GET / HTTP/1.1\r\n"
	for _, c := range []struct{ in, want string }{
		{"0\r\n\r\n", ""},
		{"0000\r\n\r\n", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", "hello world"},
		{"A;a=b;c=\"d;\\\"\"\r\n0123456789\r\n0;x\r\n\r\n", "0123456789"},
		{"1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\nContent-Lengthy: 1\r\nA-Name-That-Is-Longer-Than-Any-That-Matters: z\r\n\r\n", "a"},
		{"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
	} {
		all := []byte(c.in + rest)
		for piece := 1; piece <= len(all); piece++ {
			data, used, done, err := dechunk(all, piece)
			if string(data) != c.want || used != len(c.in) || !done || err != nil {
				t.Fatalf("%q in pieces of %d: got %q, %d bytes, %v, %v", c.in, piece, data, used, done, err)
			}
		}
		var s Chunked
		if n, done, err := s.Scan(all); n != len(c.in) || !done || err != nil {
			t.Errorf("%q: scanned %d, %v, %v", c.in, n, done, err)
		}
	}
}

func TestChunkedRefused(t *testing.T) {
	for _, c := range []struct {
		in   string
		want *Error
	}{
		{"\r\n", errChunkSize},
		{"g\r\n", errChunkSize},
		{"-1\r\n", errChunkSize},
		{"+1\r\n", errChunkSize},
		{"0x1\r\n", errChunkSize},
		{" 1\r\n", errChunkSize},
		{"1 \r\n", errChunkSize},
		{"1 ;a\r\n", errChunkSize},
		{"1\t\r\n", errChunkSize},
		{"1,1\r\n", errChunkSize},
		{"1\n", errBareLF},
		{"1\ra", errBareCR},
		{";a\r\n", errChunkSize},
		{"8000000000000000\r\n", errChunkLarge},
		{"ffffffffffffffff\r\n", errChunkLarge},
		{"10000000000000000\r\n", errChunkLarge},
		{"00000000000000001\r\n", errChunkLarge},
		{"1;a\n", errBareLF},
		{"1;a\x00\r\n", errChunkExt},
		{"1;a\xe9\r\n", errChunkExt},
		{"1;a=\"b\r\n", errChunkExt},
		{"1;a=\"b\\\r\n", errChunkExt},
		{"1;a\rb", errBareCR},
		{"1;" + strings.Repeat("a", 5000), errChunkExtLong},
		{strings.Repeat("1;"+strings.Repeat("a", 30)+"\r\nx\r\n", 200), errChunkExtLong},
		{"1\r\nab", errChunkEnd},
		{"1\r\na\n", errChunkEnd},
		{"1\r\na\r\r", errChunkEnd},
		{"0\r\n\n", errBareLF},
		{"0\r\n\rX", errBareCR},
		{"0\r\n a: b\r\n", errTrailer},
		{"0\r\na : b\r\n", errTrailer},
		{"0\r\n: b\r\n", errTrailer},
		{"0\r\na\r\n", errTrailer},
		{"0\r\na: b\n", errBareLF},
		{"0\r\na: b\rc", errBareCR},
		{"0\r\na: \x00\r\n", errTrailer},
		{"0\r\na: b\r\n c\r\n", errTrailer},
		{"0\r\nContent-Length: 1\r\n", errTrailerField},
		{"0\r\na: b\r\nTRANSFER-ENCODING: chunked\r\n", errTrailerField},
		{"0\r\nhost: a\r\n", errTrailerField},
		{"0\r\nIf-Unmodified-Since: a\r\n", errTrailerField},
		{"0\r\nX-Forwarded-For: a\r\n", errTrailerField},
		{"0\r\n" + strings.Repeat("a: b\r\n", 2000), errTrailerLong},
	} {
		for _, piece := range []int{1, 2, 3, len(c.in)} {
			if _, _, _, err := dechunk([]byte(c.in), piece); err != error(c.want) {
				t.Errorf("%.60q in pieces of %d: got %v, want %v", c.in, piece, err, c.want)
			}
		}
	}
}

func TestAppendChunk(t *testing.T) {
	var b []byte
	var want []byte
	for _, n := range []int{1, 0, 15, 16, 255, 256, 4096, 70000} {
		data := bytes.Repeat([]byte{'x'}, n)
		b = AppendChunk(b, data)
		want = append(want, data...)
	}
	b = append(b, LastChunk...)
	got, used, done, err := dechunk(b, 1000)
	if !bytes.Equal(got, want) || used != len(b) || !done || err != nil {
		t.Errorf("got %d bytes of %d, %v, %v", len(got), len(want), done, err)
	}
}

// What we accept, net/http accepts, with the same data.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nrest"), uint8(3))
	f.Add([]byte("A\r\n0123456789\r\n00\r\n\r\n"), uint8(1))
	f.Add([]byte("1 \r\na\r\n0\r\n\r\n"), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		data, used, done, err := dechunk(in, len(in)+1)
		data2, used2, done2, err2 := dechunk(in, int(piece)+1)
		if !bytes.Equal(data, data2) || used != used2 || done != done2 || err != err2 {
			t.Fatalf("pieces of %d: %q %d %v %v, whole: %q %d %v %v", piece+1, data2, used2, done2, err2, data, used, done, err)
		}
		if !done {
			return
		}
		std, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in)))
		if err != nil {
			t.Fatalf("net/http refuses what we accept: %v", err)
		}
		if !bytes.Equal(std, data) {
			t.Fatalf("net/http reads %q, here %q", std, data)
		}
	})
}

func BenchmarkChunkedScan(b *testing.B) {
	in := append(AppendChunk(nil, bytes.Repeat([]byte{'x'}, 16<<10)), LastChunk...)
	b.ReportAllocs()
	for b.Loop() {
		var c Chunked
		if _, done, _ := c.Scan(in); !done {
			b.Fatal("no end")
		}
	}
}
