package http1

import (
	"bytes"
	"net/netip"
	"unsafe"
)

// authority says where the port begins in "host:port", len(b) when there is none, and -1 when b is neither. A host is a
// name of letters, digits, "-" and "_" between dots, or an IPv4 address, or an IPv6 address in brackets. RFC 3986 allows
// more, which no name in use has, and which readers understand differently: percent-encoding, sub-delims, user names.
func authority(b []byte) int {
	if len(b) == 0 || len(b) > 255+6 {
		return -1
	}
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 || !ipv6(b[1:i]) {
			return -1
		}
		return port(b, i+1)
	}
	last := byte('.')
	for i, c := range b {
		if class[c]&isHost == 0 {
			if c != ':' || i == 0 {
				return -1
			}
			return port(b, i)
		}
		if c == '.' && last == '.' {
			return -1
		}
		last = c
	}
	return len(b)
}

// port checks what follows the host, from i on: nothing, or a colon and a port.
func port(b []byte, i int) int {
	if i == len(b) {
		return i
	}
	if b[i] != ':' || len(b)-i > 6 {
		return -1
	}
	if n, ok := decimal(b[i+1:]); !ok || n > 65535 {
		return -1
	}
	return i
}

func ipv6(b []byte) bool {
	for _, c := range b {
		if class[c]&isHex == 0 && c != ':' && c != '.' {
			return false
		}
	}
	a, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(b), len(b))) // which keeps no part of an address without a zone
	return err == nil && a.Is6()
}
