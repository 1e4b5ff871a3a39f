package main

import (
	"github.com/spf13/cobra"

	"muster/lab/bench"
)

func benchPacketVerb() *cobra.Command {
	var output, plot string
	opt := bench.PacketOptions{Options: bench.Options{Rounds: 9}}
	c := &cobra.Command{
		Use:   "packet",
		Short: "what dispatch in the kernel costs a packet: dr, tunnel, nat; known and new flows",
		Long: `Loads the program that dispatches in the kernel, with services of each kind, and has it dispatch packets of one flow, of
many flows in turn, and of ever new ones (BPF_PROG_TEST_RUN). That is the cost of the program alone: no network card, no
driver, no interrupt.

The figure of a dispatch in the JSON is that of the family, IPv4 or IPv6, that costs more. Needs root, and no network: it
makes one that is seen nowhere else.`,
		Example: `  sudo muster bench packet
  sudo muster bench packet -o json --plot packet.svg`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &output, "table", "json")
	c.Flags().StringVar(&plot, "plot", "", "draw the figures into this SVG file, too")
	c.Flags().IntVar(&opt.Rounds, "rounds", opt.Rounds, "how often each is measured; the figures are the medians")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := oneOf("output", output, "table", "json"); err != nil {
			return err
		}
		if opt.Rounds <= 0 {
			return usage("--rounds must be above 0")
		}
		shown := show(&opt.Options)
		r, err := bench.Packet(c.Context(), opt)
		shown()
		if err != nil {
			return err
		}
		if plot != "" {
			if err := r.Plot(plot); err != nil {
				return err
			}
		}
		if output == "json" {
			return printJSON(c, r)
		}
		return r.Table(c.OutOrStdout())
	}
	return c
}
