package http1

// Known numbers the header fields that some part of the program looks at. Zero is any other field.
type Known uint8

// The known fields.
const (
	Other Known = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	Expect
	Upgrade
	KeepAlive
	TE
	Trailer
	ProxyConnection
	Forwarded
	XForwardedFor
	XForwardedHost
	XForwardedProto
	XForwardedPort
	XRealIP
	Via
	Range
	IfRange
	IfMatch
	IfNoneMatch
	IfModifiedSince
	IfUnmodifiedSince
	Accept
	AcceptEncoding
	AcceptLanguage
	AcceptRanges
	Authorization
	ProxyAuthorization
	ProxyAuthenticate
	CacheControl
	Cookie
	SetCookie
	UserAgent
	Referer
	Origin
	Date
	Server
	Location
	ETag
	LastModified
	Expires
	Age
	Vary
	Allow
	RetryAfter
	WWWAuthenticate
	ContentType
	ContentRange
	ContentEncoding
	ContentLanguage
	MaxForwards
	HTTP2Settings
	knownEnd
)

var knownNames = [knownEnd]string{
	Host: "host", Connection: "connection", ContentLength: "content-length", TransferEncoding: "transfer-encoding",
	Expect: "expect", Upgrade: "upgrade", KeepAlive: "keep-alive", TE: "te", Trailer: "trailer",
	ProxyConnection: "proxy-connection", Forwarded: "forwarded", XForwardedFor: "x-forwarded-for",
	XForwardedHost: "x-forwarded-host", XForwardedProto: "x-forwarded-proto", XForwardedPort: "x-forwarded-port",
	XRealIP: "x-real-ip", Via: "via", Range: "range", IfRange: "if-range", IfMatch: "if-match",
	IfNoneMatch: "if-none-match", IfModifiedSince: "if-modified-since", IfUnmodifiedSince: "if-unmodified-since",
	Accept: "accept", AcceptEncoding: "accept-encoding", AcceptLanguage: "accept-language", AcceptRanges: "accept-ranges",
	Authorization: "authorization", ProxyAuthorization: "proxy-authorization", ProxyAuthenticate: "proxy-authenticate",
	CacheControl: "cache-control", Cookie: "cookie", SetCookie: "set-cookie", UserAgent: "user-agent", Referer: "referer",
	Origin: "origin", Date: "date", Server: "server", Location: "location", ETag: "etag", LastModified: "last-modified",
	Expires: "expires", Age: "age", Vary: "vary", Allow: "allow", RetryAfter: "retry-after",
	WWWAuthenticate: "www-authenticate", ContentType: "content-type", ContentRange: "content-range",
	ContentEncoding: "content-encoding", ContentLanguage: "content-language", MaxForwards: "max-forwards",
	HTTP2Settings: "http2-settings",
}

// String is the field's name in lower case; empty for Other.
func (k Known) String() string { return knownNames[k] }

// A Set is a set of known fields.
type Set uint64

// SetOf returns the set of the fields.
func SetOf(fields ...Known) Set {
	var s Set
	for _, k := range fields {
		s |= 1 << k
	}
	return s
}

// Has says whether the field is in the set.
func (s Set) Has(k Known) bool { return s>>k&1 != 0 }

// Any says whether the sets have a field in common.
func (s Set) Any(t Set) bool { return s&t != 0 }

// HopByHop are the fields that are for the next hop only (RFC 9110 7.6.1, with those that RFC 2616 13.5.1 named).
const HopByHop Set = 1<<Connection | 1<<KeepAlive | 1<<ProxyConnection | 1<<TE | 1<<Trailer | 1<<TransferEncoding | 1<<Upgrade |
	1<<HTTP2Settings

// notNominable are not the fields that a Connection option may name: without them the message would mean something else.
const notNominable Set = 1<<Host | 1<<ContentLength | 1<<TransferEncoding

// notTrailers are the fields that frame, route, modify or authenticate a message, or say what its content is: as
// trailers they would come too late (RFC 9110 6.5.1).
const notTrailers Set = 1<<Host | 1<<ContentLength | 1<<TransferEncoding | 1<<Connection | 1<<Expect | 1<<Upgrade | 1<<KeepAlive |
	1<<TE | 1<<Trailer | 1<<ProxyConnection | 1<<Forwarded | 1<<XForwardedFor | 1<<XForwardedHost | 1<<XForwardedProto |
	1<<XForwardedPort | 1<<XRealIP | 1<<Range | 1<<IfRange | 1<<IfMatch | 1<<IfNoneMatch | 1<<IfModifiedSince |
	1<<IfUnmodifiedSince | 1<<Authorization | 1<<ProxyAuthorization | 1<<ProxyAuthenticate | 1<<WWWAuthenticate |
	1<<CacheControl | 1<<Cookie | 1<<SetCookie | 1<<Age | 1<<Expires | 1<<Date | 1<<Location | 1<<RetryAfter | 1<<Vary |
	1<<ContentType | 1<<ContentRange | 1<<ContentEncoding | 1<<MaxForwards | 1<<HTTP2Settings

// Kind tells which known field a name is; case does not matter. The name must be a token.
func Kind(name []byte) Known {
	if len(name) < 2 {
		return Other
	}
	k := knownBy[hashName(name)]
	if equalLower(name, knownNames[k]) {
		return k
	}
	return Other
}

// hashName needs no more than the length and three letters to tell all known names apart. The factor was found by trial;
// knownBy would not be built with a wrong one.
func hashName[T []byte | string](name T) uint8 {
	n := len(name)
	h := uint32(n)<<24 | uint32(name[0]|0x20)<<16 | uint32(name[n-1]|0x20)<<8 | uint32(name[n-2]|0x20)
	return uint8(h * 0xb702675b >> 24)
}

var knownBy = func() (t [256]Known) {
	for k := Host; k < knownEnd; k++ {
		h := hashName(knownNames[k])
		if t[h] != Other {
			panic("http1: " + knownNames[k] + " and " + knownNames[t[h]] + " have the same hash")
		}
		t[h] = k
	}
	return t
}()

// equalLower compares a token with a name in lower case. Setting bit 5 makes letters small, and no other character that a
// token may have into one of those of a known name.
func equalLower(token []byte, lower string) bool {
	if len(token) != len(lower) {
		return false
	}
	for i := range token {
		if token[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// EqualFold says whether the bytes are the same but for the case of ASCII letters.
func EqualFold[A, B []byte | string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}
