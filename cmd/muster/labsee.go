package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"muster/lab/peer"
	"muster/lab/standing"
)

func labStatusVerb() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "the machines of a lab, what runs on them, and what was broken",
		Long: `Shows the machines of a lab, their addresses, and what runs on them. NODE is what a director makes of the machine's node;
CPU is the processor time that everything on it has used. With -o json: each process, and each port's MAC address, too.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			l, err := labOf(c)
			if err != nil {
				return err
			}
			s, err := l.State(c.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(c, s)
			}
			return labTable(c.OutOrStdout(), s)
		},
	}
	outputFlag(c, &output, "table", "json")
	return c
}

func labTable(out io.Writer, s *standing.State) error {
	fmt.Fprintf(out, "lab %s, up for %s\nfile %s\n\n", s.Name, time.Since(s.Since).Round(time.Second), s.File)
	labServices(out, s)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MACHINE\tADDRESSES\tPOWER\tNODE\tCPU\tPROCESSES")
	for _, m := range s.Machines {
		var addresses []string
		for _, p := range m.Ports {
			addresses = append(addresses, p.IPv4)
		}
		power := "on"
		if !m.On {
			power = "off"
		} else if m.Frozen {
			power = "frozen"
		}
		if m.Cores > 0 {
			power += fmt.Sprintf(", %g cores", m.Cores)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.1f s\t%d\n", m.Name, strings.Join(addresses, " "), power, labNode(m), m.CPU, len(m.Processes))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range s.Faults {
		fmt.Fprintln(out, "broken: "+f)
	}
	if s.Problem != "" {
		fmt.Fprintln(out, "no director can be asked: "+s.Problem)
	}
	return nil
}

func labNode(m standing.Machine) string {
	if m.Node == nil {
		return ""
	}
	text := m.Node.State
	if m.Node.Reason != "" {
		text += ": " + m.Node.Reason
	}
	if m.Node.PID == 0 {
		text = strings.TrimSuffix("not running; "+text, "; ")
	}
	return text
}

func labServices(out io.Writer, s *standing.State) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tADDRESS\tKIND\tDISPATCH\tSCHEDULE")
	for _, v := range s.Services {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Name, strings.Join(v.Addresses, " "), v.Kind, v.Dispatch, v.Schedule)
	}
	_ = w.Flush() // what can go wrong does so at the next line, too
	fmt.Fprintln(out)
}

// labMachine finds a machine of a lab that stands.
func labMachine(c *cobra.Command, name string) (*standing.Machine, error) {
	l, err := labOf(c)
	if err != nil {
		return nil, err
	}
	s, err := l.State(c.Context())
	if err != nil {
		return nil, err
	}
	return s.Machine(name)
}

func labExecVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "exec MACHINE [--] [COMMAND...]",
		Short: "run a command on a machine of a lab; a shell, if none is given",
		Long: `Runs a command on a machine of a lab, with that machine's network, processes, /var and /run. Its exit code is the command's.
Machines know each other by their names, and the service by the name www; muster finds the cluster's file there.`,
		Example: `  sudo muster lab exec client1 -- curl -i http://www/
  sudo muster lab exec d1 -- muster status
  sudo muster lab exec router -- tcpdump -ni a
  sudo muster lab exec t1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("name the machine: muster lab exec MACHINE -- COMMAND")
			}
			return nil
		},
		ValidArgsFunction: firstMachine,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := labMachine(c, args[0])
			if err != nil {
				return err
			}
			if !m.On {
				return fmt.Errorf("%s is off: muster lab on %s", m.Name, m.Name)
			}
			if args = args[1:]; len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			return labExec(c, m, args)
		},
	}
	c.Flags().SetInterspersed(false) // what follows the machine is the command's
	return c
}

func labExec(c *cobra.Command, m *standing.Machine, argv []string) error {
	if len(argv) == 0 {
		argv = []string{"/bin/sh"}
		if shell := os.Getenv("SHELL"); shell != "" {
			argv = []string{shell}
		}
	}
	program := argv[0]
	if found, err := peer.Find(program); err == nil {
		program = found
	}
	if self, err := os.Executable(); argv[0] == "muster" && err == nil {
		program = self
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, c.OutOrStdout(), c.ErrOrStderr()
	if dir, err := os.Getwd(); err == nil {
		if info, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", m.Door.PID, dir)); err == nil && info.IsDir() {
			cmd.Dir = dir
		}
	}
	// What is typed at the terminal reaches the command by itself; who ends this process means the command.
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(ends)
	started := make(chan *os.Process, 1)
	over := make(chan struct{})
	defer close(over)
	go func() {
		var p *os.Process
		select {
		case p = <-started:
		case <-over:
			return
		}
		for {
			select {
			case sig := <-ends:
				_ = p.Signal(sig) // it may have ended
			case <-over:
				return
			}
		}
	}()
	err := m.Door.Run(cmd, func() { started <- cmd.Process })
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code := exit.ExitCode()
		if code < 0 { // by a signal, as shells say it
			code = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
		}
		return coded{errors.New(""), code}
	}
	return err
}

func labLogVerb() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:               "log MACHINE",
		Short:             "what the node of a machine has said",
		Args:              takes("MACHINE"),
		ValidArgsFunction: firstMachine,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := labMachine(c, args[0])
			if err != nil {
				return err
			}
			if m.Log == "" {
				return fmt.Errorf("no node runs on %s", m.Name)
			}
			f, err := os.Open(m.Log)
			if err != nil {
				return fmt.Errorf("read what the node of %s has said: %w", m.Name, err)
			}
			defer f.Close()
			for {
				if _, err := io.Copy(c.OutOrStdout(), f); err != nil || !follow {
					return err
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return c
}

// machineNames are those of the lab that is meant, for the shell.
func machineNames(c *cobra.Command) []string {
	l, err := labOf(c)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := l.State(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range s.Machines {
		names = append(names, m.Name)
	}
	return names
}

// firstMachine offers machines for the first argument.
func firstMachine(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return machineNames(c), cobra.ShellCompDirectiveNoFileComp
}

// machines offers machines that are not named yet.
func machines(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(machineNames(c), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// links offers cables.
func links(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if !strings.Contains(begun, "/") {
		names, _ := machines(c, args, begun)
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	name, _, _ := strings.Cut(begun, "/")
	m, err := labMachine(c, name)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, p := range m.Ports {
		list = append(list, name+"/"+string(p.Net))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
