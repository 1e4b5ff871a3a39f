package bench

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/load"
	"muster/lab/peer"
	"muster/lab/plot"
	"muster/lab/site"
	"muster/lab/testbed"
)

// ScaleOptions say how to measure clusters of several sizes. Connections are those of each node.
type ScaleOptions struct {
	Options
	Nodes    []int   // sizes of clusters; nil means 1, 2, 4 and so on to 64
	Cores    float64 // of a processor's time, that each node may use; 0 means a hundredth
	Work     int     // how many KiB a node hashes for each page (Page); 0 means that pages are files
	Dispatch string  // empty means dr
	Schedule string  // empty means rr
}

func (o ScaleOptions) withDefaults() ScaleOptions {
	if o.Nodes == nil {
		o.Nodes = []int{1, 2, 4, 8, 16, 32, 64}
	}
	o.Nodes = slices.Compact(slices.Sorted(slices.Values(o.Nodes)))
	if o.Cores == 0 {
		o.Cores = 0.01
	}
	if o.Dispatch == "" {
		o.Dispatch = string(cluster.DR)
	}
	if o.Schedule == "" {
		o.Schedule = "rr"
	}
	o.Sizes = []int{1024}
	o.Options = o.Options.withDefaults()
	return o
}

// A ScaleResult is how much of what its nodes can do alone a cluster does, by its size.
type ScaleResult struct {
	Cores    float64   `json:"cores"`    // of a processor's time, that each node may use
	Work     int       `json:"work_kib"` // that a node hashes for each page
	Dispatch string    `json:"dispatch"`
	Schedule string    `json:"schedule"`
	Alone    float64   `json:"alone_rps"`     // one node, asked without a director, as all others are at the same time
	Resting  float64   `json:"alone_at_rest"` // the same while the others, and the machine, rest
	Clusters []Scaled  `json:"clusters"`
	HAS      []PerNode `json:"has_table13"`
	LVS      []PerNode `json:"lvs_table6"`
}

// Scaled is a cluster of so many nodes.
type Scaled struct {
	Nodes    int     `json:"nodes"`
	Rate     float64 `json:"rps"`
	Kept     float64 `json:"kept"`            // of as many times what one node does alone
	Director float64 `json:"director_cpu_us"` // of its processes, a request; what BPF takes is in bench dispatch
	Busy     float64 `json:"busy"`            // part of the processor that all share
}

// PerNode is what others have published.
type PerNode struct {
	Nodes int     `json:"nodes"`
	Rate  float64 `json:"rps_per_node"`
	Kept  float64 `json:"kept"`
}

// published makes the list of a table.
func published(alone float64, table ...PerNode) []PerNode {
	for i := range table {
		table[i].Kept = rounded(table[i].Rate / alone)
	}
	return table
}

// HAS Table 13 is measured against the one node of Table 12. Of LVS, Table 6, HAS says that 12 nodes lose 35 % of one
// that stands alone, and not what that one did.
var (
	table13 = published(1032, PerNode{Nodes: 2, Rate: 1034}, PerNode{Nodes: 4, Rate: 1036}, PerNode{Nodes: 8, Rate: 1017}, PerNode{Nodes: 16, Rate: 1000})
	table6  = published(685/0.65, PerNode{Nodes: 2, Rate: 945}, PerNode{Nodes: 4, Rate: 1003}, PerNode{Nodes: 6, Rate: 974},
		PerNode{Nodes: 8, Rate: 892}, PerNode{Nodes: 10, Rate: 764}, PerNode{Nodes: 12, Rate: 685})
)

