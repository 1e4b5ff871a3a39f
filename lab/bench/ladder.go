package bench

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"muster/cluster"
	"muster/console"
	"muster/lab/load"
	"muster/lab/testbed"
)

// A ladder climbs from the smallest cluster to the largest, round by round.
type ladder struct {
	contest   *contest
	opt       ScaleOptions
	lab       *testbed.Lab
	names     []string // of all nodes
	webs      []netip.AddrPort
	processor int

	drained []bool
}

// A rung is one cluster in one round.
type rung struct {
	Figure
	kept float64
}

func (l *ladder) run(ctx context.Context) (*ScaleResult, error) {
	l.drained = make([]bool, len(l.names))
	progress := l.opt.Progress
	if progress == nil {
		progress = func(int, int, string) {}
	}
	var alone, resting []Figure
	rungs := make([][]rung, len(l.opt.Nodes))
	done, all := 0, l.opt.Rounds*(1+2*len(l.opt.Nodes)+1)
	step := func(what string, c contender) (Figure, error) {
		progress(done, all, what)
		done++
		return l.contest.round(ctx, c, l.contest.trials[0])
	}
	for round := range l.opt.Rounds {
		before, err := step("no cluster", l.cluster(nil))
		if err != nil {
			return nil, err
		}
		alone = append(alone, before)
		for i, n := range l.opt.Nodes {
			members := choose(round, n, len(l.names))
			if err := l.set(ctx, members); err != nil {
				return nil, err
			}
			f, err := step(fmt.Sprint("cluster of ", n), l.cluster(members))
			if err != nil {
				return nil, err
			}
			after, err := step("no cluster", l.cluster(nil))
			if err != nil {
				return nil, err
			}
			alone = append(alone, after)
			rungs[i] = append(rungs[i], rung{f, f.Rate / float64(n) * float64(len(l.names)) / ((before.Rate + after.Rate) / 2)})
			before = after
		}
		one := one("one node", l.webs[round%len(l.webs)], none{})
		one.clients = l.opt.Connections
		f, err := step(one.name, one)
		if err != nil {
			return nil, err
		}
		resting = append(resting, f)
	}
	progress(all, all, "done")
	return scaleResult(l.opt, len(l.names), alone, resting, rungs), nil
}

// choose picks the nodes of a cluster: others in each round, and from everywhere.
func choose(round, nodes, all int) []int {
	var list []int
	for i := range nodes {
		list = append(list, (round*all/7+i*all/nodes)%all)
	}
	return list
}

// cluster is the load on all nodes, of which some are behind the director.
func (l *ladder) cluster(members []int) contender {
	c := contender{
		name: fmt.Sprint("a cluster of ", len(members)), server: l.lab.Machine("d1").Node(), clients: len(l.names) * l.opt.Connections,
		account: &account{processors: []int{l.processor}},
	}
	behind := map[string]bool{}
	for i, web := range l.webs {
		if slices.Contains(members, i) {
			web = netip.AddrPortFrom(testbed.VIP(0), clear)
			behind[l.names[i]] = true
		}
		c.targets = append(c.targets, web)
	}
	if members != nil {
		c.counts = func(node string) bool { return behind[node] }
	}
	return c
}

// set has the director know the members alone, and waits until all of them have their share. The others are drained.
func (l *ladder) set(ctx context.Context, members []int) error {
	for i, name := range l.names {
		drained := !slices.Contains(members, i)
		if drained == l.drained[i] {
			continue
		}
		wish := cluster.Ready
		if drained {
			wish = cluster.Drain
		}
		if err := l.lab.Client("d1").Wish(ctx, name, wish, "bench scale"); err != nil {
			return fmt.Errorf("have a cluster of %d nodes: %w", len(members), err)
		}
		l.drained[i] = drained
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := l.lab.Await(ctx, 30*time.Second, func(st console.Status) string { return l.wrong(st, members) }); err != nil {
		return err
	}
	return l.settle(ctx, members)
}

// settle waits until the kernel goes by the shares, a moment after the director does: as many connections as there are
// members each get one of their own, or with a schedule that is not rr, any.
func (l *ladder) settle(ctx context.Context, members []int) error {
	for {
		r, err := l.contest.put(ctx, load.Config{
			Targets: []netip.AddrPort{netip.AddrPortFrom(testbed.VIP(0), clear)}, Requests: l.contest.trials[0].requests,
			Connections: len(members), Count: int64(len(members)),
		})
		if err != nil {
			return fmt.Errorf("wait until a cluster of %d nodes is served by these alone: %w", len(members), err)
		}
		right := r.Failed == 0 && (l.opt.Schedule != "rr" || len(r.Nodes) == len(members))
		for node := range r.Nodes {
			right = right && slices.Contains(members, slices.Index(l.names, node))
		}
		if right {
			return nil
		}
	}
}

// wrong says what is wrong with the shares of the members.
func (l *ladder) wrong(st console.Status, members []int) string {
	if st.Director == nil || len(st.Director.Services) != 1 {
		return "the director has no service yet"
	}
	weights := map[uint32]bool{}
	for _, m := range st.Director.Services[0].Members {
		member := slices.Contains(members, slices.Index(l.names, m.Node))
		if member != (m.Weight > 0) {
			return fmt.Sprintf("%s has a share of %d", m.Node, m.Weight)
		}
		if member {
			weights[m.Weight] = true
		}
	}
	if len(weights) != 1 && l.opt.Schedule == "rr" {
		return fmt.Sprintf("%d nodes have %d different shares", len(members), len(weights))
	}
	return ""
}

// scaleResult makes of what was measured what is told.
func scaleResult(opt ScaleOptions, nodes int, alone, resting []Figure, rungs [][]rung) *ScaleResult {
	out := &ScaleResult{
		Cores: opt.Cores, Work: opt.Work, Dispatch: opt.Dispatch, Schedule: opt.Schedule, HAS: table13, LVS: table6,
		Alone: rounded(medians(alone).Rate / float64(nodes)), Resting: medians(resting).Rate,
	}
	for i, n := range opt.Nodes {
		var figures []Figure
		var kept []float64
		for _, r := range rungs[i] {
			figures, kept = append(figures, r.Figure), append(kept, r.kept)
		}
		f := medians(figures)
		s := Scaled{
			Nodes: n, Kept: ratio(middle(kept), 1), Least: ratio(slices.Min(kept), 1), Most: ratio(slices.Max(kept), 1),
			Director: f.Cost.Processes, Busy: f.Cost.Busy,
		}
		s.Rate = rounded(s.Kept * float64(n) * out.Alone)
		out.Clusters = append(out.Clusters, s)
	}
	return out
}
