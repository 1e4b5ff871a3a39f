package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"muster/lab/local"
	"muster/lab/peer"
)

// Muster starts clusters of the given program: a director that is measured, and a traffic node beside each web server
// that reports for it, as in any cluster. What the director does beside passing on requests is so in its figures.
func Muster(program string) StartProxy {
	return func(ctx context.Context, at Stage) (Server, error) {
		c, err := local.New(local.Config{Program: program, Prefix: "muster-bench-", Hosts: at.hosts()})
		if err != nil {
			return nil, err
		}
		err = c.Write(clusterFile(at))
		if err == nil {
			err = c.Start(ctx)
		}
		if err != nil {
			c.Stop()
			return nil, err
		}
		return director{c}, nil
	}
}

// hosts say where each node of the cluster runs.
func (at *Stage) hosts() map[string]peer.Host {
	hosts := map[string]peer.Host{"d1": at.Under}
	for i := range at.Nodes {
		hosts[nodeName(i)] = at.Beside[i]
	}
	return hosts
}

func nodeName(i int) string { return fmt.Sprintf("t%d", i+1) }

// A director is a cluster, of which the director is measured.
type director struct{ *local.Cluster }

// PIDs are those of the director.
func (d director) PIDs() ([]int, error) { return d.Process("d1").PIDs() }

// clusterFile describes a director before web servers that something else runs. All nodes have one port for reports and
// API, on addresses of their own.
func clusterFile(at Stage) string {
	var hosts, names strings.Builder
	for i, n := range at.Nodes {
		fmt.Fprintf(&hosts, "  %s: {addresses: [%s], roles: [traffic]}\n", nodeName(i), n.Addr())
		fmt.Fprintf(&names, " %s,", nodeName(i))
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
`, at.Control, at.Control, at.Back, &hosts, strings.Trim(names.String(), " ,"), at.Nodes[0].Port(), at.Listen)
}

// MusterNode starts the given program's built-in web server, by the verb that is there for this.
func MusterNode(program string) StartNode {
	return func(ctx context.Context, root string, listen netip.AddrPort, on peer.Host) (Server, error) {
		cmd := exec.Command(program, "bench", "serve", "--root", root, "--listen", listen.String())
		return peer.Command(ctx, "muster bench serve", cmd, listen, on)
	}
}
