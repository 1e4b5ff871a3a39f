package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"muster/config"
	"muster/console"
	"muster/internal/run"
	"muster/role"
)

func nodeVerb() *cobra.Command {
	opts := role.Options{Version: version(), Level: new(slog.LevelVar)}
	var detach bool
	c := &cobra.Command{
		Use:     "node",
		Short:   "run this machine's node of the cluster",
		GroupID: running,
		Long: `Runs what the cluster's file says of one node, until it is told to stop. This is what systemd starts on every machine.

Signals:
  HUP         read the file again; a file that is wrong changes nothing
  USR1        open the access logs again, after a rotation
  TERM, INT   stop in good order: others take over, what is under way finishes (timings.drain); a second one: at once

What a director dispatches in its kernel goes on while this program is stopped, started again or upgraded. --detach takes it
out, and gives the machine its network back as it was: on a node that runs, which goes on without, or on one that does not.`,
		Example: `  muster node                              # the node of ./cluster.yaml that has an address of this machine
  muster node --config cluster.yaml --name t1 --state /tmp/t1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, f, err := readFile(c)
			if err != nil {
				return err
			}
			opts.Path = path
			if opts.Name == "" {
				opts.Name = os.Getenv("MUSTER_NODE")
			}
			if opts.Name == "" {
				if opts.Name, err = nodeHere(f); err != nil {
					return err
				}
			}
			if f.Node(opts.Name) == nil {
				return coded{f.CheckHost(opts.Name), exitUsage}
			}
			if detach {
				return detachNode(c, f, opts)
			}
			opts.Level.Set(f.Log.Level.Slog())
			return runNode(c.Context(), opts, logger(f, c.ErrOrStderr(), opts.Level))
		},
	}
	c.Flags().StringVarP(&opts.Name, "name", "n", "", "which node of the file this is (default: $MUSTER_NODE, the one with an address of this machine, or with its name)")
	c.Flags().StringVar(&opts.State, "state", "", "where the node keeps what must survive its restart (default: what the file says)")
	c.Flags().BoolVar(&detach, "detach", false, "take everything of the node out of the kernel, and do not run it")
	_ = c.MarkFlagDirname("state")                          // the flag exists
	_ = c.RegisterFlagCompletionFunc("name", completeNodes) // so does this one
	return c
}

// detachNode has the node that runs here take everything out of the kernel, or does it if none runs.
func detachNode(c *cobra.Command, f *config.File, opts role.Options) error {
	if opts.State != "" {
		f.State = opts.State
	}
	ctx := c.Context()
	socket := role.Socket(f.State, opts.Name)
	if conn, err := net.Dial("unix", socket); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("ask the node: %w: run as the user that it runs as", err)
	} else if err != nil {
		if err := role.Detach(f, opts.Name, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))); err != nil {
			return err
		}
		say(c, "%s does not run; nothing of it is left in the kernel\n", opts.Name)
		return nil
	} else {
		_ = conn.Close() // it was only to see whether somebody is there
	}
	node := console.NewClient([]string{"unix:" + socket}, "")
	if err := node.Detach(ctx); err != nil {
		return coded{err, exitRefused}
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		s, err := node.Status(ctx)
		switch {
		case err != nil:
			return coded{err, exitUnreachable}
		case s.Detached == nil:
			return coded{fmt.Errorf("%s has read its file again meanwhile, and dispatches", opts.Name), exitRefused}
		case s.Detached.State == console.IsDetached && s.Detached.Problem != "":
			return fmt.Errorf("%s could not take everything out: %s", opts.Name, s.Detached.Problem)
		case s.Detached.State == console.IsDetached:
			say(c, "%s runs on without the kernel; `muster reload` brings it back\n", opts.Name)
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func runNode(ctx context.Context, opts role.Options, log *slog.Logger) error {
	// The loops of the data path keep their processors while there is work. Without two more, all of Go's processors could
	// be theirs, and reports, timers and the operator would wait behind requests: a node under full load would seem dead.
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	n, err := role.New(opts, log)
	if err != nil {
		return err
	}
	again, rotated, end := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(again, syscall.SIGHUP)
	signal.Notify(rotated, syscall.SIGUSR1)
	signal.Notify(end, syscall.SIGTERM, os.Interrupt)
	return run.All(ctx, append([]run.Task{
		{Name: "impatience", Run: func(ctx context.Context) error { // the last to be stopped
			for range 2 {
				select {
				case <-ctx.Done():
					return nil
				case s := <-end:
					log.Info("node is being stopped", "signal", s)
				}
			}
			log.Warn("stopped at once: told to stop a second time")
			os.Exit(exitFailed)
			return nil
		}},
		{Name: "signals", Run: func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-again:
					_ = n.Reload() // it has logged why not
				case <-rotated:
					if err := n.ReopenLogs(); err != nil {
						log.Error("access logs", "error", err)
					}
				}
			}
		}},
	}, n.Tasks()...))
}

func logger(f *config.File, w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if f.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
