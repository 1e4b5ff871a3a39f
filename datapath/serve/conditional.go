package serve

import (
	"bytes"
	"time"

	"muster/datapath/http1"
)

// conditional are the fields that make a request depend on what the client has.
var conditional = http1.SetOf(http1.IfMatch, http1.IfNoneMatch, http1.IfModifiedSince, http1.IfUnmodifiedSince)

// condition evaluates the preconditions of a GET or HEAD request in the order of RFC 9110 13.2.2. It returns 304 or 412,
// or 0 when the request is to be carried out. A date that is none is ignored (13.1.3, 13.1.4).
func condition(r *http1.Request, f *form, now time.Time) int {
	switch {
	case r.Has.Has(http1.IfMatch):
		if !matches(r, http1.IfMatch, f.etag, false) {
			return 412
		}
	case r.Has.Has(http1.IfUnmodifiedSince):
		if d, ok := http1.ParseDate(r.Value(http1.IfUnmodifiedSince), now); ok && f.modified > d.Unix() {
			return 412
		}
	}
	switch {
	case r.Has.Has(http1.IfNoneMatch):
		if matches(r, http1.IfNoneMatch, f.etag, true) {
			return 304
		}
	case r.Has.Has(http1.IfModifiedSince):
		if d, ok := http1.ParseDate(r.Value(http1.IfModifiedSince), now); ok && f.modified <= d.Unix() {
			return 304
		}
	}
	return 0
}

// matches says whether one of the entity tags in the fields of a kind is ours. An asterisk is any. With the weak
// comparison a tag that is marked as weak may match too (RFC 9110 8.8.3.2); our own are strong.
func matches(r *http1.Request, kind http1.Known, etag string, weak bool) bool {
	for i := range r.Fields {
		if r.Fields[i].Kind == kind && listed(r.Fields[i].Value, etag, weak) {
			return true
		}
	}
	return false
}

func listed(list []byte, etag string, weak bool) bool {
	if len(list) == 1 && list[0] == '*' {
		return true
	}
	for {
		for len(list) > 0 && (list[0] == ' ' || list[0] == '\t' || list[0] == ',') {
			list = list[1:]
		}
		isWeak := bytes.HasPrefix(list, []byte("W/"))
		if isWeak {
			list = list[2:]
		}
		if len(list) < 2 || list[0] != '"' {
			return false // the end, or no list of tags from here on
		}
		end := bytes.IndexByte(list[1:], '"') + 2
		if end < 2 {
			return false
		}
		if string(list[:end]) == etag && (weak || !isWeak) {
			return true
		}
		if list = list[end:]; len(list) > 0 && list[0] != ',' && list[0] != ' ' && list[0] != '\t' {
			return false
		}
	}
}

// unchanged says whether If-Range lets a range be sent: the tag is ours by the strong comparison, or the date is exactly
// ours and old enough for a strong validator (RFC 9110 13.1.5, 8.8.2.2).
func unchanged(r *http1.Request, f *form, now time.Time) bool {
	v := r.Value(http1.IfRange)
	if len(v) > 0 && (v[0] == '"' || v[0] == 'W') {
		return string(v) == f.etag
	}
	d, ok := http1.ParseDate(v, now)
	return ok && d.Unix() == f.modified && now.Unix() > f.modified
}
