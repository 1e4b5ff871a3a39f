package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"muster/config"
)

const systemFile = "/etc/muster/cluster.yaml"

// filePath is where the cluster's file is: where --config says, $MUSTER_CONFIG, this directory, or the system's place.
func filePath(c *cobra.Command) (string, error) {
	if path, _ := c.Flags().GetString("config"); path != "" {
		return path, nil
	}
	if path := os.Getenv("MUSTER_CONFIG"); path != "" {
		return path, nil
	}
	for _, path := range []string{"cluster.yaml", systemFile} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", coded{errors.New("there is no cluster.yaml here and no " + systemFile +
		": name the cluster's file with --config or in $MUSTER_CONFIG"), exitFile}
}

// readFile reads and checks the cluster's file.
func readFile(c *cobra.Command) (string, *config.File, error) {
	path, err := filePath(c)
	if err != nil {
		return "", nil, err
	}
	f, err := readFileAt(path)
	return path, f, err
}

func readFileAt(path string) (*config.File, error) {
	f, err := config.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if abs, absErr := filepath.Abs(path); absErr == nil {
			path = abs
		}
		return nil, coded{fmt.Errorf("there is no file %s: name the cluster's file with --config or in $MUSTER_CONFIG", path), exitFile}
	case err != nil:
		return nil, coded{err, exitFile}
	}
	return f, nil
}

// nodeHere is the node that this machine is: the one with one of its addresses, or with its name.
func nodeHere(f *config.File) (string, error) {
	var addrs []netip.Addr
	list, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("list this machine's addresses: %w; name the node with --name", err)
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addrs = append(addrs, p.Addr())
		}
	}
	n, err := f.NodeFor(addrs)
	if err == nil {
		return n.Name, nil
	}
	if host, hostErr := os.Hostname(); hostErr == nil && f.Node(host) != nil {
		return host, nil
	}
	return "", usage("%w with --name", err)
}
