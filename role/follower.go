package role

import (
	"fmt"

	"muster/cluster"
	"muster/config"
	"muster/control/schedule"
)

// A follower turns the members of a service's pool into the tables that its requests follow, and only into such as say
// something new: each report moves every index a little, and a table of 65,537 slots is not to be laid out for that.
type follower struct {
	service, pool string
	policy        schedule.Policy
	seen          []cluster.Member // those of the newest table made
	table         *cluster.Table   // the newest one returned
}

func followersOf(f *config.File) ([]*follower, error) {
	var list []*follower
	for _, s := range f.Services {
		p, err := schedule.New(string(s.Schedule), schedule.Config{Floor: float64(s.Floor)})
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		list = append(list, &follower{service: s.Name, pool: s.Pool, policy: p})
	}
	return list, nil
}

// next returns the table that is to be followed from now on, nil if that is the one it returned before.
func (f *follower) next(members []cluster.Member) *cluster.Table {
	if f.table != nil && alike(f.seen, members, sameMember) {
		return nil
	}
	f.seen = members
	t := f.policy.Table(f.pool, members)
	if f.table != nil && alike(f.table.Shares, t.Shares, sameShare) {
		return nil
	}
	f.table = t
	return t
}

func alike[T any](a, b []T, same func(a, b *T) bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !same(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

func sameMember(a, b *cluster.Member) bool {
	return a.Node == b.Node && a.Addr == b.Addr && a.State == b.State && a.Live == b.Live && a.Weight == b.Weight &&
		near(a.Ramp, b.Ramp) && near(float64(a.Index), float64(b.Index)) && near(float64(a.Room), float64(b.Room))
}

func sameShare(a, b *cluster.Share) bool {
	return a.Node == b.Node && a.Addr == b.Addr && a.State == b.State && a.Live == b.Live &&
		near(float64(a.Weight), float64(b.Weight))
}

// near says whether two figures differ by a fiftieth at most: less than one node's share is ever exact to.
func near(a, b float64) bool { return max(a, b)-min(a, b) <= max(a, b)/50 }
