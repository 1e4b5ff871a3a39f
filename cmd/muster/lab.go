package main

import "github.com/spf13/cobra"

func labVerb() *cobra.Command {
	return section(&cobra.Command{
		Use:     "lab",
		Short:   "a cluster with a real network on this machine: clients, router, LANs, nodes",
		GroupID: trying,
	})
}
