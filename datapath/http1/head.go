package http1

import (
	"encoding/binary"
	"math/bits"
)

// Limits bound a head. A zero field means its default.
type Limits struct {
	Head    int // bytes of the whole head; 0 means 16 KiB
	Headers int // header fields; 0 means 100
	Target  int // bytes of the request target; 0 means 8 KiB
}

func (l *Limits) get() (head, headers, target int) {
	head, headers, target = 16<<10, 100, 8<<10
	if l == nil {
		return head, headers, target
	}
	if l.Head > 0 {
		head = l.Head
	}
	if l.Headers > 0 {
		headers = l.Headers
	}
	if l.Target > 0 {
		target = l.Target
	}
	return head, headers, target
}

// A Framing says how the end of a message's body is found.
type Framing uint8

// The framings. A body of length 0 counts as none.
const (
	BodyNone    Framing = iota
	BodyLength          // Head.Length bytes
	BodyChunked         // see Chunked
	BodyClose           // all until the connection ends; responses only
)

// A Field is one header field. Name and Value are slices of the buffer; the value has no white space around it.
type Field struct {
	Name, Value []byte
	Start, End  int // the whole line in the buffer, its CRLF included
	Kind        Known
}

// A Head is what requests and responses have in common. It may be used again for the next message: its storage is kept.
// All slices are of the buffer that was parsed, and good for as long as that is.
type Head struct {
	Fields    []Field
	Has       Set   // the known fields among them
	Minor     int   // of the version: 0 or 1
	Start     int   // where the first line begins: 0, or 2 after an empty line
	Size      int   // bytes of the head in the buffer, with what is ahead of Start and with the empty line at the end
	Length    int64 // what Content-Length says; -1 without one
	Body      Framing
	KeepAlive bool // the connection may carry another message after this one
	Nominates bool // Connection names fields besides those of HopByHop; see EndToEnd

	options option
	codings uint8 // of Transfer-Encoding: seen
	seen    int   // bytes of an incomplete head that hold no end of it
}

// An option is what Connection asks for.
type option uint8

const (
	optClose option = 1 << iota
	optKeepAlive
	optUpgrade
)

// Find returns the first field of the kind, or nil.
func (h *Head) Find(k Known) *Field {
	if !h.Has.Has(k) {
		return nil
	}
	for i := range h.Fields {
		if h.Fields[i].Kind == k {
			return &h.Fields[i]
		}
	}
	return nil
}

// Value returns the value of the first field of the kind, or nil.
func (h *Head) Value(k Known) []byte {
	if f := h.Find(k); f != nil {
		return f.Value
	}
	return nil
}

// Lookup returns the first field with the name, whose case does not matter, or nil.
func (h *Head) Lookup(name string) *Field {
	for i := range h.Fields {
		if EqualFold(h.Fields[i].Name, name) {
			return &h.Fields[i]
		}
	}
	return nil
}

// EndToEnd says whether a proxy passes the field on: it is neither one of HopByHop nor named by a Connection option
// (RFC 9110 7.6.1).
func (h *Head) EndToEnd(f *Field) bool {
	return !HopByHop.Has(f.Kind) && (!h.Nominates || !h.nominated(f.Name))
}

func (h *Head) nominated(name []byte) bool {
	for i := range h.Fields {
		if h.Fields[i].Kind != Connection {
			continue
		}
		list := h.Fields[i].Value
		for len(list) > 0 {
			var e []byte
			if e, list = element(list); EqualFold(e, name) {
				return true
			}
		}
	}
	return false
}

// Reset forgets an incomplete head, as must be done before the value is used for another connection.
func (h *Head) Reset() { h.seen = 0 }

// awaits says whether an incomplete head has still not got its end. Looking at new bytes only keeps a sender of single
// bytes from having the whole parsed for each. A line feed that is out of order is left to the parser to find.
func (h *Head) awaits(buf []byte) bool {
	if h.seen == 0 || h.seen > len(buf) {
		return false
	}
	for i := h.seen; i < len(buf); i++ {
		if buf[i] == '\n' && (i < 3 || buf[i-1] != '\r' || buf[i-2] == '\n') {
			return false
		}
	}
	h.seen = len(buf)
	return true
}

// settle ends a parse: it remembers how far an incomplete head goes, and knows when it can no longer become complete.
func (h *Head) settle(err error, size, limit int) error {
	h.seen = 0
	if err == ErrMore {
		if size >= limit {
			return errHeadLarge
		}
		h.seen = size
	}
	return err
}

// fields reads the header fields from p on, and the empty line that ends them.
func (h *Head) fields(buf []byte, p, most int) error {
	fields := h.Fields
	var has Set
	for {
		if p >= len(buf) {
			return ErrMore
		}
		start := p
		for p < len(buf) && class[buf[p]]&isToken != 0 {
			p++
		}
		if p == len(buf) {
			return ErrMore
		}
		if buf[p] != ':' || p == start {
			if p > start || buf[p] != '\r' {
				return nameError(buf[p:], p == start)
			}
			if p+1 == len(buf) {
				return ErrMore
			}
			if buf[p+1] != '\n' {
				return errBareCR
			}
			h.Fields, h.Has, h.Size = fields, has, p+2
			return nil
		}
		name := buf[start:p:p]
		p++
		for p < len(buf) && (buf[p] == ' ' || buf[p] == '\t') {
			p++
		}
		from := p
		p = endOfText(buf, p)
		if p == len(buf) {
			return ErrMore
		}
		if buf[p] != '\r' {
			if buf[p] == '\n' {
				return errBareLF
			}
			return errValueByte
		}
		if p+1 == len(buf) {
			return ErrMore
		}
		if buf[p+1] != '\n' {
			return errBareCR
		}
		to := p
		for to > from && (buf[to-1] == ' ' || buf[to-1] == '\t') {
			to--
		}
		p += 2
		if len(fields) >= most {
			return errFieldsMany
		}
		if len(fields) < cap(fields) {
			fields = fields[:len(fields)+1]
		} else {
			fields = append(fields, Field{})
		}
		k := Kind(name)
		f := &fields[len(fields)-1]
		f.Name, f.Value, f.Start, f.End, f.Kind = name, buf[from:to:to], start, p, k
		if special.Has(k) {
			if err := h.special(f, has.Has(k)); err != nil {
				return err
			}
		}
		has |= 1 << k
	}
}

