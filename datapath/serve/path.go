package serve

import (
	"strings"

	"muster/datapath/http1"
)

// clean decodes a path and makes it canonical: one slash between names. It returns a status to refuse it with, or 0.
//
// A name of "." or ".." is refused, encoded or not: clients remove them before they ask (RFC 3986 5.2.4), so what still
// has one wants something else. An encoded slash or NUL can be in no file's name.
func clean(dst, path []byte) ([]byte, int) {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !http1.IsHex(path[i+1]) || !http1.IsHex(path[i+2]) {
				return nil, 400
			}
			c = http1.HexValue(path[i+1])<<4 | http1.HexValue(path[i+2])
			i += 2
			if c == '/' {
				return nil, 404
			}
		} else if c == '/' && len(dst) > 0 && dst[len(dst)-1] == '/' {
			continue
		}
		if c == 0 {
			return nil, 400
		}
		dst = append(dst, c)
	}
	if len(dst) == 0 || dst[0] != '/' {
		return nil, 400
	}
	for start := 1; start <= len(dst); {
		end := start
		for end < len(dst) && dst[end] != '/' {
			end++
		}
		if name := dst[start:end]; len(name) > 0 && name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.') {
			return nil, 400
		}
		start = end + 1
	}
	return dst, 0
}

// hidden says whether a canonical path has a name that begins with a dot, other than a leading ".well-known" (RFC 8615).
func hidden(path string) bool {
	if in, ok := strings.CutPrefix(path, "/.well-known"); ok && (in == "" || in[0] == '/') {
		path = in
	}
	return strings.Contains(path, "/.")
}

// appendEscaped appends a canonical path so that it can stand in a Location or a link.
func appendEscaped(dst []byte, path string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(path) {
		c := path[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("/-._~!$()*,:@", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
