package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"muster/lab/plot"
)

// The ways of dispatch.
const (
	wayDirect   = "direct" // no director: clients ask the nodes, half of them each
	wayDR       = "dr"
	wayTunnel   = "tunnel"
	wayNAT      = "nat"
	wayProxy    = "proxy"
	wayHAProxy  = "haproxy"
	wayNginx    = "nginx"
	wayNFTables = "nftables"
)

// Methods are all ways of dispatch, in the order in which they take turns.
var Methods = []string{wayDR, wayTunnel, wayNAT, wayProxy, wayHAProxy, wayNginx, wayNFTables}

// DispatchOptions say how to measure ways of dispatch.
type DispatchOptions struct {
	Options
	Methods []string // nil means all
}

// ways are the methods to be measured, after none.
func (o DispatchOptions) ways() []string {
	list := []string{wayDirect}
	for _, m := range Methods {
		if o.Methods == nil || slices.Contains(o.Methods, m) {
			list = append(list, m)
		}
	}
	return list
}

// A DispatchResult is what the ways of dispatch cost a director, before the same nodes. Methods and ratios are of the
// smallest reply.
type DispatchResult struct {
	Bytes       int               `json:"bytes"`
	Direct      Method            `json:"direct"` // no director
	Methods     map[string]Method `json:"methods"`
	DRToHAProxy float64           `json:"dr_to_haproxy"`
	NATToDR     float64           `json:"nat_to_dr"`
	NFTToDR     float64           `json:"nftables_to_dr"`
	Whole       WholeRatios       `json:"whole"`
	Fig27       map[string]int    `json:"has_fig27_rps"` // at which the directors of HAS Fig. 27 saturate
	Sizes       []BySize          `json:"sizes"`
	Capacity    []Capacity        `json:"capacity"`

	ways []string
}

// WholeRatios are the same ratios of all that the director's machine did: with what veth pairs cost here, where network cards
// would be.
type WholeRatios struct {
	DRToHAProxy float64 `json:"dr_to_haproxy"`
	NATToDR     float64 `json:"nat_to_dr"`
	NFTToDR     float64 `json:"nftables_to_dr"`
}

// A Method is one way of dispatch under one load.
//
// CPU is user and system time of the director's processes and run time of the BPF programs on its ports. nftables has
// neither; its CPU is the kernel's work on packets in the director's network, the time of its hooks included.
type Method struct {
	Figure
	Cost
	OverDirect float64 `json:"over_direct_us"` // of the whole machine, more than without a director
	Limit      float64 `json:"limit_rps"`      // requests a second that keep one processor of the director busy, by Whole
}

// BySize is every way under replies of one size.
type BySize struct {
	Bytes   int               `json:"bytes"`
	Direct  Method            `json:"direct"`
	Methods map[string]Method `json:"methods"`
}

// Capacity is how many nodes one director carries under replies of one size, if each has processors alike: what a
// request costs the node, by what it costs the director (IBM's question).
type Capacity struct {
	Bytes int     `json:"bytes"`
	Node  float64 `json:"node_us"` // a request costs its node, asked without a director
	// By way of dispatch. Nodes is by the director's CPU, Whole by all that its machine did.
	Nodes map[string]float64 `json:"nodes"`
	Whole map[string]float64 `json:"nodes_whole"`
}

// fig27 is HAS Fig. 27: requests a second at which the director of an LVS cluster saturated.
var fig27 = map[string]int{"dr": 4700, "nat": 2000}

// Dispatch measures every way of dispatch before the same two nodes, in a lab of the program's own. It needs root.
func Dispatch(ctx context.Context, opt DispatchOptions, program string) (*DispatchResult, error) {
	if opt.Sizes == nil {
		opt.Sizes = []int{1 << 10, 16 << 10, 128 << 10, 1 << 20}
	}
	opt.Options = opt.withDefaults()
	f, err := newField(ctx, opt, program)
	if err != nil {
		return nil, err
	}
	defer f.close()
	figures, err := f.contest.run(ctx)
	if err != nil {
		return nil, err
	}
	return dispatchResult(opt.Sizes, opt.ways(), figures), nil
}

// dispatchResult makes of figures, by size and way, what is told.
func dispatchResult(sizes []int, ways []string, figures [][]Figure) *DispatchResult {
	out := &DispatchResult{Fig27: fig27, ways: ways}
	for i, size := range sizes {
		s := BySize{Bytes: size, Methods: map[string]Method{}}
		for j, way := range ways {
			m := method(way, figures[i][j], figures[i][0].Cost.Machine)
			if way == wayDirect {
				s.Direct = m
			} else {
				s.Methods[way] = m
			}
		}
		out.Sizes = append(out.Sizes, s)
		out.Capacity = append(out.Capacity, s.capacity())
	}
	least := out.Sizes[0]
	for _, s := range out.Sizes {
		if s.Bytes < least.Bytes {
			least = s
		}
	}
	out.Bytes, out.Direct, out.Methods = least.Bytes, least.Direct, least.Methods
	cpu := func(way string) float64 { return least.Methods[way].CPU }
	whole := func(way string) float64 { return least.Methods[way].Whole }
	out.DRToHAProxy, out.NATToDR, out.NFTToDR = ratio(cpu(wayDR), cpu(wayHAProxy)), ratio(cpu(wayNAT), cpu(wayDR)), ratio(cpu(wayNFTables), cpu(wayDR))
	out.Whole = WholeRatios{
		ratio(whole(wayDR), whole(wayHAProxy)), ratio(whole(wayNAT), whole(wayDR)), ratio(whole(wayNFTables), whole(wayDR)),
	}
	return out
}

