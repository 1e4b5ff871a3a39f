package request

import (
	"net/netip"

	"muster/datapath/http1"
)

// tagRoom is room in a head for what depends on the request: host, connection, the ends of lines.
const tagRoom = 512

// ours are the fields of a request that we say ourselves, when we say them: a client's own would be taken for ours.
const ours = 1<<http1.XForwardedProto | 1<<http1.XForwardedHost

// forUs are the fields of a request that end here. Transfer-Encoding and Trailer go on: so do the chunks.
const forUs = http1.HopByHop &^ (1<<http1.TransferEncoding | 1<<http1.Trailer)

// requestHead puts the head for the node into the replay: what the client sent, less what was for us, and more who the
// client is.
func (c *client) requestHead(r *http1.Request, data []byte) {
	b := c.ex.replay
	first := r.Size - 2
	if len(r.Fields) > 0 {
		first = r.Fields[0].Start
	}
	if r.Minor == 1 && !r.Absolute {
		b = append(b, data[r.Start:first]...)
	} else {
		b = append(append(b, r.Method...), ' ')
		b = append(b, r.Path...)
		if r.Query != nil {
			b = append(append(b, '?'), r.Query...)
		}
		b = append(b, " HTTP/1.1\r\n"...)
	}
	drop := forUs
	if c.cfg.XForwarded {
		drop |= ours
	}
	b = appendFields(b, &r.Head, data, drop)
	if !r.Has.Has(http1.Host) {
		b = append(append(append(b, "Host: "...), c.ownHost(r)...), '\r', '\n')
	}
	if c.ex.upgrade {
		b = append(append(append(b, "Connection: Upgrade\r\nUpgrade: "...), r.Upgrade...), '\r', '\n')
	}
	if c.cfg.XForwarded && r.Host != nil {
		b = append(append(append(b, "X-Forwarded-Host: "...), r.Host...), '\r', '\n')
	}
	b = append(b, c.tagged...)
	c.ex.replay = append(b, '\r', '\n')
}

// ownHost is the host of a request that names none.
func (c *client) ownHost(r *http1.Request) []byte {
	if r.Host != nil {
		return r.Host
	}
	if len(c.cfg.Listen) == 0 {
		return nil
	}
	return []byte(c.cfg.Listen[0].String())
}

// appendFields appends the header fields as they came, less those to drop and those that Connection names.
func appendFields(b []byte, h *http1.Head, data []byte, drop http1.Set) []byte {
	if len(h.Fields) == 0 {
		return b
	}
	from := h.Fields[0].Start
	if h.Nominates || h.Has.Any(drop) {
		for i := range h.Fields {
			f := &h.Fields[i]
			if drop.Has(f.Kind) || h.Nominates && !passes(h, f) {
				b = append(b, data[from:f.Start]...)
				from = f.End
			}
		}
	}
	return append(b, data[from:h.Size-2]...)
}

// passes says whether Connection leaves the field alone. What frames the body stays: the body does.
func passes(h *http1.Head, f *http1.Field) bool {
	return f.Kind == http1.TransferEncoding || f.Kind == http1.Trailer || h.EndToEnd(f)
}

// appendTags appends the fields that say who the client is.
func appendTags(b []byte, cfg *Service, from netip.AddrPort) []byte {
	addr := from.Addr().Unmap()
	if cfg.XForwarded {
		b = append(b, "X-Forwarded-For: "...)
		b = addr.AppendTo(b)
		b = append(b, "\r\nX-Forwarded-Proto: http\r\n"...)
	}
	if cfg.Forwarded {
		if addr.Is4() {
			b = append(b, "Forwarded: for="...)
			b = addr.AppendTo(b)
		} else { // RFC 7239 6
			b = append(b, `Forwarded: for="[`...)
			b = append(addr.AppendTo(b), `]"`...)
		}
		b = append(b, ";proto=http\r\n"...)
	}
	if cfg.Via {
		b = append(b, "Via: 1.1 muster\r\n"...)
	}
	return b
}

// responseHead returns the head for the client, or nil when it can have the one that came.
func (c *client) responseHead(r *http1.Response, data []byte) []byte {
	ex := &c.ex
	const connection = http1.HopByHop &^ (1<<http1.TransferEncoding | 1<<http1.Trailer | 1<<http1.Connection)
	says := c.keep == r.KeepAlive && (c.keep || r.Has.Has(http1.Connection))
	if says && ex.mode == asItCame && r.Minor == 1 && !ex.oldClient && !r.Nominates && !r.Has.Any(connection) {
		return nil
	}
	b := append(c.w.head[:0], "HTTP/1.1 "...)
	first := r.Size - 2
	if len(r.Fields) > 0 {
		first = r.Fields[0].Start
	}
	b = append(b, data[len("HTTP/1.1 "):first]...)
	drop := forUs
	if ex.mode == unchunked {
		drop |= 1<<http1.TransferEncoding | 1<<http1.Trailer
	}
	b = appendFields(b, &r.Head, data, drop)
	if ex.mode == chunked {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = append(c.appendConnection(b), '\r', '\n')
	c.w.head = b
	return b
}

// appendConnection appends what the client must be told of whether another request may follow.
func (c *client) appendConnection(b []byte) []byte {
	switch {
	case !c.keep:
		b = append(b, "Connection: close\r\n"...)
	case c.ex.oldClient:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}
