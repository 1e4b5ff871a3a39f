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

// A Stage is where a proxy is to run, and what it stands before.
type Stage struct {
	Under   peer.Host        // where it runs
	Listen  netip.AddrPort   // where its clients ask
	Back    netip.Addr       // its address for the nodes
	Nodes   []netip.AddrPort // they speak HTTP there, all on one port
	Beside  []peer.Host      // where each of the nodes runs, and whatever runs beside it
	Control uint16           // a port that is free on Back and on the nodes' addresses
}

// StartProxy starts Muster with one thread as a proxy on the stage. It returns when the proxy listens.
type StartProxy func(ctx context.Context, at Stage) (Server, error)

// A ProxyResult is what proxies cost.
type ProxyResult struct {
	Network Network `json:"network"` // Veth or Loopback
	Replies []Reply `json:"replies"`
}

// A Reply is what it cost to pass on replies of one size. The ratios are of processor time a request.
type Reply struct {
	Bytes   int     `json:"bytes"`
	Muster  Figure  `json:"muster"`
	HAProxy Figure  `json:"haproxy"`
	NGINX   Figure  `json:"nginx"`          // with its buffers as shipped
	Tuned   Figure  `json:"nginx_tuned"`    // with buffers for long replies
	Ratio   float64 `json:"ratio_to_best"`  // ours to the better one of HAProxy and nginx as shipped
	ToTuned float64 `json:"ratio_to_tuned"` // ours to tuned nginx
}

// Proxy measures Muster's proxy beside HAProxy and nginx, before the same two nginx nodes.
func Proxy(ctx context.Context, opt Options, muster StartProxy) (*ProxyResult, error) {
	opt = opt.withDefaults()
	dir, err := site.Directory()
	if err != nil {
		return nil, err
	}
	tree, err := site.Make(dir, site.Config{Sizes: opt.Sizes})
	if err != nil {
		return nil, err
	}
	g, err := opt.prepare()
	if err != nil {
		return nil, err
	}
	defer g.Close()
	at, err := g.stage()
	if err != nil {
		return nil, err
	}
	for i, n := range at.Nodes {
		node, err := peer.NginxNode(nodeName(i), n, tree.Root).Start(ctx, g.nodes)
		if err != nil {
			return nil, err
		}
		defer node.Stop()
	}
	server, err := muster(ctx, at)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	c := &contest{opt, g.clients.Do, []contender{one("muster", at.Listen, server)}, sizeTrials(tree, opt.Connections)}
	for _, makePeer := range []func(netip.AddrPort, []netip.AddrPort) peer.Peer{
		peer.HAProxy, peer.NginxProxy, peer.NginxProxyTuned,
	} {
		addr, err := g.free(g.front)
		if err != nil {
			return nil, err
		}
		one, err := start(ctx, g.under, makePeer(addr, at.Nodes))
		if err != nil {
			return nil, err
		}
		defer one.server.Stop()
		c.contenders = append(c.contenders, one)
	}
	figures, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	out := &ProxyResult{Network: g.network}
	for i, size := range opt.Sizes {
		f := figures[i]
		r := Reply{Bytes: size, Muster: f[0], HAProxy: f[1], NGINX: f[2], Tuned: f[3]}
		r.Ratio, r.ToTuned = rounded(r.Muster.CPU/r.best()), rounded(r.Muster.CPU/r.Tuned.CPU)
		out.Replies = append(out.Replies, r)
	}
	return out, nil
}

// best is what the better peer takes.
func (r *Reply) best() float64 { return min(r.HAProxy.CPU, r.NGINX.CPU) }

// stage finds ports for Muster and the nodes.
func (g *ground) stage() (at Stage, err error) {
	at = Stage{Under: g.under, Back: g.back}
	if at.Listen, err = g.free(g.front); err != nil {
		return at, err
	}
	port, err := g.freePort(g.webs...)
	if err != nil {
		return at, err
	}
	for _, a := range g.webs {
		at.Nodes, at.Beside = append(at.Nodes, netip.AddrPortFrom(a, port)), append(at.Beside, g.nodes)
	}
	at.Control, err = g.freePort(append([]netip.Addr{g.back}, g.webs...)...)
	return at, err
}

func sizeTrials(tree *site.Tree, clients int) []trial {
	var out []trial
	for _, f := range tree.Files {
		out = append(out, trial{bytesName(int(f.Size)), []load.Request{{Path: f.Path, Length: f.Size}}, clients, false})
	}
	return out
}

func bytesName(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return strconv.Itoa(n/1024) + " KiB"
	}
	return strconv.Itoa(n) + " B"
}

// row is one contender's figure.
type row struct {
	name string
	Figure
}

func (r *Reply) rows() []row {
	return []row{{"muster", r.Muster}, {"haproxy", r.HAProxy}, {"nginx", r.NGINX}, {"nginx tuned", r.Tuned}}
}

// networkText says what a network is.
var networkText = map[Network]string{
	Veth:     "clients, proxy and nodes in network namespaces of their own, joined by veth pairs",
	Loopback: "addresses of 127.0.0.0/8: no network; as root there would be one",
}

// Table prints the figures for people.
func (r *ProxyResult) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "reply\tproxy\tCPU µs/request\trequests/s\tp50 ms\tp99 ms\tCPU to best\tCPU to tuned\t")
	for _, reply := range r.Replies {
		name := bytesName(reply.Bytes)
		for _, c := range reply.rows() {
			fmt.Fprintf(t, "%s\t%s\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, c.name,
				c.CPU, c.Rate, c.Median, c.Slow, c.CPU/reply.best(), c.CPU/reply.Tuned.CPU)
			name = ""
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
network: %s (%s)
best:    the better one of haproxy and nginx, both with buffers as shipped
tuned:   nginx with room for a reply of 64 kB (proxy_buffers 16 16k) and without temporary files
`, r.Network, networkText[r.Network])
	return err
}

// Plot draws processor time a request as bars: a panel for each size, since they differ by far.
func (r *ProxyResult) Plot(file string) error {
	var panels []plot.Panel
	for _, reply := range r.Replies {
		p := plot.Panel{Title: "Passing on a reply", Y: "CPU µs a request", Groups: []string{bytesName(reply.Bytes)}}
		for _, c := range reply.rows() {
			p.Series = append(p.Series, plot.Series{Name: c.name, Y: []float64{c.CPU}})
		}
		panels = append(panels, p)
	}
	return plot.Write(file, panels...)
}
