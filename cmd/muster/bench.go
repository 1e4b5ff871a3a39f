package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"

	"muster/datapath/serve"
	"muster/lab/bench"
	"muster/lab/site"
)

func benchVerb() *cobra.Command {
	return section(&cobra.Command{
		Use:     "bench",
		Short:   "measure Muster beside HAProxy and nginx on this machine",
		GroupID: trying,
		Long: `Measures Muster beside HAProxy and nginx, on this machine, with the same load, in turn.

The figure to trust is processor time a request. Requests a second and latencies depend on how clients, nodes and the
server under test share the processors of this one machine. Needs the Debian packages nginx-light and haproxy. A
benchmark in which a request fails ends with exit code 1.`,
	}, benchProxyVerb(), benchNodeVerb(), benchServeVerb())
}

// measured is what a benchmark brings.
type measured interface {
	Table(io.Writer) error
	Plot(file string) error
}

func benchProxyVerb() *cobra.Command {
	var network string
	c := benchmark(&cobra.Command{
		Use:   "proxy",
		Short: "what it costs to pass on a request: Muster, HAProxy, nginx, before the same nodes",
		Long: `Puts the same load in turn on a Muster cluster's director, on HAProxy, on nginx as shipped, and on nginx with buffers
for long replies, each with one thread, before the same two nodes.

As root, clients, proxy and nodes are in network namespaces of their own, joined by veth pairs; nothing of them is seen
outside, or left afterwards. Otherwise all are on loopback, which spares everybody what a network costs. The output says
which it was.`,
		Example: `  sudo muster bench proxy
  muster bench proxy --network loopback -o json --plot proxy.svg
  muster bench proxy --sizes 1024,16384 --seconds 5`,
	}, func(ctx context.Context, program string, opt bench.Options) (measured, error) {
		if err := oneOf("network", network, bench.Networks...); err != nil {
			return nil, err
		}
		opt.Network = bench.Network(network)
		return bench.Proxy(ctx, opt, bench.Muster(program))
	})
	c.Flags().StringVar(&network, "network", string(bench.Auto), "how clients, proxy and nodes are joined: "+strings.Join(bench.Networks, ", "))
	_ = c.RegisterFlagCompletionFunc("network", cobra.FixedCompletions(bench.Networks, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func benchNodeVerb() *cobra.Command {
	return benchmark(&cobra.Command{
		Use:   "node",
		Short: "what one traffic node can do: the built-in web server, nginx, and HAS Table 12",
		Long: `Puts one traffic node under 1, 4, 8, 12, 16 and more clients, 90 % static documents of a tree of 6,200 and 10 %
generated pages, as HAS Table 12 did; then under static replies of each size, and of all documents.`,
		Example: `  muster bench node
  muster bench node -o json --plot node.svg`,
	}, func(ctx context.Context, program string, opt bench.Options) (measured, error) {
		return bench.Node(ctx, opt, bench.MusterNode(program))
	})
}

// benchmark adds the flags and does the work that all benchmarks share.
func benchmark(c *cobra.Command, measure func(context.Context, string, bench.Options) (measured, error)) *cobra.Command {
	var output, plot string
	var seconds float64
	var opt bench.Options
	c.Args = cobra.NoArgs
	outputFlag(c, &output, "table", "json")
	c.Flags().StringVar(&plot, "plot", "", "draw the figures into this SVG file, too")
	c.Flags().Float64Var(&seconds, "seconds", 2, "how long each round is")
	c.Flags().IntVar(&opt.Rounds, "rounds", 5, "how many rounds each contender has; its figures are the medians")
	c.Flags().IntVar(&opt.Connections, "connections", 32, "how many clients, each with one connection")
	c.Flags().IntSliceVar(&opt.Sizes, "sizes", []int{1024, 65536}, "sizes of static replies, in bytes")
	c.Flags().BoolVar(&opt.Pin, "pin", false, "keep the server under test to the last processor and the rest to the others")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := oneOf("output", output, "table", "json"); err != nil {
			return err
		}
		if seconds <= 0 || opt.Rounds <= 0 || opt.Connections <= 0 || len(opt.Sizes) == 0 {
			return usage("--seconds, --rounds and --connections must be above 0, and --sizes must name one")
		}
		for _, n := range opt.Sizes {
			if n < 1 || n > 1<<30 {
				return usage("--sizes %d: a reply has 1 byte to 1 GiB", n)
			}
		}
		opt.Round = time.Duration(seconds * float64(time.Second))
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program, to start it as a node: %w", err)
		}
		shown := show(&opt)
		r, err := measure(c.Context(), program, opt)
		shown()
		if err != nil {
			return err
		}
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
	return c
}

// show has the benchmark's progress shown on standard error, if that is a terminal. What it returns ends that.
func show(opt *bench.Options) (end func()) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err != nil {
		return func() {}
	}
	var what atomic.Pointer[string] // the bar is drawn by a goroutine of its own
	p := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithAutoRefresh())
	bar := p.AddBar(1,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			if w := what.Load(); w != nil {
				return *w
			}
			return ""
		})),
	)
	opt.Progress = func(done, all int, name string) {
		what.Store(&name)
		bar.SetTotal(int64(all), false)
		bar.SetCurrent(int64(done))
	}
	return func() {
		bar.Abort(true)
		p.Wait()
	}
}

// benchServeVerb is the built-in web server with generated pages, for bench node.
func benchServeVerb() *cobra.Command {
	var root, listen string
	c := &cobra.Command{
		Use:    "serve",
		Short:  "the server that bench node measures",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			addr, err := netip.ParseAddrPort(listen)
			if err != nil {
				return usage("--listen: %w", err)
			}
			s, err := serve.New(serve.Config{
				Listen: []netip.AddrPort{addr}, Threads: 1, Root: root, Dynamic: site.Dynamic, Name: "muster", ShowName: true,
			}, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
			if err != nil {
				return err
			}
			return s.Run(c.Context())
		},
	}
	c.Flags().StringVar(&root, "root", "", "the documents")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port")
	return c
}
