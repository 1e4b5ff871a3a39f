package serve

import (
	"strconv"

	"muster/datapath/http1"
)

// logLine adds a line in the combined format, which is the common one with Referer and User-Agent at its end. What comes
// from the client is escaped, so that it can neither end a field nor a line.
func (c *conn) logLine(r *http1.Request, status int, size int64) {
	w := c.w
	b := w.lines.AvailableBuffer()
	b = c.from.Addr().AppendTo(b)
	b = append(b, " - - ["...)
	b = w.wall.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] \""...)
	b = appendSafe(b, r.Method)
	b = append(b, ' ')
	b = appendSafe(b, r.Target)
	b = append(b, " HTTP/1."...)
	b = strconv.AppendInt(b, int64(r.Minor), 10)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if r.Verb == http1.HEAD {
		size = 0
	}
	b = strconv.AppendInt(b, size, 10)
	for _, k := range [...]http1.Known{http1.Referer, http1.UserAgent} {
		b = append(b, " \""...)
		if v := r.Value(k); len(v) > 0 {
			b = appendSafe(b, v)
		} else {
			b = append(b, '-')
		}
		b = append(b, '"')
	}
	w.lines.Write(append(b, '\n'))
	if w.lines.Len() >= lineBuffer {
		w.flushLines()
	} else if !w.flush.IsSet() {
		w.flush.Set(int64(lineEvery))
	}
}

func appendSafe(dst, b []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range b {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			dst = append(dst, '\\', 'x', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
