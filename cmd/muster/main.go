// Muster turns a handful of Linux machines into one fast web server that does not go down. This is its one program: each
// verb is a file beside this one, and does no more than hand what was typed to the package that knows.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// verbs are all that muster can be told, in the order of its help.
func verbs() []*cobra.Command {
	return []*cobra.Command{
		demoVerb(),
		benchVerb(),
		labVerb(),
		nodeVerb(),
		statusVerb(),
		doctorVerb(),
		eventsVerb(),
		drainVerb(),
		undrainVerb(),
		maintVerb(),
		reloadVerb(),
		keyVerb(),
		configVerb(),
		versionVerb(),
	}
}

func main() {
	os.Exit(program(os.Args[1:], os.Stdout, os.Stderr))
}

// program does what the arguments say, and returns the exit code.
func program(args []string, out, errs io.Writer) int {
	begun := false // false: what was typed is no command
	root := &cobra.Command{
		Use:   "muster",
		Short: "one fast web server that does not go down, made of a handful of Linux machines",
		Long: `Muster turns a handful of Linux machines into one fast web server that does not go down.
One program, and one file that describes the cluster: cluster.yaml.`,
		Example: `  muster node --config cluster.yaml --name t1    # what each machine runs
  muster status --watch                          # what the cluster is doing
  muster drain t1 --wait                         # take a machine out; nobody notices`,
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // ours are in the sentence

		SuggestionsMinimumDistance: 2,
		PersistentPreRun:           func(*cobra.Command, []string) { begun = true },
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	root.AddGroup(groups...)
	root.SetHelpCommandGroupID(miscellany)
	root.SetCompletionCommandGroupID(miscellany)
	root.AddCommand(verbs()...)
	root.AddCommand(exitCodesTopic())
	root.PersistentFlags().StringP("config", "c", "", "the cluster's file (default: $MUSTER_CONFIG, ./cluster.yaml, /etc/muster/cluster.yaml)")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml") // the flag exists: it was added one line above

	// The first of these signals ends a verb in good order. `node` listens for further ones itself.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	if _, told := errors.AsType[coded](err); err != nil && !begun && !told {
		err = usage("%w; %s`muster --help` lists what there is", err, guess(root, args, err))
	}
	return report(errs, err)
}

// guess is what verb was meant by a word that is none.
func guess(root *cobra.Command, args []string, err error) string {
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 || !strings.HasPrefix(err.Error(), "unknown command") {
		return ""
	}
	if near := root.SuggestionsFor(args[i]); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "? "
	}
	return ""
}

// The groups of verbs in the help.
const (
	running    = "running"
	seeing     = "seeing"
	acting     = "acting"
	trying     = "trying"
	miscellany = "miscellany"
)

var groups = []*cobra.Group{
	{ID: trying, Title: "Try and measure:"},
	{ID: running, Title: "Set up and run:"},
	{ID: seeing, Title: "See:"},
	{ID: acting, Title: "Act:"},
	{ID: miscellany, Title: "Further:"},
}

// section is a verb that is only there for the verbs below it.
func section(c *cobra.Command, under ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(under...)
	return c
}

// takes has a verb take just these arguments, by the names that its help gives them.
func takes(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		all := strings.Join(names, " ")
		if len(args) < len(names) {
			return usage("name the %s: %s %s", strings.ToLower(names[len(args)]), c.CommandPath(), all)
		}
		return usage("%s takes %s, and got %d arguments", c.CommandPath(), all, len(args))
	}
}

// say writes to the verb's standard output.
func say(c *cobra.Command, format string, args ...any) {
	fmt.Fprintf(c.OutOrStdout(), format, args...)
}
