package http1

import "encoding/binary"

// A Response is the head of one response, in the buffer that it was parsed from. The zero value is ready; it may be used
// again for the next response, and must be Reset before it is used for another connection.
type Response struct {
	Head
	Status int    // 100..999; an interim one (1xx) is followed by another head
	Reason []byte // may be empty
}

// Parse reads the head at the beginning of the buffer, as Request.Parse does. The verb of the request has a say in whether
// there is a body. Every *Error has status 502.
func (r *Response) Parse(buf []byte, limits *Limits, verb Verb) error {
	size, headers, _ := limits.get()
	if len(buf) > size {
		buf = buf[:size]
	}
	if r.awaits(buf) {
		return fromNode(r.settle(ErrMore, len(buf), size))
	}
	return fromNode(r.settle(r.parse(buf, headers, verb), len(buf), size))
}

// fromNode turns an error that has the status for a client's fault into that for a node's.
func fromNode(err error) error {
	if e, ok := err.(*Error); ok && e.Status != 502 {
		return &Error{502, e.Reason}
	}
	return err
}

func (r *Response) parse(buf []byte, headers int, verb Verb) error {
	*r = Response{Head: Head{Fields: r.Fields[:0], Length: -1}}
	p, err := r.line(buf)
	if err != nil {
		return err
	}
	if err := r.fields(buf, p, headers); err != nil {
		return err
	}
	return r.decide(verb)
}

// line reads the status line (RFC 9112 4) and returns where the next line begins. The space after the status may be
// missing when there is no reason, as many servers have it.
func (r *Response) line(buf []byte) (int, error) {
	if len(buf) < len("HTTP/1.1 200\r\n") {
		for i, c := range buf {
			if i < 7 && c != "HTTP/1."[i] {
				return 0, errStatusLine
			}
		}
		return 0, ErrMore
	}
	switch binary.LittleEndian.Uint64(buf) {
	case http11:
		r.Minor = 1
	case http10:
		r.Minor = 0
	default:
		if string(buf[:5]) == "HTTP/" && digit(buf[5]) {
			return 0, errStatusVersion
		}
		return 0, errStatusLine
	}
	if buf[8] != ' ' || buf[9] < '1' || !digit(buf[9]) || !digit(buf[10]) || !digit(buf[11]) {
		return 0, errStatusLine
	}
	r.Status = int(buf[9]-'0')*100 + int(buf[10]-'0')*10 + int(buf[11]-'0')
	p := 12
	switch buf[p] {
	case ' ':
		p++
	case '\r', '\n':
	default:
		return 0, errStatusLine
	}
	from := p
	p = endOfText(buf, p)
	if p == len(buf) {
		return 0, ErrMore
	}
	if buf[p] != '\r' {
		if buf[p] == '\n' {
			return 0, errBareLF
		}
		return 0, errReason
	}
	if p+1 == len(buf) {
		return 0, ErrMore
	}
	if buf[p+1] != '\n' {
		return 0, errBareCR
	}
	r.Reason = buf[from:p:p]
	return p + 2, nil
}

// decide draws the conclusions from the fields (RFC 9112 6.3).
func (r *Response) decide(verb Verb) error {
	r.KeepAlive = r.persistent()
	if verb == CONNECT && r.Status/100 == 2 || r.Status == 101 {
		return nil // another protocol begins here
	}
	chunked, err := r.chunked()
	if err != nil {
		return err
	}
	switch {
	case r.Status < 200 || r.Status == 204:
		// A peer that took the announcement for true would wait for the body, or send it as the next response.
		if chunked || r.Length > 0 {
			return errStatusBody
		}
	case verb == HEAD || r.Status == 304:
	case chunked:
		r.Body = BodyChunked
	case r.Length > 0:
		r.Body = BodyLength
	case r.Length < 0:
		r.Body = BodyClose
		r.KeepAlive = false
	}
	return nil
}
