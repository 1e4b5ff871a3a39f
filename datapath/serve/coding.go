package serve

import (
	"muster/datapath/http1"
)

// A coding is how the bytes of a document are packed.
type coding uint8

// The codings, in the order in which we like them when the client likes them the same.
const (
	br coding = iota
	zstd
	gzip
	identity
	codings
)

var (
	codingNames  = [codings]string{br: "br", zstd: "zstd", gzip: "gzip", identity: "identity"}
	codingSuffix = [codings]string{br: ".br", zstd: ".zst", gzip: ".gz"}
)

// preferences are the weights that Accept-Encoding gives each coding, 0..1000 (RFC 9110 12.5.3). Identity that is not
// named may be sent, and is the last choice.
type preferences [codings]int

// prefer reads the Accept-Encoding fields of a request.
func prefer(r *http1.Request) preferences {
	named := [codings]bool{}
	var p preferences
	star := -1
	for i := range r.Fields {
		if r.Fields[i].Kind != http1.AcceptEncoding {
			continue
		}
		for list := r.Fields[i].Value; len(list) > 0; {
			var e []byte
			e, list = cut(list, ',')
			name, params := cut(e, ';')
			q := weight(params)
			if len(name) == 1 && name[0] == '*' {
				star = q
				continue
			}
			for c := range codings {
				if http1.EqualFold(name, codingNames[c]) || c == gzip && http1.EqualFold(name, "x-gzip") {
					p[c], named[c] = q, true
				}
			}
		}
	}
	for c := range codings {
		switch {
		case named[c]:
		case star >= 0:
			p[c] = star
		}
	}
	if !named[identity] && star != 0 {
		p[identity] = min(1, max(star, 1))
	}
	return p
}

// weight reads the quality value among the parameters: 1000 when there is none, 0 when it is malformed.
func weight(params []byte) int {
	if len(params) == 0 {
		return 1000
	}
	for len(params) > 0 {
		var p []byte
		p, params = cut(params, ';')
		name, v := cut(p, '=')
		if len(name) != 1 || name[0]|0x20 != 'q' {
			continue
		}
		if len(v) == 0 || len(v) > 5 || v[0] > '1' || v[0] < '0' || len(v) > 1 && v[1] != '.' {
			return 0
		}
		q, unit := int(v[0]-'0')*1000, 100
		for _, d := range v[min(2, len(v)):] {
			if d < '0' || d > '9' {
				return 0
			}
			q += int(d-'0') * unit
			unit /= 10
		}
		if q > 1000 {
			return 0
		}
		return q
	}
	return 1000
}

// pick chooses the form of a page that the client likes best. One that accepts none gets the document as it is.
func (p preferences) pick(pg *page) *form {
	best := pg.forms[identity]
	weight := p[identity]
	for c := range identity {
		if f := pg.forms[c]; f != nil && p[c] > 0 && p[c] >= weight && (best.coding == identity || p[c] > weight) {
			best, weight = f, p[c]
		}
	}
	return best
}

// cut splits at the first separator, and takes the white space off both parts.
func cut(b []byte, sep byte) (before, after []byte) {
	for i, c := range b {
		if c == sep {
			return trim(b[:i]), trim(b[i+1:])
		}
	}
	return trim(b), nil
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