func method(way string, f Figure, direct float64) Method {
	m := Method{Figure: f, Cost: f.Cost}
	switch way {
	case wayNFTables:
		m.CPU = m.Packets
	default:
		m.CPU = rounded(m.Processes + m.Programs)
	}
	m.OverDirect = rounded(m.Machine - direct)
	m.Limit = math.Round(ratio(1e6, m.Whole))
	return m
}

// ratio has four digits after the point: that of dr to a proxy is small.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return math.Round(a/b*1e4) / 1e4
}

func (s *BySize) capacity() Capacity {
	c := Capacity{Bytes: s.Bytes, Node: s.Direct.Nodes, Nodes: map[string]float64{}, Whole: map[string]float64{}}
	for way, m := range s.Methods {
		c.Nodes[way], c.Whole[way] = math.Round(ratio(c.Node, m.CPU)*10)/10, math.Round(ratio(c.Node, m.Whole)*10)/10
	}
	return c
}

// Table prints the figures for people.
func (r *DispatchResult) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "reply\tway\tCPU µs\tprocess\tBPF\truns\tsoftirq\twhole µs\tmachine µs\tover direct\trequests/s\tp99 ms\tlimit, requests/s\tHAS Fig. 27\t")
	for _, s := range r.Sizes {
		name := bytesName(s.Bytes)
		for _, way := range r.ways {
			m, limit, has := s.Methods[way], "-", "-"
			if way == wayDirect {
				m = s.Direct
			} else {
				limit = fmt.Sprintf("%.0f", m.Limit)
			}
			if n := r.Fig27[way]; n > 0 && s.Bytes == r.Bytes {
				has = fmt.Sprint(n)
			}
			fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.3f\t%.1f\t%.2f\t%.2f\t%.1f\t%+.1f\t%.0f\t%.2f\t%s\t%s\t\n", name, way,
				m.CPU, m.Processes, m.Programs, m.Runs, m.Packets, m.Whole, m.Machine, m.OverDirect, m.Rate, m.Slow, limit, has)
			name = ""
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s: dr to haproxy %s, nat to dr %.2f, nftables to dr %.1f; by whole: %s, %.2f, %.1f\n\n", bytesName(r.Bytes),
		fraction(r.DRToHAProxy), r.NATToDR, r.NFTToDR, fraction(r.Whole.DRToHAProxy), r.Whole.NATToDR, r.Whole.NFTToDR)
	t.Init(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "nodes that one director carries\tnode µs\t")
	for _, way := range r.ways[1:] {
		fmt.Fprintf(t, "%s\t", way)
	}
	fmt.Fprintln(t)
	for _, c := range r.Capacity {
		for i, by := range []map[string]float64{c.Nodes, c.Whole} {
			name := bytesName(c.Bytes)
			if i == 1 {
				name = "by whole"
			}
			fmt.Fprintf(t, "%s\t%.1f\t", name, c.Node)
			for _, way := range r.ways[1:] {
				fmt.Fprintf(t, "%.1f\t", by[way])
			}
			fmt.Fprintln(t)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, dispatchMethod)
	return err
}

// fraction is how small ratios are said.
func fraction(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("1/%.0f", 1/r)
}

const dispatchMethod = `
All figures are µs of processor time a request, medians of rounds in which the ways took turns.
CPU:      process + BPF; of nftables, which has neither, softirq
process:  user and system time of the director's processes, reports and checks included
BPF:      run time of the programs on the director's ports, as the kernel counts it
runs:     of these programs: packets that came to the director
softirq:  the kernel's work on packets that came to the director, BPF included, in whosever time; a veth pair is dearer
          here than a network card's driver: it copies each packet that XDP sees
whole:    process, less its work on packets of other machines, with that of others on the director's
machine:  all that was not idle: clients, router, switch, director, nodes
direct:   clients ask the nodes without a director
limit:    requests/s that keep one processor of the director busy, by whole; HAS Fig. 27 has those at which its director,
          LVS by direct routing and by NAT, saturated
network:  frames of up to 1,500 bytes, and none of a network card's offloads: what sends long replies pays for each frame
carries:  what a request costs its node, asked directly, by CPU (or whole) of the director
`

// Plot draws what the ways cost a director, by size of the reply.
func (r *DispatchResult) Plot(file string) error {
	cost := plot.Panel{Title: "What dispatch costs a director: " + bytesName(r.Bytes), Y: "CPU µs a request", Groups: []string{""}}
	for _, way := range r.ways[1:] {
		cost.Series = append(cost.Series, plot.Series{Name: way, Y: []float64{r.Methods[way].CPU}})
	}
	carries := plot.Panel{Title: "Nodes that one director carries", X: "reply, KiB", Y: "nodes", Log: true}
	for _, way := range r.ways[1:] {
		s := plot.Series{Name: way, X: []float64{}}
		for _, c := range r.Capacity {
			if c.Nodes[way] > 0 {
				s.X, s.Y = append(s.X, float64(c.Bytes)/1024), append(s.Y, c.Nodes[way])
			}
		}
		carries.Series = append(carries.Series, s)
	}
	return plot.Write(file, cost, carries)
}
