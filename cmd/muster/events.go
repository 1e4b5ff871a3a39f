package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"muster/console"
)

func eventsVerb() *cobra.Command {
	var output string
	var goOn bool
	c := &cobra.Command{
		Use:     "events",
		Short:   "list the last changes of state",
		GroupID: seeing,
		Long: `Lists the last changes of state that a director has seen, up to 256 since it was started: of nodes, of wishes, of its
file. Times are by its clock.`,
		Example: `  muster events
  muster events --follow
  muster events -o json                  # an object a line`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			_, f, err := readFile(c)
			if err != nil {
				return err
			}
			d, last, whose := directorsOf(f), console.Event{}, ""
			show := func(ctx context.Context) error {
				list, err := anyOf(ctx, d, func(ctx context.Context, c contact) ([]console.Event, error) {
					if c.name != whose { // each counts its own events
						whose, last.Number = c.name, 0
					}
					return c.Events(ctx, last.Number)
				})
				if err != nil {
					return err
				}
				for _, e := range list {
					if e.At.Before(last.At) {
						continue // another director has told it
					}
					last = e
					if err := printEvent(c, e, output); err != nil {
						return err
					}
				}
				return nil
			}
			if goOn {
				return follow(c.Context(), 500*time.Millisecond, show)
			}
			return show(c.Context())
		},
	}
	outputFlag(c, &output, "table", "json")
	c.Flags().BoolVarP(&goOn, "follow", "f", false, "go on listing them as they happen")
	return c
}

func printEvent(c *cobra.Command, e console.Event, output string) error {
	if output == "json" {
		return json.NewEncoder(c.OutOrStdout()).Encode(e)
	}
	reason := ""
	if e.Reason != "" {
		reason = "  (" + e.Reason + ")"
	}
	say(c, "%s  %-11s  %s: %s%s\n", e.At.Local().Format("2006-01-02 15:04:05.000"), e.Kind, e.Name, e.Change, reason)
	return nil
}
