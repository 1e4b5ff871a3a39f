package http1

import "errors"

// ErrMore says that the head is not complete yet: call again with a longer buffer that begins with the same bytes.
var ErrMore = errors.New("the head is not complete")

// An Error says why a message is refused. The connection is of no use after one.
type Error struct {
	Status int    // the answer to a client: 400, 414, 417, 431, 501, 505; 502 for a message from a node
	Reason string // constant text, without any byte of the message
}

func (e *Error) Error() string { return e.Reason }

func bad(reason string) *Error     { return &Error{400, reason} }
func badNode(reason string) *Error { return &Error{502, reason} }

// What can be wrong with a request line.
var (
	errLeading      = bad("more than one empty line before the request line")
	errMethod       = bad("bad character in the method")
	errMethodLong   = &Error{501, "method too long"}
	errTargetEmpty  = bad("no target, or more than one space before it")
	errTargetLong   = &Error{414, "target too long"}
	errTargetByte   = bad("bad character in the target")
	errFragment     = bad("fragment in the target")
	errNonASCII     = bad("non-ASCII character in the target")
	errPercent      = bad("bad percent-encoding in the path")
	errTargetForm   = bad("target is neither a path, an http URL, nor the form that the method asks for")
	errAuthority    = bad("bad authority in the target")
	errNoVersion    = bad("request line without a version")
	errVersion      = bad("bad version in the request line")
	errVersionOther = &Error{505, "version is neither HTTP/1.0 nor HTTP/1.1"}
	errPreface      = &Error{505, "HTTP/2 on an HTTP/1.1 port"}
	errAfterVersion = bad("something after the version in the request line")
)

// What can be wrong with header fields, of requests and responses alike.
var (
	errBareLF      = bad("line ends with a bare LF")
	errBareCR      = bad("CR without LF")
	errFold        = bad("folded header field, or white space before the first one")
	errSpaceColon  = bad("white space before a colon")
	errNoColon     = bad("header field without a colon")
	errNameEmpty   = bad("header field without a name")
	errNameByte    = bad("bad character in a header field name")
	errValueByte   = bad("control character in a header field value")
	errHeadLarge   = &Error{431, "head too large"}
	errFieldsMany  = &Error{431, "too many header fields"}
	errConnection  = bad("bad Connection field")
	errNominated   = bad("Connection names a field that frames or routes the message")
	errLengthTwice = bad("more than one Content-Length")
	errLength      = bad("bad Content-Length")
	errBoth        = bad("Content-Length and Transfer-Encoding together")
	errCoding10    = bad("Transfer-Encoding in HTTP/1.0")
	errCoding      = bad("bad Transfer-Encoding")
	errCodingOrder = bad("chunked is not the only last transfer coding")
	errCodingOther = &Error{501, "transfer coding other than chunked"}
)

// What can be wrong with the fields of a request.
var (
	errHostMissing  = bad("no Host field")
	errHostTwice    = bad("more than one Host field")
	errHost         = bad("bad Host")
	errHostDiffers  = bad("target and Host name different authorities")
	errExpect       = &Error{417, "expectation other than 100-continue"}
	errUpgradeTwice = bad("more than one Upgrade field")
	errConnectBody  = bad("CONNECT with a body")
)

// What can be wrong with a status line, and with a response as a whole.
var (
	errStatusLine    = badNode("bad status line")
	errStatusVersion = badNode("version of the response is neither HTTP/1.0 nor HTTP/1.1")
	errReason        = badNode("control character in the reason phrase")
	errStatusBody    = badNode("response of a status that has no body announces one")
)

// What can be wrong with a chunked body.
var (
	errChunkSize    = bad("bad chunk size")
	errChunkLarge   = bad("chunk size too large")
	errChunkExt     = bad("bad chunk extension")
	errChunkExtLong = bad("chunk extensions too long")
	errChunkEnd     = bad("no CRLF after a chunk")
	errTrailer      = bad("bad trailer field")
	errTrailerField = bad("trailer field that belongs in the head")
	errTrailerLong  = bad("trailers too long")
)
