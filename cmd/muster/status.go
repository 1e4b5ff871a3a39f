package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"muster/cmd/muster/live"
	"muster/console"
)

func statusVerb() *cobra.Command {
	var output string
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use:     "status",
		Short:   "show the nodes and services of the cluster",
		GroupID: seeing,
		Long: `Asks a director of the file, any that answers, and shows the cluster as it sees it.

  STATE   active, in-transition (finishes what it has), standby, or out, and under REASON why
  WISH    what an operator wants: drain or maint; nothing is ready
  INDEX   the load index of HAS 3.22.6, ROOM the index of schedule load: larger is more room
  BUSY    the fullest of processors, memory and links
  SERVED  responses (http) and connections (tcp) since the director was started; FAILED those that another node took over

Of services that are dispatched in the kernel, CLIENTS, REQUESTS and RATE/S are connections, and ERRORS are packets that went
nowhere or were answered with a reset. What the kernel has counted outlives the director's process. PORT says where and how
packets are dispatched.`,
		Example: `  muster status
  muster status --watch
  muster status -o json | jq '.director.nodes[] | select(.state != "active") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			_, f, err := readFile(c)
			if err != nil {
				return err
			}
			d := directorsOf(f)
			ask := func(ctx context.Context) (console.Status, error) {
				return anyOf(ctx, d, func(ctx context.Context, c contact) (console.Status, error) { return c.Status(ctx) })
			}
			switch {
			case watch && output == "json":
				return follow(c.Context(), every, func(ctx context.Context) error {
					s, err := ask(ctx)
					if err != nil {
						return err
					}
					return json.NewEncoder(c.OutOrStdout()).Encode(s)
				})
			case watch:
				return live.Watch(c.Context(), c.OutOrStdout(), live.Config{Every: every}, ask)
			}
			s, err := ask(c.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(c, s)
			}
			say(c, "%s", live.Text(s, time.Now(), 0, live.Terminal(c.OutOrStdout())))
			return nil
		},
	}
	outputFlag(c, &output, "table", "json")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on showing it; q leaves")
	c.Flags().DurationVar(&every, "every", time.Second, "how often to look, with --watch")
	return c
}

// follow does it again and again, until told to stop.
func follow(ctx context.Context, every time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(max(every, 10*time.Millisecond))
	defer tick.Stop()
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
