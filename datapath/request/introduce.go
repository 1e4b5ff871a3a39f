package request

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"

	"muster/cluster"
	"muster/internal/loop"
)

// The PROXY protocol tells who a connection is from when another proxy stands between (haproxy.org, proxy-protocol.txt):
// in from proxies that the service trusts, out to nodes that want it.

const (
	introV1Most = 107      // bytes of a header of version 1
	introV2Most = 16 + 536 // and of version 2, with what is useful of its extensions
)

var introV2Begin = []byte("\r\n\r\n\x00\r\nQUIT\n")

func trusted(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// readIntroduction reads the PROXY header that is due ahead of everything else.
func (c *client) readIntroduction() bool {
	n, err := c.conn.Read(c.w.loop.Scratch[:introV2Most])
	if err != nil {
		if err != loop.ErrAgain {
			c.close()
		}
		return false
	}
	c.in = append(c.w.pool.grow(c.in, n), c.w.loop.Scratch[:n]...)
	size, err := introSize(c.in)
	if err == nil && size == 0 {
		return true // not whole yet
	}
	var header *proxyproto.Header
	if err == nil {
		header, err = proxyproto.Read(bufio.NewReader(bytes.NewReader(c.in[:size])))
	}
	if err != nil {
		if c.w.mayWarn() {
			c.w.p.log.Warn("bad PROXY header", "service", c.v.s.name, "client", c.from, "reason", err.Error())
		}
		c.v.count.refuse(BadProxyHeader)
		c.close()
		return false
	}
	if tcp, ok := header.SourceAddr.(*net.TCPAddr); ok && !header.Command.IsLocal() {
		c.introduce(tcp.AddrPort())
	}
	c.phase = resting
	c.keepInput(c.in, size)
	if c.cfg.Kind == cluster.TCP {
		c.startTunnel()
	}
	return true
}

// introSize is how many bytes the header at the beginning of b has; 0 while it is not whole.
func introSize(b []byte) (int, error) {
	if n := min(len(b), len(introV2Begin)); bytes.Equal(b[:n], introV2Begin[:n]) {
		if len(b) < 16 {
			return 0, nil
		}
		size := 16 + int(b[14])<<8 + int(b[15])
		if size > introV2Most {
			return 0, proxyproto.ErrInvalidLength
		}
		if len(b) < size {
			return 0, nil
		}
		return size, nil
	}
	if n := min(len(b), 6); !bytes.Equal(b[:n], []byte("PROXY ")[:n]) {
		return 0, proxyproto.ErrNoProxyProtocol
	}
	if i := bytes.IndexByte(b[:min(len(b), introV1Most)], '\n'); i >= 0 {
		return i + 1, nil
	}
	if len(b) >= introV1Most {
		return 0, proxyproto.ErrCantReadVersion1Header
	}
	return 0, nil
}

// introduction is the PROXY header for the node.
func (c *client) introduction() []byte {
	to := loop.LocalAddr(c.conn.FD())
	h := proxyproto.HeaderProxyFromAddrs(byte(c.cfg.ProxySend), net.TCPAddrFromAddrPort(c.from), net.TCPAddrFromAddrPort(to))
	b, err := h.Format()
	if err != nil {
		// The two families differ, as they may behind another proxy: "unknown" is what the protocol has for that.
		return []byte("PROXY UNKNOWN\r\n")
	}
	return b
}