func nameError(b []byte, empty bool) error {
	switch {
	case b[0] == ' ' || b[0] == '\t':
		if empty {
			return errFold
		}
		return errSpaceColon
	case b[0] == ':':
		return errNameEmpty
	case b[0] == '\n' && empty:
		return errBareLF
	case b[0] == '\n' || b[0] == '\r':
		return errNoColon
	}
	return errNameByte
}

// endOfText returns where the first byte at or after p is that a field value cannot hold: a control other than a tab.
// It takes eight bytes at a time: a byte below 0x20 borrows from its high bit when 0x20 is taken away, and DEL is zero
// after an exclusive or. A false mark can only stand above a true one, so the lowest is true.
func endOfText(buf []byte, p int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for {
		for {
			if p+8 > len(buf) {
				for p < len(buf) && class[buf[p]]&isText != 0 {
					p++
				}
				return p
			}
			w := binary.LittleEndian.Uint64(buf[p:])
			del := w ^ 0x7f*ones
			if m := ((w-0x20*ones)&^w | (del-ones)&^del) & high; m != 0 {
				p += bits.TrailingZeros64(m) / 8
				break
			}
			p += 8
		}
		if buf[p] != '\t' {
			return p
		}
		p++
	}
}

// special are the fields that decide where the message ends, for whom it is, and what becomes of the connection.
const special Set = 1<<Host | 1<<Connection | 1<<ContentLength | 1<<TransferEncoding | 1<<Expect | 1<<Upgrade

func (h *Head) special(f *Field, again bool) error {
	switch f.Kind {
	case Connection:
		return h.connection(f.Value)
	case ContentLength:
		if again {
			return errLengthTwice
		}
		n, ok := decimal(f.Value)
		if !ok {
			return errLength
		}
		h.Length = n
	case TransferEncoding:
		return h.coding(f.Value)
	case Host:
		if again {
			return errHostTwice
		}
	case Expect:
		if !EqualFold(f.Value, "100-continue") {
			return errExpect
		}
	case Upgrade:
		if again {
			return errUpgradeTwice
		}
	}
	return nil
}

// connection reads the options of one Connection field (RFC 9110 7.6.1). Empty list elements are skipped (5.6.1.2).
func (h *Head) connection(list []byte) error {
	for len(list) > 0 {
		var e []byte
		e, list = element(list)
		switch {
		case len(e) == 0:
		case EqualFold(e, "keep-alive"):
			h.options |= optKeepAlive
		case EqualFold(e, "close"):
			h.options |= optClose
		case EqualFold(e, "upgrade"):
			h.options |= optUpgrade
		case !token(e):
			return errConnection
		default:
			k := Kind(e)
			if notNominable.Has(k) {
				return errNominated
			}
			if !HopByHop.Has(k) {
				h.Nominates = true
			}
		}
	}
	return nil
}

// The codings that a head has named.
const (
	codingChunked uint8 = 1 << iota
	codingOther
	codingAfter // something after chunked
)

// coding takes in one Transfer-Encoding field; several make one list.
func (h *Head) coding(list []byte) error {
	if len(list) == 0 || list[len(list)-1] == ',' {
		return errCoding
	}
	for len(list) > 0 {
		var e []byte
		e, list = element(list)
		if !token(e) {
			return errCoding
		}
		if h.codings&codingChunked != 0 {
			h.codings |= codingAfter
		}
		if EqualFold(e, "chunked") {
			h.codings |= codingChunked
		} else {
			h.codings |= codingOther
		}
	}
	return nil
}

// chunked decides what Transfer-Encoding and Content-Length say together (RFC 9112 6.1, 6.3).
func (h *Head) chunked() (bool, error) {
	switch {
	case h.codings == 0:
		return false, nil
	case h.Minor == 0:
		return false, errCoding10
	case h.codings&codingAfter != 0:
		return false, errCodingOrder
	case h.codings&codingOther != 0:
		return false, errCodingOther
	case h.Length >= 0:
		return false, errBoth
	}
	return true, nil
}

// persistent decides whether the connection may go on (RFC 9112 9.3).
func (h *Head) persistent() bool {
	if h.options&optClose != 0 {
		return false
	}
	return h.Minor == 1 || h.options&optKeepAlive != 0
}

// element cuts the first element off a list, without the white space around it.
func element(list []byte) (e, rest []byte) {
	e = list
	for i, c := range list {
		if c == ',' {
			e, rest = list[:i], list[i+1:]
			break
		}
	}
	for len(e) > 0 && (e[0] == ' ' || e[0] == '\t') {
		e = e[1:]
	}
	for len(e) > 0 && (e[len(e)-1] == ' ' || e[len(e)-1] == '\t') {
		e = e[:len(e)-1]
	}
	return e, rest
}

// decimal reads a number of digits and nothing else.
func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= 1<<63-1
}
