package http1

import (
	"bytes"
	"encoding/binary"
)

// methodLimit is longer than any registered method.
const methodLimit = 32

// A Request is the head of one request, in the buffer that it was parsed from. The zero value is ready; it may be used
// again for the next request, and must be Reset before it is used for another connection.
type Request struct {
	Head
	Method    []byte
	Verb      Verb
	Target    []byte // as it came
	Path      []byte // of the target, still encoded, beginning with "/"; "*" in asterisk-form; nil for CONNECT
	Query     []byte // after the "?"; nil without one, which an empty one is not
	Host      []byte // with its port if it has one: from the target if that names it, else the field; nil only in HTTP/1.0
	Absolute  bool   // the target has absolute-form: it is not what a server of its own would be sent
	Expect100 bool   // the client waits for 100 (Continue) before it sends the body
	Upgrade   []byte // the protocols that the client would rather speak; nil unless Connection says upgrade too
}

// Parse reads the head at the beginning of the buffer. It returns nil, or ErrMore, or an *Error. After ErrMore it may be
// called again with more bytes after the same ones, wherever they lie; of a head that comes byte by byte only the new
// bytes are looked at. Nil limits are the default ones.
func (r *Request) Parse(buf []byte, limits *Limits) error {
	size, headers, target := limits.get()
	if len(buf) > size {
		buf = buf[:size]
	}
	if r.awaits(buf) {
		return r.settle(ErrMore, len(buf), size)
	}
	return r.settle(r.parse(buf, headers, target), len(buf), size)
}

func (r *Request) parse(buf []byte, headers, target int) error {
	*r = Request{Head: Head{Fields: r.Fields[:0], Length: -1}}
	p := 0
	if len(buf) > 0 && buf[0] == '\r' {
		if len(buf) < 2 {
			return ErrMore
		}
		if buf[1] != '\n' {
			return errBareCR
		}
		if p = 2; len(buf) > 2 && (buf[2] == '\r' || buf[2] == '\n') {
			return errLeading
		}
	}
	r.Start = p
	p, err := r.line(buf, p, target)
	if err != nil {
		return err
	}
	if err := r.fields(buf, p, headers); err != nil {
		return err
	}
	return r.decide()
}

// line reads the request line (RFC 9112 3) and returns where the next line begins.
func (r *Request) line(buf []byte, p, limit int) (int, error) {
	start := p
	for p < len(buf) && class[buf[p]]&isToken != 0 {
		p++
	}
	if p-start > methodLimit {
		return p, errMethodLong
	}
	if p == len(buf) {
		return p, ErrMore
	}
	if buf[p] != ' ' || p == start {
		return p, errMethod
	}
	r.Method = buf[start:p:p]
	p++
	from := p
	for p < len(buf) && class[buf[p]]&isTarget != 0 {
		p++
	}
	if p-from > limit {
		return p, errTargetLong
	}
	if p == len(buf) {
		return p, ErrMore
	}
	if buf[p] != ' ' || p == from {
		return p, targetError(buf[p], p == from)
	}
	r.Target = buf[from:p:p]
	p++
	p, err := r.version(buf, p)
	if err != nil {
		return p, err
	}
	r.Verb = VerbOf(r.Method)
	return p, r.target()
}

func targetError(c byte, empty bool) error {
	switch {
	case c == ' ':
		return errTargetEmpty
	case c == '#':
		return errFragment
	case c >= 0x80:
		return errNonASCII
	case (c == '\r' || c == '\n') && !empty:
		return errNoVersion
	}
	return errTargetByte
}

const (
	http11 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '1'<<56
	http10 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '0'<<56
)

func (r *Request) version(buf []byte, p int) (int, error) {
	if len(buf)-p < 10 {
		for i, c := range buf[p:] {
			if i < 5 && c != "HTTP/"[i] {
				return p, errVersion
			}
		}
		return p, ErrMore
	}
	switch binary.LittleEndian.Uint64(buf[p:]) {
	case http11:
		r.Minor = 1
	case http10:
		r.Minor = 0
	default:
		if v := buf[p : p+8]; string(v[:5]) != "HTTP/" || !digit(v[5]) || v[6] != '.' || !digit(v[7]) {
			return p, errVersion
		}
		if string(r.Method) == "PRI" {
			return p, errPreface
		}
		return p, errVersionOther
	}
	switch {
	case buf[p+8] == '\n':
		return p, errBareLF
	case buf[p+8] != '\r':
		return p, errAfterVersion
	case buf[p+9] != '\n':
		return p, errBareCR
	}
	return p + 10, nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// target takes the target apart (RFC 9112 3.2).
func (r *Request) target() error {
	t := r.Target
	switch {
	case r.Verb == CONNECT:
		if port := authority(t); port <= 0 || port == len(t) {
			return errAuthority
		}
		r.Host = t
		return nil
	case t[0] == '/':
	case len(t) == 1 && t[0] == '*' && r.Verb == OPTIONS:
		r.Path = t
		return nil
	default:
		n := 0
		switch {
		case len(t) > 7 && EqualFold(t[:7], "http://"):
			n = 7
		case len(t) > 8 && EqualFold(t[:8], "https://"):
			n = 8
		default:
			return errTargetForm
		}
		end := bytes.IndexAny(t[n:], "/?")
		if end < 0 {
			end = len(t) - n
		}
		r.Host = t[n : n+end : n+end]
		if authority(r.Host) < 0 {
			return errAuthority
		}
		r.Absolute = true
		t = t[n+end:]
	}
	path := t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		path, r.Query = t[:i:i], t[i+1:]
	}
	if !percents(path) {
		return errPercent
	}
	if r.Path = path; len(path) == 0 {
		r.Path = slash
		if r.Verb == OPTIONS && r.Query == nil {
			r.Path = asterisk // RFC 9112 3.2.4
		}
	}
	return nil
}

// percents says whether every "%" begins a percent-encoding.
func percents(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return true
		}
		if len(b) < i+3 || class[b[i+1]]&class[b[i+2]]&isHex == 0 {
			return false
		}
		b = b[i+3:]
	}
}

// decide draws the conclusions from the fields.
func (r *Request) decide() error {
	if f := r.Find(Host); f != nil {
		if authority(f.Value) < 0 {
			return errHost
		}
		if r.Host != nil && !EqualFold(r.Host, f.Value) {
			return errHostDiffers
		}
		if r.Host == nil {
			r.Host = f.Value
		}
	} else if r.Minor == 1 {
		return errHostMissing
	}
	chunked, err := r.chunked()
	switch {
	case err != nil:
		return err
	case r.Verb == CONNECT && (chunked || r.Length > 0):
		return errConnectBody
	case chunked:
		r.Body = BodyChunked
	case r.Length > 0:
		r.Body = BodyLength
	}
	r.KeepAlive = r.persistent()
	if r.Minor == 1 {
		r.Expect100 = r.Has.Has(Expect) && r.Body != BodyNone
		if r.options&optUpgrade != 0 {
			r.Upgrade = r.Value(Upgrade)
		}
	}
	return nil
}
