package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
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
		Short:   "measure Muster beside HAProxy, nginx and nftables on this machine",
		GroupID: trying,
		Long: `Measures Muster beside HAProxy, nginx and nftables, on this machine, with the same load, in turn.

The figure to trust is processor time a request. Requests a second and latencies depend on how clients, nodes and the
server under test share the processors of this one machine. Needs the Debian packages nginx-light, haproxy and
nftables. A benchmark in which a request fails ends with exit code 1.`,
	}, benchPacketVerb(), benchDispatchVerb(), benchScaleVerb(), benchProxyVerb(), benchNodeVerb(), benchServeVerb())
}

// measured is what a benchmark brings.
type measured interface {
	Table(io.Writer) error
	Plot(file string) error
}

func benchDispatchVerb() *cobra.Command {
	opt := bench.DispatchOptions{Options: bench.Options{Rounds: 3, Connections: 32, Sizes: []int{1 << 10, 16 << 10, 128 << 10, 1 << 20}}}
	c := benchmark(&cobra.Command{
		Use:   "dispatch",
		Short: "what each way of dispatch costs a director: dr, tunnel, nat, proxy; HAProxy, nginx, nftables",
		Long: `Builds a lab (see muster lab) and puts the same load in turn on every way of dispatch before the same two traffic
nodes: Muster's dr, tunnel, nat and proxy, HAProxy, nginx, and nftables, which balances by the kernel's own NAT. Each
proxy has one thread. HAS Fig. 27 stands beside it.

The director's processor time a request is told in two ways: its processes and BPF programs, and all that its machine
does, with the kernel's work on every packet that comes to it. From what a request costs its node and its director
follows how many nodes one director carries, by the size of documents. Needs root.`,
		Example: `  sudo muster bench dispatch
  sudo muster bench dispatch --sizes 1024 -o json --plot dispatch.svg
  sudo muster bench dispatch --methods dr,haproxy --seconds 1`,
	}, &opt.Options, func(ctx context.Context, program string) (measured, error) {
		for _, m := range opt.Methods {
			if err := oneOf("methods", m, bench.Methods...); err != nil {
				return nil, err
			}
		}
		return bench.Dispatch(ctx, opt, program)
	})
	c.Flags().StringSliceVar(&opt.Methods, "methods", bench.Methods, "the ways of dispatch to measure")
	_ = c.RegisterFlagCompletionFunc("methods", cobra.FixedCompletions(bench.Methods, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func benchScaleVerb() *cobra.Command {
	opt := bench.ScaleOptions{Options: bench.Options{Rounds: 5, Connections: 4}}
	c := benchmark(&cobra.Command{
		Use:   "scale",
		Short: "how much of what its nodes can do alone a cluster does: HAS Table 13, LVS Table 6",
		Long: `Builds a lab (see muster lab) and puts clusters of 1, 2, 4 and more nodes under load, by dispatch dr. Each node may use
a small part of a processor, so that this one machine has room for all of them, and has to work for each page. Beside
each cluster stands as many times what one node does alone, asked without a director. All nodes are always under load,
so that what they lose by sharing one machine is the same everywhere. HAS Table 13 and LVS Table 6 stand beside it.
Needs root.`,
		Example: `  sudo muster bench scale
  sudo muster bench scale --nodes 1,16,64 -o json --plot scale.svg`,
	}, &opt.Options, func(ctx context.Context, program string) (measured, error) {
		if opt.Cores <= 0 || opt.Cores > 1 || len(opt.Nodes) == 0 || slices.Min(opt.Nodes) < 1 || slices.Max(opt.Nodes) > 64 {
			return nil, usage("--cores must be above 0 and at most 1, and --nodes must name sizes of 1 to 64")
		}
		if opt.Work < 0 {
			return nil, usage("--work must be 0 or more")
		}
		if err := oneOf("dispatch", opt.Dispatch, scaleDispatches...); err != nil {
			return nil, err
		}
		if err := oneOf("schedule", opt.Schedule, scaleSchedules...); err != nil {
			return nil, err
		}
		return bench.Scale(ctx, opt, program)
	})
	c.Flags().IntSliceVar(&opt.Nodes, "nodes", []int{1, 2, 4, 8, 16, 32, 64}, "sizes of clusters")
	c.Flags().Float64Var(&opt.Cores, "cores", 0.01, "how much of a processor each node may use")
	c.Flags().IntVar(&opt.Work, "work", 128, "how many KiB a node hashes for each page; 0: pages are files")
	c.Flags().StringVar(&opt.Dispatch, "dispatch", scaleDispatches[0], "how requests travel: "+strings.Join(scaleDispatches, ", "))
	_ = c.RegisterFlagCompletionFunc("dispatch", cobra.FixedCompletions(scaleDispatches, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	c.Flags().StringVar(&opt.Schedule, "schedule", scaleSchedules[0], "how the director gives out connections: "+strings.Join(scaleSchedules, ", "))
	_ = c.RegisterFlagCompletionFunc("schedule", cobra.FixedCompletions(scaleSchedules, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

// What bench scale is for: ways that one director has room for, and schedules under which every node always has work. The
// first is usual.
var (
	scaleDispatches = []string{"dr", "tunnel", "nat", "proxy"}
	scaleSchedules  = []string{"rr", "wrr", "has"}
)

func benchProxyVerb() *cobra.Command {
	var network string
	opt := bench.Options{Rounds: 5, Connections: 32, Sizes: []int{1 << 10, 64 << 10}}
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
	}, &opt, func(ctx context.Context, program string) (measured, error) {
		if err := oneOf("network", network, bench.Networks...); err != nil {
			return nil, err
		}
		opt.Network = bench.Network(network)
		return bench.Proxy(ctx, opt, bench.Muster(program))
	})
	c.Flags().StringVar(&network, "network", string(bench.Auto), "how clients, proxy and nodes are joined: "+strings.Join(bench.Networks, ", "))
	_ = c.RegisterFlagCompletionFunc("network", cobra.FixedCompletions(bench.Networks, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	pinFlag(c, &opt)
	return c
}

func benchNodeVerb() *cobra.Command {
	opt := bench.Options{Rounds: 5, Connections: 32, Sizes: []int{1 << 10, 64 << 10}}
	c := benchmark(&cobra.Command{
		Use:   "node",
		Short: "what one traffic node can do: the built-in web server, nginx, and HAS Table 12",
		Long: `Puts one traffic node under 1, 4, 8, 12, 16 and more clients, 90 % static documents of a tree of 6,200 and 10 %
generated pages, as HAS Table 12 did; then under static replies of each size, and of all documents.`,
		Example: `  muster bench node
  muster bench node -o json --plot node.svg`,
	}, &opt, func(ctx context.Context, program string) (measured, error) {
		return bench.Node(ctx, opt, bench.MusterNode(program))
	})
	pinFlag(c, &opt)
	return c
}

func pinFlag(c *cobra.Command, opt *bench.Options) {
	c.Flags().BoolVar(&opt.Pin, "pin", false, "keep the server under test to the last processor and the rest to the others")
}

// benchmark adds the flags and does the work that all benchmarks share. Opt has the flags' defaults; no sizes: they are not
// the user's to choose.
func benchmark(c *cobra.Command, opt *bench.Options, measure func(ctx context.Context, program string) (measured, error)) *cobra.Command {
	var output, plot string
	var seconds float64
	c.Args = cobra.NoArgs
	outputFlag(c, &output, "table", "json")
	c.Flags().StringVar(&plot, "plot", "", "draw the figures into this SVG file, too")
	c.Flags().Float64Var(&seconds, "seconds", 2, "how long each round is")
	c.Flags().IntVar(&opt.Rounds, "rounds", opt.Rounds, "how many rounds each contender has; its figures are the medians")
	if opt.Sizes != nil {
		c.Flags().IntVar(&opt.Connections, "connections", opt.Connections, "how many clients, each with one connection")
		c.Flags().IntSliceVar(&opt.Sizes, "sizes", opt.Sizes, "sizes of static replies, in bytes")
	} else {
		c.Flags().IntVar(&opt.Connections, "connections", opt.Connections, "how many clients each node has, with one connection each")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := oneOf("output", output, "table", "json"); err != nil {
			return err
		}
		if seconds <= 0 || opt.Rounds <= 0 || opt.Connections <= 0 || opt.Sizes != nil && len(opt.Sizes) == 0 {
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
		shown := show(opt)
		r, err := measure(c.Context(), program)
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

// benchServeVerb is the built-in web server with generated pages, for bench node and bench scale.
func benchServeVerb() *cobra.Command {
	var root, listen, name string
	var work int
	c := &cobra.Command{
		Use:    "serve",
		Short:  "the server that bench node and bench scale measure",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			addr, err := netip.ParseAddrPort(listen)
			if err != nil {
				return usage("--listen: %w", err)
			}
			dynamic := func(path, query string) ([]byte, string, bool) {
				if path == bench.PagePath {
					return bench.Page(work), "text/plain", true
				}
				return site.Dynamic(path, query)
			}
			s, err := serve.New(serve.Config{
				Listen: []netip.AddrPort{addr}, Threads: 1, Root: root, Dynamic: dynamic, Name: name, ShowName: true,
			}, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)))
			if err != nil {
				return err
			}
			return s.Run(c.Context())
		},
	}
	c.Flags().StringVar(&root, "root", "", "the documents")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address and port")
	c.Flags().StringVar(&name, "name", "muster", "who it says it is")
	c.Flags().IntVar(&work, "work", 0, "how many KiB it hashes for a page of bench scale")
	return c
}
