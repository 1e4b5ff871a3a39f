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

// StartProxy starts Muster with one thread as a proxy that listens there, before nodes that speak HTTP there, all on one
// port, on the given processors (none means any). It returns when the proxy listens.
type StartProxy func(ctx context.Context, nodes []netip.AddrPort, listen netip.AddrPort, cpus []int) (Server, error)

// A ProxyResult is what proxies cost.
type ProxyResult struct {
	Replies []Reply `json:"replies"`
}

// A Reply is what it cost to pass on replies of one size.
type Reply struct {
	Bytes   int     `json:"bytes"`
	Muster  Figure  `json:"muster"`
	HAProxy Figure  `json:"haproxy"`
	NGINX   Figure  `json:"nginx"`
	Ratio   float64 `json:"ratio_to_best"` // processor time a request, ours to the better peer's
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
	hosts := []netip.Addr{netip.MustParseAddr("127.0.0.11"), netip.MustParseAddr("127.0.0.12")}
	port, err := peer.FreePort(hosts...)
	if err != nil {
		return nil, err
	}
	var nodes []netip.AddrPort
	for i, host := range hosts {
		nodes = append(nodes, netip.AddrPortFrom(host, port))
		node, err := peer.NginxNode(fmt.Sprintf("t%d", i+1), nodes[i], tree.Root).Start(ctx, opt.others()...)
		if err != nil {
			return nil, err
		}
		defer node.Stop()
	}
	addr, err := peer.Free(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return nil, err
	}
	server, err := muster(ctx, nodes, addr, opt.under())
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	contenders := []contender{{"muster", addr, server}}
	for _, p := range []func(netip.AddrPort) peer.Peer{
		func(a netip.AddrPort) peer.Peer { return peer.HAProxy(a, nodes) },
		func(a netip.AddrPort) peer.Peer { return peer.NginxProxy(a, nodes, opt.Stock) },
	} {
		c, err := start(ctx, "127.0.0.1", opt.under(), p)
		if err != nil {
			return nil, err
		}
		defer c.server.Stop()
		contenders = append(contenders, c)
	}
	figures, err := contest(ctx, opt, contenders, sizeTrials(tree, opt.Connections))
	if err != nil {
		return nil, err
	}
	out := &ProxyResult{}
	for i, size := range opt.Sizes {
		f := figures[i]
		out.Replies = append(out.Replies, Reply{
			Bytes: size, Muster: f[0], HAProxy: f[1], NGINX: f[2], Ratio: f[0].CPU / min(f[1].CPU, f[2].CPU),
		})
	}
	return out, nil
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

// Table prints the figures for people.
func (r *ProxyResult) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "reply\tproxy\tCPU µs/request\trequests/s\tp50 ms\tp99 ms\tCPU to best peer\t")
	for _, reply := range r.Replies {
		best := min(reply.HAProxy.CPU, reply.NGINX.CPU)
		name := bytesName(reply.Bytes)
		for _, c := range []struct {
			name string
			Figure
		}{{"muster", reply.Muster}, {"haproxy", reply.HAProxy}, {"nginx", reply.NGINX}} {
			fmt.Fprintf(t, "%s\t%s\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t\n", name, c.name, c.CPU, c.Rate, c.Median, c.Slow, c.CPU/best)
			name = ""
		}
	}
	return t.Flush()
}

// Plot draws processor time a request as bars: a panel for each size, since they differ by far.
func (r *ProxyResult) Plot(file string) error {
	var panels []plot.Panel
	for _, reply := range r.Replies {
		panels = append(panels, plot.Panel{
			Title: "Passing on a reply", Y: "CPU µs a request", Groups: []string{bytesName(reply.Bytes)},
			Series: []plot.Series{
				{Name: "muster", Y: []float64{reply.Muster.CPU}},
				{Name: "haproxy", Y: []float64{reply.HAProxy.CPU}},
				{Name: "nginx", Y: []float64{reply.NGINX.CPU}},
			},
		})
	}
	return plot.Write(file, panels...)
}