// Scale measures clusters of several sizes in a lab of the program's own. It needs root.
//
// All nodes are always under the same load, from as many clients: the first n through the director, the others asked
// without it. A cluster of n is thus measured while the machine, whose processors and caches all nodes share, is as busy as
// it is with any other; and so is the one node alone, which is any of them when none is behind the director. What the
// sharing costs cancels out, and what the cluster costs is left.
//
// Clients, director and nodes all run on one processor. On two, a node's requests would take it longer the more the other
// one has to do at that moment, with which it often shares a core: the director's work would be charged to the nodes.
func Scale(ctx context.Context, opt ScaleOptions, program string) (*ScaleResult, error) {
	opt = opt.withDefaults()
	most := opt.Nodes[len(opt.Nodes)-1]
	const room = 0.75 // clients and the network between take the rest
	if float64(most)*opt.Cores > room {
		return nil, fmt.Errorf("%d nodes with %g of a processor each leave no room for clients and network on it: give each at most %.4f (--cores), or have fewer nodes",
			most, opt.Cores, room/float64(most))
	}
	dir, err := site.Directory()
	if err != nil {
		return nil, err
	}
	tree, err := site.Make(dir, site.Config{Sizes: opt.Sizes})
	if err != nil {
		return nil, err
	}
	lab, err := testbed.Up(ctx, testbed.Plan{
		Program: program, Traffic: most,
		File: func(l *testbed.Layout, p testbed.Paths) string { return scaleFile(l, p, program, tree.Root, opt) },
	})
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	processor := runtime.NumCPU() - 1
	var names []string
	var webs []netip.AddrPort
	for _, m := range lab.Machines(testbed.Director, testbed.Traffic) {
		pids, err := m.Node().PIDs()
		if err == nil {
			err = keepTo(pids, processor)
		}
		if err == nil && m.Role == testbed.Traffic {
			names, webs = append(names, m.Name), append(webs, netip.AddrPortFrom(m.Addr(), clear))
			err = m.SetCores(opt.Cores) // only now: to start takes a node long with so little
		}
		if err != nil {
			return nil, err
		}
	}
	trials := sizeTrials(tree, opt.Connections)
	if opt.Work > 0 {
		body := Page(opt.Work)
		trials[0].requests[0] = load.Request{Path: PagePath, Body: body}
	}
	c := &contest{Options: opt.Options, trials: trials, clients: func(f func() error) error {
		return peer.Host{CPUs: []int{processor}}.Do(func() error { return lab.Machine("client1").Do(f) })
	}}
	size := &size{lab: lab, ready: most}
	vip := netip.AddrPortFrom(testbed.VIP(0), clear)
	for _, n := range append([]int{0}, opt.Nodes...) {
		c.contenders = append(c.contenders, contender{
			name: fmt.Sprint(n, " of ", most, " nodes"), server: lab.Machine("d1").Node(), account: &account{processors: []int{processor}},
			targets: append(slices.Repeat([]netip.AddrPort{vip}, n), webs[n:]...), clients: most * opt.Connections,
			before: func(ctx context.Context) error { return size.set(ctx, max(n, 1)) },
			counts: func(node string) bool { return n == 0 || slices.Contains(names[:n], node) },
		})
	}
	resting := one("one node", webs[0], none{})
	resting.clients = opt.Connections
	c.contenders = append(c.contenders, resting)
	figures, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return scaleResult(opt, figures[0]), nil
}

// scaleResult makes of figures, in the order of the contenders, what is told.
func scaleResult(opt ScaleOptions, figures []Figure) *ScaleResult {
	most := opt.Nodes[len(opt.Nodes)-1]
	out := &ScaleResult{
		Cores: opt.Cores, Work: opt.Work, Dispatch: opt.Dispatch, Schedule: opt.Schedule, HAS: table13, LVS: table6,
		Alone: rounded(figures[0].Rate / float64(most)), Resting: figures[len(figures)-1].Rate,
	}
	for i, n := range opt.Nodes {
		f := figures[1+i]
		out.Clusters = append(out.Clusters, Scaled{
			Nodes: n, Rate: f.Rate, Kept: ratio(f.Rate, float64(n)*out.Alone), Director: f.Cost.Processes,
			Busy: f.Cost.Busy,
		})
	}
	return out
}

// A size is how many of a cluster's nodes take work: the first ones. The others are drained.
type size struct {
	lab   *testbed.Lab
	ready int
}

// set drains and readies nodes, and waits until all that are ready have their share.
func (s *size) set(ctx context.Context, nodes int) error {
	for i := min(nodes, s.ready); i < max(nodes, s.ready); i++ {
		wish := cluster.Ready
		if i >= nodes {
			wish = cluster.Drain
		}
		if err := s.lab.Client("d1").Wish(ctx, nodeName(i), wish, "bench scale"); err != nil {
			return fmt.Errorf("have a cluster of %d nodes: %w", nodes, err)
		}
	}
	s.ready = nodes
	return s.lab.Await(ctx, 30*time.Second, func(st console.Status) string { return shares(st, nodes) })
}

// shares says what is wrong with the shares of a cluster of so many nodes.
func shares(st console.Status, nodes int) string {
	if st.Director == nil || len(st.Director.Services) != 1 {
		return "the director has no service yet"
	}
	with, weights := 0, map[uint32]bool{}
	for _, m := range st.Director.Services[0].Members {
		if m.Weight > 0 {
			with++
			weights[m.Weight] = true
		}
	}
	if with != nodes || len(weights) != 1 && st.Director.Services[0].Schedule == "rr" {
		return fmt.Sprintf("%d nodes with %d different shares, and %d should have the same", with, len(weights), nodes)
	}
	return ""
}

