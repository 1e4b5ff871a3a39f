package peer

import (
	"fmt"
	"net/netip"
	"strings"

	"muster/lab/site"
)

// StatusPath is where an nginx node says how many connections and requests it has had (ngx_http_stub_status_module).
const StatusPath = "/nginx-status"

const nginxHead = `daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr error;
pid DIR/nginx.pid;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	sendfile on;
	tcp_nopush on;
	tcp_nodelay on;
	keepalive_timeout 75s;
	keepalive_requests 1000000000;
	reset_timedout_connection on;
`

func nginx(name string, addr netip.AddrPort, config string) Peer {
	return Peer{
		Name: name, Program: "nginx", Package: "nginx-light", Addr: addr,
		Args:  []string{"-p", "DIR", "-c", "DIR/nginx.conf", "-e", "stderr"},
		Files: map[string]string{"nginx.conf": config},
	}
}

// NginxNode is nginx as a traffic node: it serves the files below root, and the generated pages of package site. Its
// answers name the node in X-Muster-Node. Started as root it is nobody, who must be able to read them.
func NginxNode(node string, addr netip.AddrPort, root string) Peer {
	return nginx("nginx", addr, NginxNodeConfig(node, addr, root))
}

// NginxNodeConfig is the configuration of NginxNode; DIR in it stands for a directory that nginx may write to. The address ::
// is every address, of IPv4 too.
func NginxNodeConfig(node string, addr netip.AddrPort, root string) string {
	listen := addr.String()
	if addr.Addr() == netip.IPv6Unspecified() {
		listen += " ipv6only=off"
	}
	return nginxHead + fmt.Sprintf(`	types {
		text/html html; text/css css; text/javascript js; text/plain txt;
		image/gif gif; image/jpeg jpg; image/png png; image/svg+xml svg;
	}
	open_file_cache max=20000 inactive=60s;
	open_file_cache_valid 10s;
	server {
		listen %s backlog=4096;
		root "%s";
		index index.html;
		add_header X-Muster-Node "%s" always;
		location = %s { stub_status; }
		location ~ "^%s(?<number>[0-9]{1,6})$" {
			default_type %s;
			return 200 "%s";
		}
	}
}
`, listen, root, node, StatusPath, site.PagePath, site.PageType, site.PageTemplate("$number"))
}

// tunedBuffers hold a reply of 64 kB in memory. With the buffers as shipped, 8 of 4 kB, nginx passes such a reply on in more
// and smaller pieces, at about twice the cost.
const tunedBuffers = `			proxy_buffer_size 16k;
			proxy_buffers 16 16k;
			proxy_busy_buffers_size 64k;
			proxy_max_temp_file_size 0;
`

// NginxProxy is nginx as a proxy before the nodes, with its buffers as shipped.
func NginxProxy(addr netip.AddrPort, nodes []netip.AddrPort) Peer {
	return nginxProxy("nginx", addr, nodes, "")
}

// NginxProxyTuned is nginx as a proxy before the nodes, with buffers as one who has long replies would choose them.
func NginxProxyTuned(addr netip.AddrPort, nodes []netip.AddrPort) Peer {
	return nginxProxy("nginx-tuned", addr, nodes, tunedBuffers)
}

func nginxProxy(name string, addr netip.AddrPort, nodes []netip.AddrPort, buffers string) Peer {
	var servers strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&servers, "\t\tserver %s max_fails=0;\n", n)
	}
	return nginx(name, addr, nginxHead+fmt.Sprintf(`	upstream nodes {
%s		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_timeout 75s;
	}
	server {
		listen %s backlog=4096;
		location / {
			proxy_pass http://nodes;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Host $http_host;
%s		}
	}
}
`, &servers, addr, buffers))
}
