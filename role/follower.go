package role

import (
	"fmt"
	"slices"

	"muster/cluster"
	"muster/config"
	"muster/control/schedule"
)

// A follower turns the members of a service's pool into the tables that its requests follow, and only into such as say
// something new: each report moves every index a little, and the data path is not to get another table for that.
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
	if f.table != nil && slices.Equal(f.seen, members) {
		return nil
	}
	f.seen = members
	t := f.policy.Table(f.pool, members)
	if !schedule.Worth(f.table, t) {
		return nil
	}
	f.table = t
	return t
}
