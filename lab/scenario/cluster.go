package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"muster/lab/site"
	"muster/lab/testbed"
)

// A shape says how the cluster of a scenario is.
type shape struct {
	traffic  int                // nodes; 0 means 4
	nginx    []string           // which of them run nginx; nil means t1 and t2, the others run the built-in server
	cores    map[string]float64 // of the processors' time, by node
	offer    []offer            // nil means www: HTTP by dr, over both families
	packets  string             // the inner part of {} of packets in the file
	timings  string             // and of timings
	schedule string             // of all services; empty means rr, which gives each node the same share
	nodeOnB  bool               // nodes are known by their addresses in LAN B alone
	absent   []string           // machines that are not in the file yet
	dns      bool               // a second pool with a name server on every node
}

// An offer is one service over IPv4 and IPv6: two in the file.
type offer struct {
	name     string
	vip      int // which of the lab's VIPs
	ports    string
	dispatch string
	schedule string
	more     []string // further keys, a line each
	kind     string
	pool     string
}

const webPort = 80

// rr has each node get its turn: what it did not get is then told from chance.
const defaultSchedule = "rr"

func (c shape) filled() shape {
	if c.traffic == 0 {
		c.traffic = 4
	}
	if c.nginx == nil {
		c.nginx = []string{"t1", "t2"}
	}
	if c.offer == nil {
		c.offer = []offer{{name: "www", dispatch: "dr"}}
	}
	if c.schedule == "" {
		c.schedule = defaultSchedule
	}
	if c.timings == "" {
		c.timings = "slow-start: 0, drain: 20s"
	}
	return c
}

// addrs are a machine's addresses in the file.
func (c shape) addrs(s testbed.Site) string {
	a, b := s.Jack(testbed.LANA), s.Jack(testbed.LANB)
	if c.nodeOnB && s.Role == testbed.Traffic {
		return fmt.Sprintf("%s, %q", b.IPv4, b.IPv6)
	}
	if c.nodeOnB {
		return fmt.Sprintf("%s, %s, %q, %q", a.IPv4, b.IPv4, a.IPv6, b.IPv6)
	}
	return fmt.Sprintf("%s, %s, %q", a.IPv4, b.IPv4, a.IPv6)
}

// text is the cluster's file.
func (c shape) text(l *testbed.Layout, p testbed.Paths, docs *site.Tree) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: lab\nkey: %s\nthreads: 1\ntimings: {%s}\n", p.Key, c.timings)
	if c.packets != "" {
		fmt.Fprintf(&b, "packets: {%s}\n", c.packets)
	}
	b.WriteString("nodes:\n")
	var names []string
	for _, s := range l.With(testbed.Director) {
		fmt.Fprintf(&b, "  %s: {addresses: [%s], roles: [director]}\n", s.Name, c.addrs(s))
	}
	for _, s := range l.With(testbed.Traffic) {
		if slices.Contains(c.absent, s.Name) {
			continue
		}
		names = append(names, s.Name)
		fmt.Fprintf(&b, "  %s:\n    addresses: [%s]\n    roles: [traffic]\n    applications:\n      web: %s\n", s.Name, c.addrs(s), c.web(s, p, docs))
		if c.dns {
			fmt.Fprintf(&b, "      dns: %s\n", nameServer(s.Name))
		}
	}
	fmt.Fprintf(&b, "checks:\n  page: {kind: http, path: %q}\n", docs.Files[0].Path)
	if c.dns {
		fmt.Fprintf(&b, "  name: {kind: exec, command: [dig, +time=1, +tries=1, +short, \"@127.0.0.1\", TXT, %s], timeout: 900ms}\n", whoName)
	}
	all := strings.Join(names, ", ")
	fmt.Fprintf(&b, "pools:\n  web: {nodes: [%s], port: %d, check: page}\n", all, webPort)
	if c.dns {
		fmt.Fprintf(&b, "  dns: {nodes: [%s], port: 53, check: name}\n", all)
	}
	b.WriteString("services:\n")
	for _, o := range c.offer {
		o.write(&b, o.name+"4", o.VIP4().String(), c.schedule)
		o.write(&b, o.name+"6", o.VIP6().String(), c.schedule)
	}
	return b.String()
}

func (o offer) VIP4() netip.Addr { return testbed.VIP(o.vip) }
func (o offer) VIP6() netip.Addr { return testbed.VIP6(o.vip) }

// both are where its clients come in.
func (o offer) both(port uint16) []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(o.VIP4(), port), netip.AddrPortFrom(o.VIP6(), port)}
}

func (o offer) write(b *strings.Builder, name, vip, schedule string) {
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	fmt.Fprintf(b, "  %s:\n    vip: %q\n    ports: %s\n    kind: %s\n    dispatch: %s\n    schedule: %s\n    pool: %s\n", name, vip,
		or(o.ports, fmt.Sprintf("[%d]", webPort)), or(o.kind, "http"), o.dispatch, or(o.schedule, schedule), or(o.pool, "web"))
	for _, line := range o.more {
		fmt.Fprintf(b, "    %s\n", line)
	}
}

// web is what a node runs for the pool web.
func (c shape) web(s testbed.Site, p testbed.Paths, docs *site.Tree) string {
	if !slices.Contains(c.nginx, s.Name) {
		return fmt.Sprintf("{serve: {root: %q, name-header: true, threads: 1}}", docs.Root)
	}
	return fmt.Sprintf("{run: {command: [nginx, -c, %q, -e, stderr]}}", nginxFile(p, s.Name))
}

func nginxFile(p testbed.Paths, node string) string { return p.Dir + "/nginx-" + node + ".conf" }

// nginxText is the configuration of a node's nginx. Its master is root, as from a package; what it writes is in the node's own
// /var. /upload takes a body whole before anything answers it, and says how long it was.
func nginxText(node string, docs *site.Tree) string {
	return fmt.Sprintf(`daemon off;
worker_processes 1;
error_log stderr error;
pid /var/nginx.pid;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path /var/nginx-body;
	proxy_temp_path /var/nginx-proxy;
	fastcgi_temp_path /var/nginx-fastcgi;
	uwsgi_temp_path /var/nginx-uwsgi;
	scgi_temp_path /var/nginx-scgi;
	sendfile on;
	keepalive_timeout 75s;
	keepalive_requests 1000000000;
	client_max_body_size 1g;
	server {
		listen %[1]d;
		listen [::]:%[1]d;
		root %[2]q;
		add_header X-Muster-Node %[3]q always;
		location = /upload { proxy_pass http://127.0.0.1:8099/; }
	}
	server {
		listen 127.0.0.1:8099;
		client_max_body_size 1g;
		location = / { return 200 "$http_content_length"; }
	}
}
`, webPort, docs.Root, node)
}

// whoName is the name whose text record says which node answers.
const whoName = "node.lab"

// nameServer is dnsmasq, with one name of its own.
func nameServer(node string) string {
	return fmt.Sprintf("{run: {command: [dnsmasq, -k, -C, /dev/null, --log-facility=-, --no-resolv, --no-hosts, --user=root, "+
		"--pid-file=/var/dnsmasq.pid, --edns-packet-max=4096, \"--txt-record=%s,%s\"]}}", whoName, node)
}
