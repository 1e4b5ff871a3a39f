package peer

import (
	"fmt"
	"net/netip"
	"strings"
)

// haproxyHead: the limit of open files of some machines is 20,000, and each connection takes two.
const haproxyHead = `global
	nbthread 1
	maxconn 8000
defaults
	maxconn 8000
	timeout connect 1s
	timeout client 75s
	timeout server 30s
	timeout http-keep-alive 75s
	retries 3
	option redispatch
	balance roundrobin
`

func haproxy(name string, addr netip.AddrPort, config string) Peer {
	return Peer{
		Name: name, Program: "haproxy", Package: "haproxy", Addr: addr,
		Args:  []string{"-db", "-f", "DIR/haproxy.cfg"},
		Files: map[string]string{"haproxy.cfg": config},
	}
}

// HAProxy is HAProxy as an HTTP proxy before the nodes.
func HAProxy(addr netip.AddrPort, nodes []netip.AddrPort) Peer {
	return haproxy("haproxy", addr, haproxyHead+fmt.Sprintf(`	mode http
	option http-keep-alive
	option forwardfor
	http-reuse always
frontend web
	bind %s backlog 4096
	http-request set-header X-Forwarded-Proto http
	http-request set-header X-Forwarded-Host %%[req.hdr(host)]
	default_backend nodes
backend nodes
%s`, addr, servers(nodes)))
}

// HAProxyTCP is HAProxy as a proxy of connections before the nodes.
func HAProxyTCP(addr netip.AddrPort, nodes []netip.AddrPort) Peer {
	return haproxy("haproxy-tcp", addr, haproxyHead+fmt.Sprintf(`	mode tcp
frontend web
	bind %s backlog 4096
	default_backend nodes
backend nodes
%s`, addr, servers(nodes)))
}

func servers(nodes []netip.AddrPort) string {
	var b strings.Builder
	for i, n := range nodes {
		fmt.Fprintf(&b, "\tserver n%d %s\n", i+1, n)
	}
	return b.String()
}
