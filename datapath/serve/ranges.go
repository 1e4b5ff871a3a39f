package serve

import (
	"muster/datapath/http1"
)

// maxRanges is the most ranges that one request may ask for. Who asks for more gets the whole document.
const maxRanges = 16

// A span is a part of a document.
type span struct{ off, n int64 }

// spans reads a Range field for a document of the size (RFC 9110 14.1.2). It returns ok false when the field is to be
// ignored: another unit, bad syntax, too many ranges, or overlapping ones that together are more than the document.
// It returns none, and ok, when the document has nothing of what is asked for.
func spans(dst []span, field []byte, size int64) (list []span, ok bool) {
	unit, set := cut(field, '=')
	if !http1.EqualFold(unit, "bytes") || len(set) == 0 {
		return nil, false
	}
	list = dst[:0]
	total, count := int64(0), 0
	for len(set) > 0 {
		var e []byte
		e, set = cut(set, ',')
		if len(e) == 0 {
			continue
		}
		if count++; count > maxRanges {
			return nil, false
		}
		s, ok := oneSpan(e, size)
		if !ok {
			return nil, false
		}
		if s.n > 0 {
			list = append(list, s)
			total += s.n
		}
	}
	if count == 0 || total > size || size == 0 && len(list) == 0 && suffixOnly(field) {
		return nil, false
	}
	return list, true
}

func oneSpan(e []byte, size int64) (span, bool) {
	i := 0
	for i < len(e) && e[i] != '-' {
		i++
	}
	if i == len(e) {
		return span{}, false
	}
	first, last := e[:i], e[i+1:]
	to, okTo := position(last)
	if len(first) == 0 {
		n := min(to, size)
		return span{size - n, n}, okTo
	}
	from, ok := position(first)
	if !ok || len(last) > 0 && (!okTo || to < from) {
		return span{}, false
	}
	if len(last) == 0 || to >= size {
		to = size - 1
	}
	if from >= size {
		return span{}, true // nothing there, which is no mistake
	}
	return span{from, to - from + 1}, true
}

// position reads a number of digits. What is beyond any file's end stays beyond it.
func position(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > 1<<58 {
			n = 1 << 58
		}
	}
	return n, len(b) > 0
}

// suffixOnly: the last bytes of an empty document are all of it, and there is no Content-Range that says so.
func suffixOnly(field []byte) bool {
	_, set := cut(field, '=')
	return len(set) > 1 && set[0] == '-' && string(set) != "-0"
}
