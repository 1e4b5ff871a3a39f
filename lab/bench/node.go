package bench

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"text/tabwriter"

	"muster/lab/load"
	"muster/lab/peer"
	"muster/lab/plot"
	"muster/lab/site"
)

// StartNode starts Muster's own web server with one thread on a directory of documents, on the host. It also serves the
// generated pages of site.Page. It returns when the server listens.
type StartNode func(ctx context.Context, root string, listen netip.AddrPort, on peer.Host) (Server, error)

// A NodeResult is what one traffic node can do.
type NodeResult struct {
	Ladder  []Rung `json:"ladder"`
	Replies []Kind `json:"replies"`
}

// A Rung is HAS Table 12 for one number of clients.
type Rung struct {
	Clients int       `json:"clients"`
	HAS     Published `json:"has"`
	Muster  Counted   `json:"muster"`
	NGINX   Counted   `json:"nginx"`
}

// Published is what HAS Table 12 says; zero where it says nothing.
type Published struct {
	Rate   float64 `json:"rps"`
	Errors int     `json:"errors"`
}

// Counted is a Figure with the requests that failed.
type Counted struct {
	Figure
	Errors int64 `json:"errors"`
}

// A Kind is what replies of one kind cost.
type Kind struct {
	Name   string  `json:"name"`
	Muster Figure  `json:"muster"`
	NGINX  Figure  `json:"nginx"`
	Ratio  float64 `json:"ratio"` // processor time a request, ours to nginx's
}

// table12 is HAS Table 12: one Apache on a node of 2003, by number of clients.
var table12 = map[int]Published{
	1: {143, 0}, 4: {567, 0}, 8: {917, 0}, 12: {1012, 0}, 16: {1036, 212}, 20: {1036, 456}, 24: {1038, 692},
	28: {1040, 932}, 32: {1037, 1012}, 36: {1037, 1252}, 40: {1037, 1484}, 44: {1029, 1736}, 48: {1032, 1983}, 52: {1033, 2237},
}

// Node measures one traffic node, Muster's own web server beside nginx, on the same documents: the ladder of HAS Table
// 12 with its mix (90 % static, 10 % generated pages), then static replies of each size and all documents.
func Node(ctx context.Context, opt Options, muster StartNode) (*NodeResult, error) {
	opt = opt.withDefaults()
	dir, err := site.Directory()
	if err != nil {
		return nil, err
	}
	documents, err := site.Make(dir, site.Config{Count: opt.Documents})
	if err != nil {
		return nil, err
	}
	sizes, err := site.Make(dir, site.Config{Sizes: opt.Sizes})
	if err != nil {
		return nil, err
	}
	out := &NodeResult{}
	var ladder []trial
	for _, n := range opt.Clients {
		ladder = append(ladder, trial{strconv.Itoa(n) + " clients", Mix(documents, true), n, true})
	}
	static := trial{strconv.Itoa(len(documents.Files)) + " documents", Mix(documents, false), opt.Connections, false}
	first := opt
	first.Progress = opt.part(0, len(ladder)+1, len(opt.Sizes))
	figures, err := first.onTree(ctx, documents, append(ladder, static), muster)
	if err != nil {
		return nil, err
	}
	for i, n := range opt.Clients {
		m, x := figures[i][0], figures[i][1]
		out.Ladder = append(out.Ladder, Rung{n, table12[n], Counted{m, m.Failed}, Counted{x, x.Failed}})
	}
	opt.Progress = opt.part(len(ladder)+1, len(opt.Sizes), 0)
	trials := sizeTrials(sizes, opt.Connections)
	bySize, err := opt.onTree(ctx, sizes, trials, muster)
	if err != nil {
		return nil, err
	}
	for i, f := range append(bySize, figures[len(ladder)]) {
		name := static.name
		if i < len(trials) {
			name = trials[i].name
		}
		out.Replies = append(out.Replies, Kind{Name: name, Muster: f[0], NGINX: f[1], Ratio: rounded(f[0].CPU / f[1].CPU)})
	}
	return out, nil
}

// part is the progress of some trials of two contenders, where others come before and after.
func (o Options) part(before, trials, after int) func(int, int, string) {
	if o.Progress == nil {
		return nil
	}
	unit := 2 * o.Rounds
	return func(done, _ int, what string) {
		if what == "done" && after > 0 {
			return
		}
		o.Progress(before*unit+done, (before+trials+after)*unit, what)
	}
}

