package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"muster/internal/wire"
	"muster/lab/peer"
)

// Muster starts clusters of the given program: a director that is measured, and a traffic node beside each web server
// that reports for it, as in any cluster. What the director does beside passing on requests is so in its figures.
func Muster(program string) StartProxy {
	return func(ctx context.Context, nodes []netip.AddrPort, listen netip.AddrPort, cpus []int) (Server, error) {
		dir, err := os.MkdirTemp("", "muster-bench-")
		if err != nil {
			return nil, fmt.Errorf("make a directory for the cluster: %w", err)
		}
		c := &running{dir: dir}
		if err := c.start(ctx, program, nodes, listen, cpus); err != nil {
			c.Stop()
			return nil, err
		}
		return c, nil
	}
}

// running is a cluster that runs; its first process is the director.
type running struct {
	dir       string
	processes []*peer.Process
}

func (c *running) start(ctx context.Context, program string, nodes []netip.AddrPort, listen netip.AddrPort, cpus []int) error {
	hosts := []netip.Addr{listen.Addr()}
	for _, n := range nodes {
		hosts = append(hosts, n.Addr())
	}
	port, err := peer.FreePort(hosts...)
	if err != nil {
		return err
	}
	file := filepath.Join(c.dir, "cluster.yaml")
	if err := os.WriteFile(file, []byte(clusterFile(nodes, listen, port)), 0o644); err != nil {
		return fmt.Errorf("write the cluster's file: %w", err)
	}
	if err := wire.WriteKey(filepath.Join(c.dir, "cluster.key"), wire.NewKey()); err != nil {
		return err
	}
	for i, host := range hosts {
		name, addr := fmt.Sprintf("t%d", i), netip.AddrPortFrom(host, port)
		if i == 0 {
			name, addr = "d1", listen
		} else {
			cpus = nil
		}
		cmd := exec.Command(program, "node", "--config", file, "--name", name)
		p, err := peer.Command(ctx, "muster node "+name, cmd, addr, cpus...)
		if err != nil {
			return err
		}
		c.processes = append(c.processes, p)
	}
	return nil
}

// clusterFile describes a director before web servers that something else runs. All nodes have one port for reports and
// API, on addresses of their own.
func clusterFile(nodes []netip.AddrPort, listen netip.AddrPort, port uint16) string {
	var hosts, names strings.Builder
	for i, n := range nodes {
		fmt.Fprintf(&hosts, "  t%d: {addresses: [%s], roles: [traffic]}\n", i+1, n.Addr())
		fmt.Fprintf(&names, " t%d,", i+1)
	}
	return fmt.Sprintf(`cluster: bench
key: cluster.key
state: state
threads: 1
ports: {report: %d, admin: %d}
nodes:
  d1: {addresses: [%s], roles: [director]}
%schecks:
  alive: {kind: tcp}
pools:
  web: {nodes: [%s], port: %d, check: alive}
services:
  www: {listen: ["%s"], kind: http, dispatch: proxy, schedule: rr, pool: web, forwarded: [x-forwarded]}
log: {level: warn}
`, port, port, listen.Addr(), &hosts, strings.Trim(names.String(), " ,"), nodes[0].Port(), listen)
}

// PIDs are those of the director.
func (c *running) PIDs() ([]int, error) { return c.processes[0].PIDs() }

// Stop ends the cluster and removes its files.
func (c *running) Stop() {
	for _, p := range c.processes {
		p.Stop()
	}
	_ = os.RemoveAll(c.dir) // nothing but what was generated
}

// MusterNode starts the given program's built-in web server, by the verb that is there for this.
func MusterNode(program string) StartNode {
	return func(ctx context.Context, root string, listen netip.AddrPort, cpus []int) (Server, error) {
		cmd := exec.Command(program, "bench", "serve", "--root", root, "--listen", listen.String())
		return peer.Command(ctx, "muster bench serve", cmd, listen, cpus...)
	}
}
