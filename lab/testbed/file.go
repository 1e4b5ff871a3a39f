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
  www:
    vip: %q
    ports: [%d]
    dispatch: %s
    schedule: %s
    pool: web
%s%s`, strings.Join(names, ", "), webPort, p.Site, indented(c.Pool), c.VIP(), webPort,
		cmp.Or(c.Dispatch, "proxy"), cmp.Or(c.Schedule, "has"), indented(c.Service), c.Extra)
	return b.String()
}

// VIP is that of the service www.
func (c Cluster) VIP() netip.Addr {
	if c.IPv6 {
		return VIP6(0)
	}
	return VIP(0)
}

func (c Cluster) addresses(s Site) string {
	var list []string
	for _, j := range s.Jacks {
		a := j.IPv4
		if c.IPv6 {
			a = j.IPv6
		}
		list = append(list, fmt.Sprintf("%q", a))
	}
	return strings.Join(list, ", ")
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
