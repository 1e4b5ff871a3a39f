package schedule

import (
	"fmt"
	"slices"
	"strings"

	"muster/cluster"
	"muster/control/share"
	"muster/internal/nearest"
)

// The policies, in the order in which documentation lists them.
var kinds = []kind{rr, wrr, lc, wlc, sh, mh, random, p2c, leastTime, has, load}

// A kind is what sets a policy apart from the others.
type kind struct {
	name   string
	what   string                                           // one line for documentation and help
	weigh  func(cluster.Member) float64                     // the weight of a node that may work; 100 is the norm
	index  func(cluster.Member) cluster.Index               // multiplies the weight, unless it is nil
	slots  func(*policy, *cluster.Table, []cluster.Member)  // lays out the table's slots
	choose func(t *cluster.Table, ask *cluster.Ask) (i int) // see cluster.Table
}

// A Policy makes the share tables of one service. One goroutine at a time may use it.
type Policy interface {
	Name() string

	// Table returns the table for the members of a pool, which it does not keep.
	Table(pool string, members []cluster.Member) *cluster.Table
}

// Config is what a service says of its schedule.
type Config struct {
	Floor float64 // no node that is active gets less than this many per cent of an even share, 0..100
}

// New returns the policy of that name.
func New(name string, cfg Config) (Policy, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		hint := ""
		if n := nearest.Word(name, Names()); n != "" {
			hint = " (did you mean " + n + "?)"
		}
		return nil, fmt.Errorf("schedule %q: there is none of that name%s; there are %s", name, hint, strings.Join(Names(), ", "))
	}
	if !(cfg.Floor >= 0 && cfg.Floor <= 100) {
		return nil, fmt.Errorf("schedule %s: floor of %g %%: it is a part of an even share, from 0 to 100 %%", name, cfg.Floor)
	}
	return &policy{kind: kinds[i], cfg: cfg}, nil
}

// Names lists the policies.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Describe says in one line what the policy does; of a name that is none, nothing.
func Describe(name string) string {
	for _, k := range kinds {
		if k.name == name {
			return k.what
		}
	}
	return ""
}

type policy struct {
	kind
	cfg Config

	parts   []float64
	turns   turns
	builder share.Builder
	names   []string
	nominal []uint32
	weights []uint32
}

func (p *policy) Name() string { return p.name }

// Table weighs the members, and lays out the slots.
func (p *policy) Table(pool string, members []cluster.Member) *cluster.Table {
	t := &cluster.Table{Pool: pool, Schedule: p.name, Shares: make([]cluster.Share, len(members)), Choose: p.choose}
	p.weighAll(members)
	for i, m := range members {
		t.Shares[i] = cluster.Share{Node: m.Node, Addr: m.Addr, State: m.State, Gone: m.Gone, Weight: points(p.parts[i]), Live: m.Live}
	}
	if p.slots != nil {
		p.slots(p, t, members)
	}
	return t
}
