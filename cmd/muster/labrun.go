package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"muster/lab/scenario"
)

func labRunVerb() *cobra.Command {
	var cfg scenario.Config
	var output, plot string
	c := &cobra.Command{
		Use:   "run SCENARIO...",
		Short: "do something to a cluster while clients ask, and say what they saw",
		Long: `Builds a lab for each of the scenarios, starts its cluster, has clients ask, does what the scenario says, and looks whether
clients saw what they must. ` + "`muster lab list`" + ` says what there is; the word all means all of them.

A lab is a network of namespaces on this machine: nothing of it is seen outside, and nothing is left of it. It needs root,
and the Debian packages nginx-light, wrk, curl, dnsmasq-base, bind9-dnsutils, nftables and iproute2. The exit code is 1 when
a scenario does not pass.`,
		Example: `  sudo muster lab run dr
  sudo muster lab run node-lost node-drained --plot lost.svg
  sudo muster lab run all -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("name a scenario, or all; `muster lab list` says what there is")
			}
			if _, err := scenario.Find(args...); err != nil {
				return usage("%w", err)
			}
			return nil
		},
		ValidArgs: append(scenario.Names(), "all"),
		RunE: func(c *cobra.Command, names []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			var err error
			if cfg.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program, to start it as a node: %w", err)
			}
			ctx, stop := whileWanted(c.Context())
			defer stop()
			cfg.Progress = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
			r, err := scenario.Run(ctx, cfg, names...)
			if r == nil {
				return err
			}
			if perr := printReport(c, r, output, plot); err == nil {
				err = perr
			}
			if err == nil && r.Failed > 0 {
				err = fmt.Errorf("%d of %d scenarios did not pass", r.Failed, r.Failed+r.Passed)
			}
			return err
		},
	}
	outputFlag(c, &output, "table", "json")
	c.Flags().StringVar(&plot, "plot", "", "draw what clients saw, second by second, into this SVG file, too")
	c.Flags().BoolVar(&cfg.Keep, "keep", false, "leave the directories with files and logs")
	c.Flags().BoolVar(&cfg.Short, "short", false, "with half as much load")
	return c
}

func printReport(c *cobra.Command, r *scenario.Report, output, plot string) error {
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

func labListVerb() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "the scenarios that there are: what each does, and what clients must see of it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			if output == "json" {
				return printJSON(c, scenario.All())
			}
			for _, s := range scenario.All() {
				say(c, "%s\n  does: %s\n  must: %s\n", s.Name, s.Does, s.Must)
			}
			return nil
		},
	}
	outputFlag(c, &output, "table", "json")
	return c
}
