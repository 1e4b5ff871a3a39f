package load

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

const (
	headMax = 16 << 10 // most bytes of one head, of one trailer section
	lineMax = 1 << 10  // most bytes of a line that gives a chunk's size
)

// A reply takes the bytes of one answer as they come and checks its framing strictly (RFC 9112): an error means that the
// server broke the rules, however harmlessly.
type reply struct {
	status int
	length int64 // as Content-Length says; -1 when it says nothing
	body   int64 // bytes of the body so far
	keep   bool  // the connection may be used again
	node   []byte

	phase   phase
	nothing bool  // the answer to HEAD: its head says what a GET would bring
	left    int64 // bytes of the body, or of the chunk, still to come
	part    []byte
	begun   bool
	nodeBuf [64]byte
}

type phase uint8

const (
	inHead phase = iota
	inSized
	inClose // the body goes on until the connection ends
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	ended
)

var (
	errMore = errors.New("bytes after the end of the answer")
	errLong = errors.New("no end of a head, a line or a chunk where it must be")
)

func (r *reply) reset(nothing bool) {
	*r = reply{length: -1, nothing: nothing, part: r.part[:0]}
}

// feed takes bytes that came, and calls body with those of the body. It says whether the answer is complete.
func (r *reply) feed(b []byte, body func([]byte)) (bool, error) {
	r.begun = r.begun || len(b) > 0
	for r.phase != ended && len(b) > 0 {
		var n int
		var err error
		switch r.phase {
		case inHead:
			n, err = r.piece(b, "\r\n\r\n", headMax, r.parseHead)
		case inChunkSize:
			n, err = r.piece(b, "\r\n", lineMax, r.parseSize)
		case inChunkEnd:
			n, err = r.piece(b, "\r\n", len("\r\n"), r.endChunk)
		case inTrailer:
			n, err = r.piece(b, "\r\n", headMax, r.parseTrailer)
		default:
			n = r.take(b, body)
		}
		if err != nil {
			return false, err
		}
		b = b[n:]
	}
	if len(b) > 0 {
		return false, errMore
	}
	return r.phase == ended, nil
}

// eof takes the end of the connection, and says whether it completes the answer.
func (r *reply) eof() bool { return r.phase == inClose }

func (r *reply) take(b []byte, body func([]byte)) int {
	n := int64(len(b))
	if r.phase != inClose {
		n = min(n, r.left)
		r.left -= n
	}
	r.body += n
	body(b[:n])
	switch {
	case r.phase == inClose || r.left > 0:
	case r.phase == inSized:
		r.phase = ended
	default:
		r.phase = inChunkEnd
	}
	return int(n)
}

// piece calls parse once all bytes up to the end mark are there, and returns how many of b it used.
func (r *reply) piece(b []byte, end string, most int, parse func([]byte) error) (int, error) {
	if len(r.part) == 0 { // the usual case: it is all in b
		if i := bytes.Index(b, []byte(end)); i >= 0 {
			n := i + len(end)
			if n > most {
				return 0, errLong
			}
			return n, parse(b[:n])
		}
	}
	old := len(r.part)
	r.part = append(r.part, b[:min(len(b), most-old)]...)
	i := bytes.Index(r.part[max(0, old-len(end)+1):], []byte(end))
	if i < 0 {
		if len(r.part) >= most {
			return 0, errLong
		}
		return len(b), nil
	}
	n := max(0, old-len(end)+1) + i + len(end)
	err := parse(r.part[:n])
	r.part = r.part[:0]
	return n - old, err
}

func (r *reply) parseHead(b []byte) error {
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' ||
		len(line) > 12 && line[12] != ' ' || bytes.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("%.40q is no status line", line)
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return fmt.Errorf("%.40q is no status line", line)
		}
		r.status = r.status*10 + int(c-'0')
	}
	r.keep = line[7] == '1'
	chunked := false
	for {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || len(name) == 0 || bytes.ContainsAny(name, " \t") || bytes.ContainsAny(line, "\r\n\x00") {
			return fmt.Errorf("%.40q is no header field", line)
		}
		value = bytes.Trim(value, " \t")
		var err error
		switch {
		case is(name, "content-length"):
			err = r.parseLength(value)
		case is(name, "transfer-encoding"):
			if chunked || !is(value, "chunked") {
				err = fmt.Errorf("transfer coding %.40q", value)
			}
			chunked = true
		case is(name, "connection"):
			if is(value, "close") {
				r.keep = false
			}
		case is(name, "x-muster-node"):
			r.node = append(r.nodeBuf[:0], value[:min(len(value), len(r.nodeBuf))]...)
		case is(name, "server"):
			if r.node == nil {
				r.node = append(r.nodeBuf[:0], value[:min(len(value), len(r.nodeBuf))]...)
			}
		}
		if err != nil {
			return err
		}
	}
	return r.frame(chunked)
}

// frame decides how the body ends (RFC 9112 6.3).
func (r *reply) frame(chunked bool) error {
	switch {
	case chunked && r.length >= 0:
		return errors.New("both Content-Length and Transfer-Encoding")
	case r.status == 101:
		return errors.New("101 without an Upgrade asked for")
	case r.status < 200: // and the answer is still to come
		r.reset(r.nothing)
		r.begun = true
	case r.nothing || r.status == 204 || r.status == 304 || r.length == 0:
		r.phase = ended
	case chunked:
		r.phase = inChunkSize
	case r.length > 0:
		r.phase, r.left = inSized, r.length
	default:
		r.phase, r.keep = inClose, false
	}
	return nil
}

func (r *reply) parseLength(value []byte) error {
	n, err := number(value, 10)
	if err != nil || r.length >= 0 {
		return fmt.Errorf("Content-Length %.40q: not one number", value)
	}
	r.length = n
	return nil
}

func (r *reply) parseSize(line []byte) error {
	digits, _, _ := bytes.Cut(line[:len(line)-2], []byte(";"))
	n, err := number(digits, 16)
	if err != nil {
		return fmt.Errorf("%.40q is no size of a chunk", line)
	}
	r.phase, r.left = inChunk, n
	if n == 0 {
		r.phase = inTrailer
	}
	return nil
}

func (r *reply) endChunk([]byte) error {
	r.phase = inChunkSize
	return nil
}

func (r *reply) parseTrailer(line []byte) error {
	if len(line) == 2 {
		r.phase = ended
	} else if bytes.IndexByte(line, ':') <= 0 {
		return fmt.Errorf("%.40q is no trailer field", line)
	}
	return nil
}

func number(b []byte, base int64) (int64, error) {
	var n int64
	for _, c := range b {
		d := int64(-1)
		switch {
		case c >= '0' && c <= '9':
			d = int64(c - '0')
		case base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int64(c|0x20-'a') + 10
		}
		if d < 0 || n > (math.MaxInt64-d)/base {
			return 0, errors.New("not a number")
		}
		n = n*base + d
	}
	if len(b) == 0 {
		return 0, errors.New("not a number")
	}
	return n, nil
}

// is compares without regard to case; lower is in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
