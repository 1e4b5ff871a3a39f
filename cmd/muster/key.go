package main

import (
	"github.com/spf13/cobra"

	"muster/console"
	"muster/internal/wire"
)

func keyVerb() *cobra.Command {
	return section(&cobra.Command{
		Use:     "key",
		Short:   "make the cluster's key, and the token that follows from it",
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
	}, keyTokenVerb())
}

func keyTokenVerb() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "token",
		Short: "print the token that changes things through the API",
		Long: `Prints the token that the API of every node of the cluster takes, as Authorization: Bearer TOKEN. It follows from the
cluster key and does not betray it. It stays the same for as long as the key does: whoever has seen it may drain nodes.`,
		Example: `  muster key token
  curl http://192.168.1.10:7946/v1/reload -X POST -H "Authorization: Bearer $(muster key token --key cluster.key)"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				_, f, err := readFile(c)
				if err != nil {
					return err
				}
				path = f.Key
			}
			key, err := wire.ReadKey(path)
			if err != nil {
				return err
			}
			say(c, "%s\n", console.Token(key[:]))
			return nil
		},
	}
	c.Flags().StringVar(&path, "key", "", "file of the cluster key (default: the one that the cluster's file names)")
	_ = c.MarkFlagFilename("key", "key") // the flag exists
	return c
}