// scaleFile describes a director and many nodes. At the usual pace reports and checks would take a node half of the little
// that it may use of a processor here.
func scaleFile(l *testbed.Layout, p testbed.Paths, program, root string, opt ScaleOptions) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: bench\nkey: %s\nthreads: 1\ntimings: {report: 1s, timeout: 4s, slow-start: 0s}\nnodes:\n", p.Key)
	var names []string
	for _, s := range append(l.With(testbed.Director), l.With(testbed.Traffic)...) {
		fmt.Fprintf(&b, "  %s: {addresses: [%s], interfaces: [%s], roles: [%s]", s.Name, s.Addr(), s.Jacks[0].Name, s.Role)
		if s.Role == testbed.Traffic {
			names = append(names, s.Name)
			if opt.Work > 0 {
				fmt.Fprintf(&b, ", applications: {web: {run: {command: [%q, bench, serve, --listen, \"0.0.0.0:%d\", --root, %q, --work, \"%d\", --name, %s]}}}",
					program, clear, root, opt.Work, s.Name)
			}
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(&b, `checks:
  alive: {kind: tcp, interval: 5s, timeout: 5s}
pools:
  web: {nodes: [%s], port: %d, check: alive, application: {serve: {root: %q, name-header: true}}}
services:
  www: {vip: %s, ports: [%d], dispatch: %s, schedule: %s, pool: web}
log: {level: warn}
`, strings.Join(names, ", "), clear, root, testbed.VIP(0), clear, opt.Dispatch, opt.Schedule)
	return b.String()
}

// Table prints the figures for people.
func (r *ScaleResult) Table(w io.Writer) error {
	fmt.Fprintf(w, "one node alone, with %g of a processor: %.0f requests/s (%.0f while the others rest)\n\n", r.Cores, r.Alone, r.Resting)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "nodes\trequests/s\tper node\tkept\tbusy\tHAS per node\tkept\tLVS per node\tkept\t")
	for _, c := range r.Clusters {
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.1f %%\t%.0f %%\t%s\t%s\t\n", c.Nodes, c.Rate, c.Rate/float64(c.Nodes), 100*c.Kept,
			100*c.Busy, perNode(r.HAS, c.Nodes), perNode(r.LVS, c.Nodes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
Medians of rounds in which all took turns; %s, %s, pages of 1 KiB for which a node hashes %d KiB, kept connections.
In every round all nodes are under the same load: those of the cluster behind the director, the others asked without it.
kept:  of as many times what one node does alone, asked without a director
busy:  the one processor that clients, director and nodes share; where it comes near 100 %%, it is the limit and not the
       cluster: give less --cores
HAS:   Table 13, kept of the 1,032 requests/s of one node
LVS:   Table 6, of which HAS says that 12 nodes keep 65 %% of one that stands alone
`, r.Dispatch, r.Schedule, r.Work)
	return err
}

func perNode(table []PerNode, nodes int) string {
	for _, p := range table {
		if p.Nodes == nodes {
			return fmt.Sprintf("%.0f\t%.1f %%", p.Rate, 100*p.Kept)
		}
	}
	return "-\t-"
}

// Plot draws what is kept, beside what has been published.
func (r *ScaleResult) Plot(file string) error {
	rate := plot.Panel{Title: "Requests/s of a cluster", X: "nodes", Y: "requests/s", Series: []plot.Series{{Name: "muster dr", X: []float64{}}, {Name: "as many alone", X: []float64{}}}}
	kept := plot.Panel{Title: "Kept of one node alone", X: "nodes", Y: "%", Series: []plot.Series{{Name: "muster dr", X: []float64{}}}}
	for _, c := range r.Clusters {
		n := float64(c.Nodes)
		for i, y := range []float64{c.Rate, n * r.Alone} {
			rate.Series[i].X, rate.Series[i].Y = append(rate.Series[i].X, n), append(rate.Series[i].Y, y)
		}
		kept.Series[0].X, kept.Series[0].Y = append(kept.Series[0].X, n), append(kept.Series[0].Y, 100*c.Kept)
	}
	for _, p := range []struct {
		name  string
		table []PerNode
	}{{"HAS Table 13", r.HAS}, {"LVS Table 6", r.LVS}} {
		s := plot.Series{Name: p.name}
		for _, n := range p.table {
			s.X, s.Y = append(s.X, float64(n.Nodes)), append(s.Y, 100*n.Kept)
		}
		kept.Series = append(kept.Series, s)
	}
	return plot.Write(file, rate, kept)
}
