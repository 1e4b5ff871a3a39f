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

	"muster/cluster"
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
	Resting  float64   `json:"alone_at_rest"` // the same while the others rest
	Clusters []Scaled  `json:"clusters"`
	HAS      []PerNode `json:"has_table13"`
	LVS      []PerNode `json:"lvs_table6"`
}

// Scaled is a cluster of so many nodes.
type Scaled struct {
	Nodes    int     `json:"nodes"`
	Rate     float64 `json:"rps"`
	Kept     float64 `json:"kept"` // of as many times what one node does alone: the median of the rounds
	Least    float64 `json:"kept_least"`
	Most     float64 `json:"kept_most"`       // of all rounds
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
// All nodes are always under the same load, from as many clients: those of the cluster through the director, the others
// asked without it. A cluster is thus measured while the machine, whose processors and caches all nodes share, is as busy as
// it is with any other; and so is the one node alone, which is any of them when none is behind the director. What the
// sharing costs cancels out, and what the cluster costs is left. No two nodes are quite alike: a cluster has others in each
// round.
//
// A machine's own pace changes, by a tenth and more from one minute to the next where it is a virtual one. So the node alone
// is measured before and after every cluster, and what is kept is told of that pair. Rates are those of the median pace.
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
	r := &ladder{contest: c, opt: opt, lab: lab, names: names, webs: webs, processor: processor}
	return r.run(ctx)
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
	fmt.Fprintln(t, "nodes\trequests/s\tper node\tkept\tin all rounds\tbusy\tHAS per node\tkept\tLVS per node\tkept\t")
	for _, c := range r.Clusters {
		fmt.Fprintf(t, "%d\t%.0f\t%.1f\t%.1f %%\t%.1f-%.1f %%\t%.0f %%\t%s\t%s\t\n", c.Nodes, c.Rate, c.Rate/float64(c.Nodes), 100*c.Kept,
			100*c.Least, 100*c.Most, 100*c.Busy, perNode(r.HAS, c.Nodes), perNode(r.LVS, c.Nodes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	page := "pages of 1 KiB, which are files"
	if r.Work > 0 {
		page = fmt.Sprintf("pages of 1 KiB for which a node hashes %d KiB", r.Work)
	}
	_, err := fmt.Fprintf(w, `
%s, %s, %s, kept connections. All nodes are always under the same load:
those of the cluster behind the director, the others asked without it.
kept:  of as many times what one node does alone, asked without a director just before and after; the median of the rounds
busy:  the one processor that clients, director and nodes share; where it comes near 100 %%, it is the limit and not the
       cluster: give less --cores
HAS:   Table 13, kept of the 1,032 requests/s of one node
LVS:   Table 6, of which HAS says that 12 nodes keep 65 %% of one that stands alone
`, r.Dispatch, r.Schedule, page)
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
