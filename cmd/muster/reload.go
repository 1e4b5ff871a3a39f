package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"muster/config"
	"muster/console"
)

func reloadVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "reload [NODE...]",
		Short:   "have nodes read their file again",
		GroupID: acting,
		Long: `Has nodes read their copy of the file again, one after the other: those that are named, or all of the cluster. No
connection of what stays in the file notices. A node whose copy is wrong, or asks for what cannot change while it runs,
changes nothing and says why; the nodes after it are not asked.

The file here is checked first; if it is wrong no node is asked.`,
		Example: `  muster config check && muster reload
  muster reload d1 d2`,
		ValidArgsFunction: completeNodes,
		RunE: func(c *cobra.Command, args []string) error {
			_, f, err := readFile(c)
			if err != nil {
				return err
			}
			nodes, err := named(f, args)
			if err != nil {
				return err
			}
			var silent []string
			for _, n := range contactsOf(f, nodes) {
				t := askOne(c.Context(), n, 2*time.Minute, func(ctx context.Context, n contact) (console.File, error) { return n.Reload(ctx) })
				switch {
				case t.err == nil:
					say(c, "%s: follows file %s, revision %d\n", n.name, t.answer.Hash, t.answer.Revision)
				case t.refused():
					return coded{fmt.Errorf("%s: %w", n.name, plainError(t.err)), exitRefused}
				default:
					silent = append(silent, n.name)
					say(c, "%s: %s\n", n.name, t.err)
				}
			}
			if len(silent) > 0 {
				return coded{fmt.Errorf("not reached: %s; a node reads the file when it starts", strings.Join(silent, ", ")), exitUnreachable}
			}
			return nil
		},
	}
}

// named are the nodes of those names; no names are all nodes.
func named(f *config.File, names []string) ([]*config.Node, error) {
	var list []*config.Node
	for i := range f.Nodes {
		if len(names) == 0 {
			list = append(list, &f.Nodes[i])
		}
	}
	for _, name := range names {
		n := f.Node(name)
		if n == nil {
			var all []string
			for i := range f.Nodes {
				all = append(all, f.Nodes[i].Name)
			}
			return nil, usage("cluster %s has no node %q; its nodes are %s", f.Cluster, name, strings.Join(all, ", "))
		}
		list = append(list, n)
	}
	return list, nil
}
