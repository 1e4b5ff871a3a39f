package role

import (
	"fmt"
	"slices"
	"strings"

	"muster/config"
)

// fixed refuses what a running node cannot change about itself: its place in the cluster, and where it is reached.
func fixed(old, f *config.File, name string) error {
	was, is := old.Node(name), f.Node(name)
	restart := "; write it as it was, or start this node again"
	switch {
	case is == nil:
		return fmt.Errorf("%s is no longer among the nodes: stop this node, or put it back into the file", name)
	case old.Cluster != f.Cluster:
		return fmt.Errorf("cluster: %s cannot become %s while a node runs%s", old.Cluster, f.Cluster, restart)
	case old.Key != f.Key:
		return fmt.Errorf("key: %s cannot become %s while a node runs%s", old.Key, f.Key, restart)
	case old.State != f.State:
		return fmt.Errorf("state: %s cannot become %s while a node runs%s", old.State, f.State, restart)
	case !slices.Equal(was.Roles, is.Roles):
		return fmt.Errorf("nodes.%s.roles: %v cannot become %v while the node runs%s", name, was.Roles, is.Roles, restart)
	case !slices.Equal(was.Addresses, is.Addresses):
		return fmt.Errorf("nodes.%s.addresses: %v cannot become %v while the node runs%s", name, was.Addresses, is.Addresses, restart)
	case was.Ports != is.Ports:
		return fmt.Errorf("nodes.%s.ports: report %d and admin %d cannot become %d and %d while the node runs%s",
			name, was.Ports.Report, was.Ports.Admin, is.Ports.Report, is.Ports.Admin, restart)
	}
	return nil
}

// later lists what has changed but is followed only by a node that is started again.
func later(old, f *config.File, name string) []string {
	var list []string
	note := func(changed bool, format string, args ...any) {
		if changed {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	note(threads(old) != threads(f), "threads: %d -> %d", threads(old), threads(f))
	note(old.Timings.Drain != f.Timings.Drain, "timings.drain: %s -> %s", old.Timings.Drain, f.Timings.Drain)
	note(old.Packets != f.Packets, "packets: %+v -> %+v", old.Packets, f.Packets)
	was, is := old.Node(name).Interfaces, f.Node(name).Interfaces
	note(!slices.Equal(was, is), "nodes.%s.interfaces: %v -> %v", name, was, is)
	note(old.Log.Format != f.Log.Format, "log.format: %s -> %s", old.Log.Format, f.Log.Format)
	return list
}

// lines are the single sentences of an error that may have several.
func lines(err error) []string { return strings.Split(err.Error(), "\n") }