// onTree puts both servers, on one tree of documents, under the trials.
func (o Options) onTree(ctx context.Context, tree *site.Tree, trials []trial, muster StartNode) ([][]Figure, error) {
	n := onLoopback(o)
	addr, err := n.free(n.webs[0])
	if err != nil {
		return nil, err
	}
	server, err := muster(ctx, tree.Root, addr, n.under)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	other, err := n.free(n.webs[1])
	if err != nil {
		return nil, err
	}
	nginx, err := start(ctx, n.under, peer.NginxNode("nginx", other, tree.Root))
	if err != nil {
		return nil, err
	}
	defer nginx.server.Stop()
	c := &contest{o, n.clients.Do, []contender{one("muster", addr, server), nginx}, trials}
	return c.run(ctx)
}

// Mix asks for each document of a tree equally often; with generated, a tenth of the requests is for generated pages.
func Mix(tree *site.Tree, generated bool) []load.Request {
	var mix []load.Request
	for _, f := range tree.Files {
		mix = append(mix, load.Request{Path: f.Path, Length: f.Size, Sum: f.Sum, Weight: 9 * site.Pages})
	}
	if generated {
		for n := range site.Pages {
			path := site.PagePath + strconv.Itoa(n)
			body, _ := site.Page(path)
			mix = append(mix, load.Request{Path: path, Body: body, Weight: uint(len(tree.Files))})
		}
	}
	return mix
}

// Table prints the figures for people.
func (r *NodeResult) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "clients\tHAS req/s\terrors\tmuster req/s\terrors\tCPU µs/req\tp99 ms\tnginx req/s\terrors\tCPU µs/req\tp99 ms\t")
	for _, g := range r.Ladder {
		has, errs := "-", "-"
		if g.HAS.Rate > 0 {
			has, errs = fmt.Sprintf("%.0f", g.HAS.Rate), strconv.Itoa(g.HAS.Errors)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%.0f\t%d\t%.1f\t%.2f\t%.0f\t%d\t%.1f\t%.2f\t\n", g.Clients, has, errs,
			g.Muster.Rate, g.Muster.Errors, g.Muster.CPU, g.Muster.Slow, g.NGINX.Rate, g.NGINX.Errors, g.NGINX.CPU, g.NGINX.Slow)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t.Init(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "static replies\tmuster req/s\tCPU µs/req\tp99 ms\tnginx req/s\tCPU µs/req\tp99 ms\tCPU ratio\t")
	for _, k := range r.Replies {
		fmt.Fprintf(t, "%s\t%.0f\t%.1f\t%.2f\t%.0f\t%.1f\t%.2f\t%.2f\t\n", k.Name,
			k.Muster.Rate, k.Muster.CPU, k.Muster.Slow, k.NGINX.Rate, k.NGINX.CPU, k.NGINX.Slow, k.Ratio)
	}
	return t.Flush()
}

// Plot draws the ladder as lines, and processor time a request as bars.
func (r *NodeResult) Plot(file string) error {
	line := func(name string, rate func(Rung) float64) plot.Series {
		s := plot.Series{Name: name, X: []float64{}}
		for _, g := range r.Ladder {
			if v := rate(g); v > 0 {
				s.X, s.Y = append(s.X, float64(g.Clients)), append(s.Y, v)
			}
		}
		return s
	}
	ladder := plot.Panel{Title: "One node: 90 % static, 10 % generated", X: "clients", Y: "requests/s", Series: []plot.Series{
		line("muster", func(g Rung) float64 { return g.Muster.Rate }), line("nginx", func(g Rung) float64 { return g.NGINX.Rate }),
	}}
	if has := line("HAS Table 12", func(g Rung) float64 { return g.HAS.Rate }); len(has.X) > 0 {
		ladder.Series = append(ladder.Series, has)
	}
	bars := plot.Panel{Title: "Static replies", Y: "CPU µs a request", Series: []plot.Series{{Name: "muster"}, {Name: "nginx"}}}
	for _, k := range r.Replies {
		bars.Groups = append(bars.Groups, k.Name)
		bars.Series[0].Y = append(bars.Series[0].Y, k.Muster.CPU)
		bars.Series[1].Y = append(bars.Series[1].Y, k.NGINX.CPU)
	}
	return plot.Write(file, ladder, bars)
}
