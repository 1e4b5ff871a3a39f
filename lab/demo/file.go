package demo

import (
	"fmt"
	"net/netip"
	"strings"

	"muster/lab/local"
)

// A File is the cluster.yaml of a cluster with one director on this machine.
type File struct {
	Place    local.Place
	Listen   netip.AddrPort // of the service www
	Schedule string         // of it; empty means the default
	Check    string         // the path that checks ask for; empty means /
	Nodes    []Node
	More     []Service
}

// A Node is a traffic node.
type Node struct {
	Name        string
	Weight      int    // 0 means 100
	Application string // what it runs for the pool web: a value in YAML
}

// A Service is one more, with a pool of its own.
type Service struct {
	Name        string
	Listen      netip.AddrPort
	Port        uint16 // of its application
	Nodes       []string
	Application string
}

// Serve is the application of a node with the built-in web server.
func Serve(root string) string {
	return fmt.Sprintf("{serve: {root: %q, listing: true, name-header: true, threads: 1}}", root)
}

// Text is the file. Its paths are relative to its directory, and its names those of package local.
func (f File) Text() string {
	var b strings.Builder
	p := f.Place
	fmt.Fprintf(&b, `# The cluster of muster demo: a director and %d traffic nodes, all on this machine.
# After a change: muster reload --config THIS-FILE
cluster: demo
key: %s
state: %s
threads: 1
ports: {report: %d, admin: %d}
timings: {slow-start: 3s, drain: 5s}
nodes:
  d1: {addresses: [%s], roles: [director]}
`, len(f.Nodes), local.KeyName, local.StateName, p.Report, p.Admin, p.Director)
	var names []string
	for i, n := range f.Nodes {
		names = append(names, n.Name)
		fmt.Fprintf(&b, "  %s:\n    addresses: [%s]\n    roles: [traffic]\n", n.Name, p.Nodes[i])
		if n.Weight != 0 {
			fmt.Fprintf(&b, "    weight: %d\n", n.Weight)
		}
		fmt.Fprintf(&b, "    applications: {web: %s}\n", n.Application)
	}
	check := f.Check
	if check == "" {
		check = "/"
	}
	fmt.Fprintf(&b, "checks:\n  page: {kind: http, path: %q}\n", check)
	fmt.Fprintf(&b, "pools:\n  web: {nodes: [%s], port: %d, check: page}\n", strings.Join(names, ", "), p.Application)
	for _, s := range f.More {
		fmt.Fprintf(&b, "  %s: {nodes: [%s], port: %d, application: %s}\n", s.Name, strings.Join(s.Nodes, ", "), s.Port, s.Application)
	}
	fmt.Fprintf(&b, "services:\n  www:\n    listen: [%q]\n    pool: web\n", f.Listen)
	if f.Schedule != "" {
		fmt.Fprintf(&b, "    schedule: %s\n", f.Schedule)
	}
	for _, s := range f.More {
		fmt.Fprintf(&b, "  %s: {listen: [%q], pool: %s}\n", s.Name, s.Listen, s.Name)
	}
	return b.String()
}
