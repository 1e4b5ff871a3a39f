package http1

// What a chunked body may hold beside its data. A sender of tiny chunks with long extensions would have us read many
// times what it delivers.
const (
	extLimit     = 4 << 10 // bytes of all extensions of a message
	trailerLimit = 8 << 10 // bytes of all trailers of a message
	sizeDigits   = 16      // leading zeros included
)

// A Chunked follows one chunked body (RFC 9112 7.1) as it comes, in pieces of any size. The zero value is ready for a
// message. After an error, and after the end, it must not be used until it is set to zero again.
type Chunked struct {
	left  uint64 // bytes of the chunk that are still to come
	state chunkState
	n     uint8 // digits of the size so far; or characters of the trailer's name
	exts  uint16
	trail uint16
	name  [maxName]byte // of the trailer
}

// maxName is the length of the longest name that a trailer must not have.
const maxName = 19

type chunkState uint8

const (
	inSize chunkState = iota
	inExt
	inQuoted
	inEscape
	atSizeLF
	inData
	atDataCR
	atDataLF
	atLine // the beginning of a trailer, or of the empty line
	inName
	inValue
	atTrailerLF
	atEndLF
	atEnd
)

// Scan says how many bytes of b belong to the message, and whether it ends with them. A proxy passes those on as they
// are.
func (c *Chunked) Scan(b []byte) (n int, done bool, err error) {
	for n < len(b) && !done {
		var k int
		if _, k, done, err = c.Next(b[n:]); err != nil {
			return n, false, err
		}
		n += k
	}
	return n, done, nil
}

// Next goes on to the end of the next piece of data in b, which it returns, or to the end of b or of the message if
// there is none. It has used n bytes.
func (c *Chunked) Next(b []byte) (data []byte, n int, done bool, err error) {
	for i, ch := range b {
		switch c.state {
		case inSize:
			if IsHex(ch) {
				if c.n++; c.n > sizeDigits || c.left >= 1<<59 {
					return nil, i, false, errChunkLarge
				}
				c.left = c.left<<4 | uint64(HexValue(ch))
				continue
			}
			if c.n == 0 {
				return nil, i, false, errChunkSize
			}
			switch ch {
			case '\r':
				c.state = atSizeLF
			case ';':
				c.state = inExt
			case '\n':
				return nil, i, false, errBareLF
			default:
				return nil, i, false, errChunkSize
			}
		case inExt, inQuoted, inEscape:
			if err := c.extension(ch); err != nil {
				return nil, i, false, err
			}
		case atSizeLF:
			if ch != '\n' {
				return nil, i, false, errBareCR
			}
			c.n = 0
			if c.state = inData; c.left == 0 {
				c.state = atLine
			}
		case inData:
			k := len(b) - i
			if uint64(k) >= c.left {
				k = int(c.left)
				c.state = atDataCR
			}
			c.left -= uint64(k)
			return b[i : i+k], i + k, false, nil
		case atDataCR:
			if ch != '\r' {
				return nil, i, false, errChunkEnd
			}
			c.state = atDataLF
		case atDataLF:
			if ch != '\n' {
				return nil, i, false, errChunkEnd
			}
			c.state = inSize
		case atEnd:
			return nil, i, true, nil
		default:
			if err := c.trailer(ch); err != nil {
				return nil, i, false, err
			}
			if c.state == atEnd {
				return nil, i + 1, true, nil
			}
		}
	}
	return nil, len(b), false, nil
}

// extension takes one byte of the extensions after a size. Their grammar is checked as far as it decides where they
// end: a quoted string may hold what it likes but for controls.
func (c *Chunked) extension(ch byte) error {
	if c.exts++; c.exts > extLimit {
		return errChunkExtLong
	}
	switch {
	case ch == '\r' && c.state == inExt:
		c.state = atSizeLF
	case ch == '\n':
		return errBareLF
	case class[ch]&isText == 0 || ch >= 0x80:
		return errChunkExt
	case c.state == inEscape:
		c.state = inQuoted
	case ch == '\\' && c.state == inQuoted:
		c.state = inEscape
	case ch == '"' && c.state == inQuoted:
		c.state = inExt
	case ch == '"':
		c.state = inQuoted
	}
	return nil
}

// trailer takes one byte of the trailers and of the empty line that ends the message.
func (c *Chunked) trailer(ch byte) error {
	if c.trail++; c.trail > trailerLimit {
		return errTrailerLong
	}
	switch c.state {
	case atLine, inName:
		switch {
		case class[ch]&isToken != 0:
			c.state = inName
			if c.n < maxName {
				c.name[c.n] = ch
			}
			if c.n <= maxName {
				c.n++ // one more than fits: the name is none of those that matter
			}
		case ch == ':' && c.state == inName:
			if c.n <= maxName && notTrailers.Has(Kind(c.name[:c.n])) {
				return errTrailerField
			}
			c.state, c.n = inValue, 0
		case ch == '\r' && c.state == atLine:
			c.state = atEndLF
		case ch == '\n':
			return errBareLF
		default:
			return errTrailer
		}
	case inValue:
		switch {
		case ch == '\r':
			c.state = atTrailerLF
		case ch == '\n':
			return errBareLF
		case class[ch]&isText == 0:
			return errTrailer
		}
	case atTrailerLF:
		if ch != '\n' {
			return errBareCR
		}
		c.state = atLine
	case atEndLF:
		if ch != '\n' {
			return errBareCR
		}
		c.state = atEnd
	}
	return nil
}

// IsHex says whether the byte is a hexadecimal digit.
func IsHex(c byte) bool { return class[c]&isHex != 0 }

// HexValue is what a hexadecimal digit counts.
func HexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0xf + 9
}

// AppendChunkSize appends what goes ahead of a chunk of n bytes; after the chunk goes a CRLF. n must not be 0.
func AppendChunkSize(dst []byte, n int) []byte {
	const digits = "0123456789abcdef"
	shift := 0
	for n>>shift > 15 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return append(dst, '\r', '\n')
}

// AppendChunk appends the data as one chunk; nothing when there is none, since an empty chunk would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, len(data))
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

// LastChunk ends a chunked body that has no trailers.
const LastChunk = "0\r\n\r\n"
