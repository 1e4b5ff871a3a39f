package testbed

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"muster/lab/peer"
)

// webPort is where the applications listen. With dispatch in the kernel a packet keeps its port, so it is the services' too.
const webPort = 80

// Text is the cluster's file.
func (c Cluster) Text(l *Layout, p Paths) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The cluster of a lab. After a change: muster reload
cluster: lab
key: %s
threads: 1
timings: {%s}
`, p.Key, cmp.Or(c.Timings, "slow-start: 0s, drain: 5s"))
	if c.XDP != "" {
		fmt.Fprintf(&b, "packets: {mode: %s}\n", c.XDP)
	}
	b.WriteString("nodes:\n")
	var names []string
	for _, s := range l.Sites {
		if !s.Runs() {
			continue
		}
		fmt.Fprintf(&b, "  %s: {addresses: [%s], roles: [%s]", s.Name, c.addresses(s), s.Role)
		if s.Role == Traffic {
			names = append(names, s.Name)
		}
		if c.nginx(s) {
			fmt.Fprintf(&b, ", applications: {web: {run: {command: [nginx, -p, %s, -c, nginx.conf, -e, stderr]}}}", nginxDir)
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(&b, `checks:
  page: {kind: http, path: /}
pools:
  web:
    nodes: [%s]
    port: %d
    check: page
    application: {serve: {root: %q, name-header: true, threads: 1}}
%sservices:
`, strings.Join(names, ", "), webPort, p.Site, indented(c.Pool))
	for i, vip := range c.VIPs() {
		fmt.Fprintf(&b, "  %s:\n    vip: %q\n    ports: [%d]\n    dispatch: %s\n    schedule: %s\n    pool: web\n%s",
			[]string{"www", "www6"}[i], vip, webPort, cmp.Or(c.Dispatch, "proxy"), cmp.Or(c.Schedule, "has"), indented(c.Service))
	}
	return b.String() + c.Extra
}

// VIPs are those of the service www, and of www6, which is the same over IPv6.
func (c Cluster) VIPs() []netip.Addr {
	if c.IPv6 {
		return []netip.Addr{VIP6(0)}
	}
	return []netip.Addr{VIP(0), VIP6(0)}
}

// addresses are those of a node in the file. One of IPv6 is enough for packets to find it by.
func (c Cluster) addresses(s Site) string {
	a, b := s.Jack(LANA), s.Jack(LANB)
	list := []netip.Addr{a.IPv4, b.IPv4, a.IPv6}
	if c.IPv6 {
		list = []netip.Addr{a.IPv6, b.IPv6}
	}
	var words []string
	for _, addr := range list {
		words = append(words, fmt.Sprintf("%q", addr))
	}
	return strings.Join(words, ", ")
}

func indented(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// nginx says whether the machine runs nginx.
func (c Cluster) nginx(s Site) bool {
	var number int
	if s.Role != Traffic {
		return false
	}
	_, err := fmt.Sscanf(s.Name, "t%d", &number)
	return c.App == Nginx || c.App == Mixed && err == nil && number%2 == 1
}

// nginxDir is where nginx keeps its things on a machine.
const nginxDir = "/var/lib/nginx"

func nginxConfig(s Site, root string) string {
	every := netip.AddrPortFrom(netip.IPv6Unspecified(), webPort)
	return strings.ReplaceAll(peer.NginxNodeConfig(s.Name, every, root), "DIR", nginxDir)
}
