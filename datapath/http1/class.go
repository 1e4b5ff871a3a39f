package http1

// What a byte may be part of.
const (
	isToken  = 1 << iota // RFC 9110 5.6.2
	isText               // a field value: VCHAR, obs-text, space; the tab too
	isTarget             // a request target: visible ASCII but for "#"; browsers leave more unencoded than RFC 3986 allows
	isHost               // a name or an IPv4 address, with dots
	isHex
)

var class = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] |= isToken | isHost | isHex
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			t[c] |= isToken | isHost
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= isText
		}
		if c > ' ' && c < 0x7f && c != '#' {
			t[c] |= isTarget
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= isToken
	}
	for _, c := range "-._" {
		t[c] |= isHost
	}
	return t
}()

var lower = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] |= 0x20
		}
	}
	return t
}()

func token(b []byte) bool {
	for _, c := range b {
		if class[c]&isToken == 0 {
			return false
		}
	}
	return len(b) > 0
}
