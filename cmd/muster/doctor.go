package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"muster/config"
	"muster/datapath/doctor"
	"muster/role"
)

func doctorVerb() *cobra.Command {
	var name, state, output string
	var fix bool
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "examine this machine: do packets get through?",
		GroupID: seeing,
		Long: `Examines every part of a packet's way on this machine, as the cluster's file wants it: the kernel and the rights, the ports
and what they do by themselves, VIPs and all that the kernel has to be told for them, the program that dispatches, the ways to
the nodes, tunnels, the way back to clients, the applications and the firewall. It says what is wrong, what follows from that,
and the command that mends it.

It looks at the machine and not at the daemon, so it works when that does not run. It takes root to see everything.
It ends with 1 if something is wrong.`,
		Example: `  sudo muster doctor
  sudo muster doctor --fix
  sudo muster doctor -o json | jq -r '.findings[] | select(.state != "ok") | .mend'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "text", "json"); err != nil {
				return err
			}
			_, f, err := readFile(c)
			if err != nil {
				return err
			}
			if state != "" {
				f.State = state
			}
			if name == "" {
				name = os.Getenv("MUSTER_NODE")
			}
			if name == "" {
				if name, err = nodeHere(f); err != nil {
					return err
				}
			}
			if f.Node(name) == nil {
				return coded{f.CheckHost(name), exitUsage}
			}
			return examine(c, f, name, output, fix)
		},
	}
	outputFlag(c, &output, "text", "json")
	c.Flags().StringVarP(&name, "name", "n", "", "which node of the file this is (default: $MUSTER_NODE, the one with an address of this machine, or with its name)")
	c.Flags().StringVar(&state, "state", "", "where the node keeps what must survive its restart (default: what the file says)")
	c.Flags().BoolVar(&fix, "fix", false, "mend what can be mended, and examine again")
	_ = c.MarkFlagDirname("state")                          // the flag exists
	_ = c.RegisterFlagCompletionFunc("name", completeNodes) // so does this one
	return c
}

// diagnosis is what muster doctor -o json prints.
type diagnosis struct {
	Node     string           `json:"node"`
	State    doctor.State     `json:"state"`            // the worst
	Mended   []doctor.Finding `json:"mended,omitempty"` // with --fix: what was done, or could not be
	Findings []doctor.Finding `json:"findings"`
}

func examine(c *cobra.Command, f *config.File, name, output string, fix bool) error {
	p, log := role.Patient(f, name), slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	d := diagnosis{Node: name, Findings: doctor.Examine(c.Context(), p, log)}
	if fix {
		for _, m := range doctor.Mend(c.Context(), d.Findings) {
			if m.Mended || m.Problem != "" {
				d.Mended = append(d.Mended, m)
			}
		}
		d.Findings = doctor.Examine(c.Context(), p, log)
	}
	d.State = doctor.Worst(d.Findings)
	if output == "json" {
		if err := printJSON(c, d); err != nil {
			return err
		}
	} else {
		say(c, "%s", d.text())
	}
	if d.State == doctor.Wrong {
		n := 0
		for _, one := range d.Findings {
			if one.State == doctor.Wrong {
				n++
			}
		}
		return coded{fmt.Errorf("%s: %w", name, plural(n)), exitFailed}
	}
	return nil
}

func plural(n int) error {
	if n == 1 {
		return errors.New("one thing is wrong")
	}
	return fmt.Errorf("%d things are wrong", n)
}

// text shows a diagnosis: a line for each finding, and below what is not ok why that matters and what mends it.
func (d diagnosis) text() string {
	var b strings.Builder
	for _, m := range d.Mended {
		if m.Problem != "" {
			fmt.Fprintf(&b, "not mended: %s: %s\n", m.Check, m.Problem)
		} else {
			fmt.Fprintf(&b, "mended: %s\n", m.Check)
		}
	}
	if len(d.Findings) == 0 {
		return b.String() + d.Node + ": nothing of it goes through the kernel; there is nothing to examine\n"
	}
	part := ""
	for _, f := range d.Findings {
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(&b, "%s\n", part)
		}
		word := map[doctor.State]string{doctor.OK: "ok", doctor.Warning: "warning", doctor.Wrong: "WRONG"}[f.State]
		fmt.Fprintf(&b, "  %-8s %s: %s\n", word, f.Check, f.Found)
		if f.Why != "" {
			fmt.Fprintf(&b, "           %s\n", f.Why)
		}
		if f.Mend != "" {
			fmt.Fprintf(&b, "           > %s\n", f.Mend)
		}
	}
	return b.String()
}
