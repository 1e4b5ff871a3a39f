package main

import (
	"github.com/spf13/cobra"

	"muster/internal/wire"
)

func keyVerb() *cobra.Command {
	return section(&cobra.Command{
		Use:     "key",
		Short:   "make the cluster's key",
		GroupID: running,
	}, &cobra.Command{
		Use:   "new FILE",
		Short: "draw a new cluster key into a file",
		Long: `Draws a new cluster key and writes it to a new file that only you may read.

Every node of a cluster has the same key: copy the file to each, over a way that nobody can read. Whoever has the key
is a node to the others. An existing file is never overwritten.`,
		Example: `  muster key new cluster.key`,
		Args:    takes("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := wire.WriteKey(args[0], wire.NewKey()); err != nil {
				return err
			}
			say(c, "%s: copy it to every node of the cluster; mode 0600\n", args[0])
			return nil
		},
	})
}
