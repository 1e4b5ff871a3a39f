package http1

// A Verb is a request method that has a number.
type Verb uint8

// The methods of RFC 9110 9.3, and PATCH (RFC 5789). Any other is OtherVerb; methods are case-sensitive.
const (
	OtherVerb Verb = iota
	GET
	HEAD
	POST
	PUT
	DELETE
	CONNECT
	OPTIONS
	TRACE
	PATCH
)

var verbNames = [...]string{
	GET: "GET", HEAD: "HEAD", POST: "POST", PUT: "PUT", DELETE: "DELETE", CONNECT: "CONNECT", OPTIONS: "OPTIONS",
	TRACE: "TRACE", PATCH: "PATCH",
}

// String is the method; empty for OtherVerb.
func (v Verb) String() string { return verbNames[v] }

// Safe says whether the method asks for no change (RFC 9110 9.2.1).
func (v Verb) Safe() bool { return v == GET || v == HEAD || v == OPTIONS || v == TRACE }

// Idempotent says whether repeating the request does no more than one of it (RFC 9110 9.2.2).
func (v Verb) Idempotent() bool { return v.Safe() || v == PUT || v == DELETE }

// VerbOf numbers a method.
func VerbOf(method []byte) Verb {
	switch string(method) {
	case "GET":
		return GET
	case "HEAD":
		return HEAD
	case "POST":
		return POST
	case "PUT":
		return PUT
	case "DELETE":
		return DELETE
	case "CONNECT":
		return CONNECT
	case "OPTIONS":
		return OPTIONS
	case "TRACE":
		return TRACE
	case "PATCH":
		return PATCH
	}
	return OtherVerb
}
