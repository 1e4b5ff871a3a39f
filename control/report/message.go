package report

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"muster/cluster"
)

// Bounds of one report. They and the size of a datagram hold for what is sent and for what is read.
const (
	MaxApps     = 64
	MaxHearings = 64
)

// format begins every payload. A later release may append fields, which this one ignores; it changes the format only when
// the old fields change.
const format = 1

const leavingFlag = 1

// A message is the payload of a report.
type message struct {
	load    cluster.Load // without the node's name: that is the sender's, which is authenticated
	ram     uint64       // total RAM of the node in bytes, 0 when unknown
	leaving bool         // the node stops in order: this is its last
}

// append encodes the message in at most size bytes. Reasons are cut short where they do not fit.
func (m *message) append(dst []byte, size int) ([]byte, error) {
	l := &m.load
	if len(l.Apps) > MaxApps || len(l.Hears) > MaxHearings {
		return dst, fmt.Errorf("report %d applications and %d directors: at most %d and %d fit", len(l.Apps), len(l.Hears), MaxApps, MaxHearings)
	}
	var flags byte
	if m.leaving {
		flags |= leavingFlag
	}
	start := len(dst)
	dst = append(dst, format, flags)
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.Index))
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.Room))
	dst = binary.BigEndian.AppendUint16(dst, l.Busy)
	dst = binary.BigEndian.AppendUint64(dst, m.ram)
	dst = append(dst, byte(len(l.Hears)))
	for _, h := range l.Hears {
		dst = appendString(dst, h.Director, 255)
		dst = append(dst, h.LAN)
		dst = binary.BigEndian.AppendUint32(dst, h.Silent)
	}
	rest, reasons := 1, 0
	for _, a := range l.Apps {
		rest += 3 + min(len(a.Pool), 255)
		if a.Reason != "" {
			reasons++
		}
	}
	left := size - (len(dst) - start) - rest
	if left < 0 {
		return dst[:start], fmt.Errorf("report %d applications and %d directors: %d bytes too long for a datagram; shorter names help", len(l.Apps), len(l.Hears), -left)
	}
	dst = append(dst, byte(len(l.Apps)))
	for _, a := range l.Apps {
		dst = appendString(dst, a.Pool, 255)
		up := byte(0)
		if a.Up {
			up = 1
		}
		dst = append(dst, up)
		dst = appendString(dst, a.Reason, min(255, left/max(1, reasons)))
	}
	return dst, nil
}

// appendString appends a length and at most n bytes of text.
func appendString(dst []byte, s string, n int) []byte {
	if len(s) > n {
		s = s[:n]
	}
	if !utf8.ValidString(s) { // cut within a letter
		s = strings.ToValidUTF8(s, "")
	}
	return append(append(dst, byte(len(s))), s...)
}

// errShort is the only way in which an authentic payload can be wrong but for its format: it ends too early, or says that
// it holds more than the bounds allow.
var errShort = errors.New("ends too early or holds too much")

// decodeMessage reads a report. Names that stand where old has the same are taken from there and not allocated.
func decodeMessage(b []byte, old *message) (message, error) {
	r := reader{b: b}
	if f := r.byte(); f != format {
		return message{}, fmt.Errorf("format %d: this release reads %d", f, format)
	}
	m := message{leaving: r.byte()&leavingFlag != 0}
	m.load.Index = cluster.Index(r.uint(8))
	m.load.Room = cluster.Index(r.uint(8))
	m.load.Busy = uint16(min(1000, r.uint(2)))
	m.ram = r.uint(8)
	n := int(r.byte())
	if r.bad || n > MaxHearings {
		return message{}, errShort
	}
	if n > 0 {
		m.load.Hears = make([]cluster.Hearing, n)
	}
	for i := range m.load.Hears {
		var was cluster.Hearing
		if i < len(old.load.Hears) {
			was = old.load.Hears[i]
		}
		m.load.Hears[i] = cluster.Hearing{Director: r.text(was.Director), LAN: r.byte(), Silent: uint32(r.uint(4))}
	}
	n = int(r.byte())
	if r.bad || n > MaxApps {
		return message{}, errShort
	}
	if n > 0 {
		m.load.Apps = make([]cluster.App, n)
	}
	for i := range m.load.Apps {
		var was cluster.App
		if i < len(old.load.Apps) {
			was = old.load.Apps[i]
		}
		m.load.Apps[i] = cluster.App{Pool: r.text(was.Pool), Up: r.byte() == 1, Reason: r.text(was.Reason)}
	}
	if r.bad {
		return message{}, errShort
	}
	return m, nil
}

// A beacon is the payload of a director's answer.
type beacon struct {
	epoch uint64 // of the director's share tables
	least uint64 // RAM of the node with the least, in bytes; 0 when unknown
}

func (b beacon) append(dst []byte) []byte {
	dst = append(dst, format)
	dst = binary.BigEndian.AppendUint64(dst, b.epoch)
	return binary.BigEndian.AppendUint64(dst, b.least)
}

func decodeBeacon(b []byte) (beacon, error) {
	r := reader{b: b}
	if f := r.byte(); f != format {
		return beacon{}, fmt.Errorf("format %d: this release reads %d", f, format)
	}
	v := beacon{epoch: r.uint(8), least: r.uint(8)}
	if r.bad {
		return beacon{}, errShort
	}
	return v, nil
}

// A reader takes fields off bytes; past their end it gives zeros and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) next(n int) []byte {
	if len(r.b) < n {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte { return byte(r.uint(1)) }

func (r *reader) uint(n int) (v uint64) {
	for _, c := range r.next(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// text reads a string; was is returned if it is the same. Text is shown to people: what is not UTF-8 is bad.
func (r *reader) text(was string) string {
	b := r.next(int(r.byte()))
	if string(b) == was {
		return was
	}
	if !utf8.Valid(b) {
		r.bad = true
		return ""
	}
	return string(b)
}
