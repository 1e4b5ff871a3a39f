package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"muster/cluster"
	"muster/cmd/muster/live"
	"muster/console"
)

func drainVerb() *cobra.Command {
	var wait bool
	var atMost time.Duration
	c := wishVerb(cluster.Drain, &cobra.Command{
		Use:   "drain NODE",
		Short: "give a node no new work, and let it finish what it has",
		Long: `Gives a node no new work and lets it finish what it has. Every director is told; each keeps the wish over a restart.
Take it back with ` + "`muster undrain NODE`" + `.`,
		Example: `  muster drain t1 --reason "new disk"
  muster drain t1 --wait && ssh t1 reboot`,
	})
	tell := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := tell(c, args); err != nil || !wait {
			return err
		}
		return awaitDrained(c, args[0], atMost)
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the node has nothing under way")
	c.Flags().DurationVar(&atMost, "timeout", 0, "wait this long at most (0: for as long as it takes)")
	return c
}

func undrainVerb() *cobra.Command {
	return wishVerb(cluster.Ready, &cobra.Command{
		Use:     "undrain NODE",
		Aliases: []string{"ready"},
		Short:   "give a node work again, after drain or maint",
		Long:    "Gives a node work again, after drain or maint. It starts slowly (timings.slow-start).",
		Example: `  muster undrain t1`,
	})
}

func maintVerb() *cobra.Command {
	return wishVerb(cluster.Maint, &cobra.Command{
		Use:   "maint NODE",
		Short: "take a node out at once, whatever it says of itself",
		Long: `Takes a node out at once, whatever it says of itself: what it has under way goes to other nodes where that is safe.
For a machine that has failed or is about to be opened. To let it finish first, use drain.`,
		Example: `  muster maint t1 --reason "fan is broken"`,
	})
}

// wishVerb has the verb tell every director what is wanted of a node.
func wishVerb(wish cluster.Wish, c *cobra.Command) *cobra.Command {
	var reason string
	c.GroupID = acting
	c.Args = takes("NODE")
	c.ValidArgsFunction = completeNodes
	c.RunE = func(c *cobra.Command, args []string) error {
		_, f, err := readFile(c)
		if err != nil {
			return err
		}
		node := args[0]
		answered, silent := everyOf(c.Context(), directorsOf(f), func(ctx context.Context, c contact) (any, error) {
			return nil, c.Wish(ctx, node, wish, reason)
		})
		if len(answered) == 0 {
			return unreachable(f, silent)
		}
		for _, t := range answered {
			if t.err != nil {
				return coded{fmt.Errorf("director %s refuses: %w", t.name, plainError(t.err)), exitRefused}
			}
		}
		for _, t := range silent {
			fmt.Fprintf(c.ErrOrStderr(), "muster: director %s was not told, for it does not answer; say it again when it does\n", t.name)
		}
		say(c, "%s: %s\n", node, wish)
		return nil
	}
	c.Flags().StringVarP(&reason, "reason", "r", "", "why; shown in status and in the log")
	return c
}

// plainError is what a node answered, without where it was asked.
func plainError(err error) error {
	if e, ok := errors.AsType[*console.Error](err); ok {
		return e
	}
	return err
}

// awaitDrained waits until no director has anything under way at the node.
func awaitDrained(c *cobra.Command, node string, atMost time.Duration) error {
	_, f, err := readFile(c)
	if err != nil {
		return err
	}
	ctx, d := c.Context(), directorsOf(f)
	if atMost > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, atMost)
		defer cancel()
	}
	last, terminal := int64(-1), live.Terminal(c.OutOrStdout())
	done := errors.New("")
	err = follow(ctx, 200*time.Millisecond, func(ctx context.Context) error {
		answered, silent := everyOf(ctx, d, func(ctx context.Context, c contact) (console.Status, error) { return c.Status(ctx) })
		if len(answered) == 0 {
			return unreachable(f, silent)
		}
		left := int64(0)
		for _, t := range answered {
			left += underWay(t.answer, node)
		}
		switch {
		case terminal:
			say(c, "\r\033[K%s: %d under way", node, left)
		case left != last:
			say(c, "%s: %d under way\n", node, left)
		}
		if last = left; left == 0 {
			return done
		}
		return nil
	})
	if terminal {
		say(c, "\n")
	}
	switch {
	case errors.Is(err, done):
		return nil
	case err == nil && ctx.Err() != nil:
		return fmt.Errorf("%s still has %d requests or connections under way; it stays drained: wait on, or cut them with `muster maint %s`", node, max(last, 0), node)
	}
	return err
}

func underWay(s console.Status, node string) (n int64) {
	if s.Director != nil {
		for _, v := range s.Director.Nodes {
			if v.Name == node {
				n += v.Connections
			}
		}
	}
	return n
}
