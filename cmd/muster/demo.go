package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/cmd/muster/live"
	"muster/lab/demo"
	"muster/lab/drill"
	"muster/lab/local"
)

func demoVerb() *cobra.Command {
	var cfg demo.Config
	var noTable, drilled bool
	var output string
	var seconds float64
	c := &cobra.Command{
		Use:     "demo",
		Short:   "start a whole cluster on this machine, and break it",
		GroupID: trying,
		Long: `Starts a director and some traffic nodes on this machine, each as a process of its own on an address of 127.0.0.0/8,
from a file that it writes. It needs no root. Look at the site, kill nodes, drain them: the site goes on. Ctrl-C stops all
and leaves nothing behind.

With --drill it breaks the cluster itself: while clients ask for the pages of an installed documentation package, and
check each byte, it kills, freezes, silences, drains and reconfigures nodes, and prints what the clients saw. Two of the
nodes run nginx then. It needs the Debian packages nginx-light and sqlite3-doc, and no root. The exit code is 1 if a
single request failed.`,
		Example: `  muster demo
  muster demo --site ~/public_html --nodes 8 --port 9000
  muster demo --drill
  muster demo --drill --seconds 60 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Nodes < 1 || cfg.Nodes > local.MaxNodes {
				return usage("--nodes %d: there can be 1 to %d", cfg.Nodes, local.MaxNodes)
			}
			var err error
			if cfg.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program, to start it as a node: %w", err)
			}
			if err := oneOf("output", output, "table", "json"); err != nil {
				return err
			}
			ctx, stop := whileWanted(c.Context())
			defer stop()
			if drilled {
				d := drill.Config{
					Program: cfg.Program, Site: cfg.Site, Nodes: cfg.Nodes, Keep: cfg.Keep,
					Length: time.Duration(seconds * float64(time.Second)),
				}
				if c.Flags().Changed("port") {
					d.Port = cfg.Port
				}
				return runDrill(ctx, c, d, output)
			}
			return runDemo(ctx, c, cfg, !noTable && live.Terminal(c.OutOrStdout()))
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Site, "site", "", "the directory to serve (default: a site of the demo's own)")
	f.IntVar(&cfg.Nodes, "nodes", 4, "how many traffic nodes")
	f.Uint16Var(&cfg.Port, "port", 8080, "where the site is, on 127.0.0.1")
	f.DurationVar(&cfg.Again, "again", 5*time.Second, "when a node that has died is started again")
	f.BoolVar(&noTable, "no-tui", false, "print a line for each change instead of a table")
	f.BoolVar(&cfg.Keep, "keep", false, "leave the directory with file, logs and state")
	f.BoolVar(&drilled, "drill", false, "break the cluster under load, and print what clients saw")
	f.Float64Var(&seconds, "seconds", 0, "how long a drill takes at least")
	outputFlag(c, &output, "table", "json")
	_ = c.MarkFlagDirname("site") // the flag exists
	return c
}

const stops = "Ctrl-C stops all and leaves nothing behind.\n"

func runDemo(ctx context.Context, c *cobra.Command, cfg demo.Config, table bool) error {
	d, err := demo.New(cfg)
	if err != nil {
		return err
	}
	defer d.Stop()
	if err := d.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to stop
		}
		return err
	}
	if table {
		return d.Run(ctx, func(string) {}, func(ctx context.Context) error {
			return live.Watch(ctx, c.OutOrStdout(), live.Config{
				Head: d.Intro(),
				Foot: func() string { return d.Try(called(cfg.Program)) + stops + strings.Join(d.Notes(), "\n") },
			}, d.Status)
		})
	}
	say(c, "%s%s%s\n", d.Intro(), d.Try(called(cfg.Program)), stops)
	var mu sync.Mutex
	says := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		say(c, "%s %s\n", time.Now().Format(time.TimeOnly), line)
	}
	return d.Run(ctx, says, func(ctx context.Context) error { return d.Follow(ctx, says) })
}

func runDrill(ctx context.Context, c *cobra.Command, cfg drill.Config, output string) error {
	cfg.Progress = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
	r, err := drill.Run(ctx, cfg)
	if r != nil && output == "json" {
		err = errors.Join(err, printJSON(c, r))
	} else if r != nil {
		err = errors.Join(err, r.Table(c.OutOrStdout()))
	}
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d of %d requests failed", r.Failed, r.Requests)
	}
	return err
}

// called is how one calls this program here.
func called(program string) string {
	if strings.Contains(program, "/go-build") { // built by go run, for this once
		return "go run ./cmd/muster"
	}
	if path, err := exec.LookPath("muster"); err == nil && path == program {
		return "muster"
	}
	return program
}

// whileWanted ends the context also when the terminal is closed, and when go run, which passes no TERM on, has ended. The
// next signal after that kills.
func whileWanted(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	parent := os.Getppid()
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); err == nil && string(name) == "go\n" {
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for os.Getppid() == parent {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
			stop()
		}()
	}
	context.AfterFunc(ctx, func() { signal.Reset() })
	return ctx, stop
}
