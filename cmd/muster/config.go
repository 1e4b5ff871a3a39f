package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"muster/config"
)

func configVerb() *cobra.Command {
	return section(&cobra.Command{
		Use:     "config",
		Short:   "check and print the cluster's file",
		GroupID: running,
	}, configCheckVerb(), configShowVerb(), &cobra.Command{
		Use:   "schema",
		Short: "print a JSON Schema of the file, for editors",
		Example: `  muster config schema > cluster.schema.json
  # first line of cluster.yaml, for editors with the YAML language server:
  # yaml-language-server: $schema=cluster.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}, &cobra.Command{
		Use:   "reference",
		Short: "print what every key of the file means, as Markdown",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Reference())
			return err
		},
	})
}

func configCheckVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE...]",
		Short: "say whether files are right, and what is wrong with them",
		Long: `Reads each file completely and lists everything that is wrong, a line each: file:line:column: key: what, and what to
write instead. Exit code 0 means that all are right, 3 that one is not. Nothing is started or changed.`,
		Example: `  muster config check cluster.yaml
  muster config check cluster.yaml && muster reload`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				path, err := filePath(c)
				if err != nil {
					return err
				}
				args = []string{path}
			}
			wrong := false
			for _, path := range args {
				f, err := readFileAt(path)
				if err != nil {
					report(c.ErrOrStderr(), err)
					wrong = true
					continue
				}
				say(c, "%s: cluster %s, %s, %s, %s: all right\n", path, f.Cluster,
					count(len(f.Nodes), "node"), count(len(f.Pools), "pool"), count(len(f.Services), "service"))
			}
			if wrong {
				return coded{errors.New(""), exitFile} // each file has said it
			}
			return nil
		},
	}
}

// count says how many there are of a thing.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

func configShowVerb() *cobra.Command {
	var defaults bool
	var output string
	c := &cobra.Command{
		Use:   "show [FILE]",
		Short: "print the file as it is in effect, or all defaults",
		Example: `  muster config show                  # the file, with every default written out
  muster config show --defaults       # every key there is, what it means and its default
  muster config show -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("output", output, "yaml", "json"); err != nil {
				return err
			}
			text := config.Defaults()
			if !defaults {
				if len(args) == 1 {
					if err := c.Flags().Set("config", args[0]); err != nil {
						return err
					}
				}
				_, f, err := readFile(c)
				if err != nil {
					return err
				}
				text = f.Show()
			}
			if output == "json" {
				var any any
				if err := yaml.Unmarshal(text, &any); err != nil {
					return fmt.Errorf("read back what was printed: %w", err)
				}
				return printJSON(c, any)
			}
			_, err := c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().BoolVar(&defaults, "defaults", false, "every key there is, what it means and its default")
	outputFlag(c, &output, "yaml", "json")
	return c
}

// outputFlag adds the flag -o, whose default is the first of its values.
func outputFlag(c *cobra.Command, to *string, values ...string) {
	c.Flags().StringVarP(to, "output", "o", values[0], "how to print: "+fmt.Sprint(values))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return usage("--%s %s: there is none of that name; there are %v", flag, value, allowed)
}

func printJSON(c *cobra.Command, v any) error {
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
