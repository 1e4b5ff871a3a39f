package member

import (
	"maps"
	"slices"
	"time"

	"muster/cluster"
)

// A Snapshot is the picture at one moment. It does not change.
type Snapshot struct {
	At    time.Time
	Nodes []NodeState // in the order of the file
	Pools []PoolState
}

// A NodeState is what is known of one node.
type NodeState struct {
	Name   string
	Roles  []cluster.Role
	State  cluster.State
	Reason string // why it is not active; may be empty when it is
	Since  time.Time
	Age    time.Duration // of the state, by the monotonic clock; Since is for people
	Wish   cluster.Wish
	Why    string        // what the operator gave as the reason of the wish
	Load   cluster.Load  // of the newest report; without a node before the first one
	Heard  time.Duration // how long ago that was; below 0 before the first one
	Pools  map[string]PlaceState
}

// A PlaceState is the state of a node in one pool.
type PlaceState struct {
	State  cluster.State
	Reason string
	Since  time.Time
	Age    time.Duration
	Home   string  // the pool that the node belongs to: this one, or the one that lends it or may
	Ramp   float64 // the part of its share that its slow start gives it yet, to 1
	Active int64   // requests or connections under way from this director
}

// A PoolState is a pool with what a schedule decides from: its own nodes in the order of the file, then those that may be
// lent to it.
type PoolState struct {
	Name    string
	Members []cluster.Member
}

// Node returns the state of the node of that name.
func (s *Snapshot) Node(name string) (NodeState, bool) {
	if i := slices.IndexFunc(s.Nodes, func(n NodeState) bool { return n.Name == name }); i >= 0 {
		return s.Nodes[i], true
	}
	return NodeState{}, false
}

// Pool returns the members of the pool of that name, nil if there is none.
func (s *Snapshot) Pool(name string) []cluster.Member {
	for _, p := range s.Pools {
		if p.Name == name {
			return p.Members
		}
	}
	return nil
}

// Snapshot returns the picture as it is now.
func (p *Picture) Snapshot() *Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s := &Snapshot{At: now}
	for _, n := range p.nodes {
		w := p.wishes[n.Name]
		state := NodeState{
			Name: n.Name, Roles: n.Roles, State: n.state, Reason: n.reason, Since: n.since, Age: now.Sub(n.since),
			Wish: w.Wish, Why: w.Why, Load: n.load, Heard: -1, Pools: map[string]PlaceState{},
		}
		if !n.heard.IsZero() {
			state.Heard = now.Sub(n.heard)
		}
		for _, pl := range n.places {
			home := pl.home
			if home == "" {
				home = pl.pool.Name
			}
			state.Pools[pl.pool.Name] = PlaceState{
				State: pl.state, Reason: pl.reason, Since: pl.since, Age: now.Sub(pl.since),
				Home: home, Ramp: pl.ramped(now), Active: pl.live.Active.Load(),
			}
		}
		s.Nodes = append(s.Nodes, state)
	}
	for _, w := range p.pools {
		s.Pools = append(s.Pools, PoolState{w.Name, p.members(w, now)})
	}
	return s
}

// Members returns the members of one pool as they are now, nil if there is none of that name.
func (p *Picture) Members(pool string) []cluster.Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.pools {
		if w.Name == pool {
			return p.members(w, time.Now())
		}
	}
	return nil
}

func (p *Picture) members(w *pool, now time.Time) []cluster.Member {
	list := make([]cluster.Member, len(w.places))
	for i, pl := range w.places {
		_, present := p.presence(pl.node, true)
		list[i] = cluster.Member{
			Node: pl.node.Name, Addr: pl.addr(), State: pl.state, Gone: !present, Weight: pl.node.Weight, Ramp: pl.ramped(now),
			Index: pl.node.load.Index, Room: pl.node.load.Room, Live: pl.live,
		}
	}
	return list
}

// Wishes lists the wishes other than ready, by the names of the nodes.
func (p *Picture) Wishes() []Wished {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Wished, 0, len(p.wishes))
	for _, name := range slices.Sorted(maps.Keys(p.wishes)) {
		list = append(list, p.wishes[name])
	}
	return list
}

// Restore sets wishes that were saved. One of a node that is not configured yet waits for it until the next Configure.
func (p *Picture) Restore(wishes []Wished) {
	p.update(func(now time.Time) {
		for _, w := range wishes {
			if delete(p.wishes, w.Node); w.Wish != cluster.Ready {
				p.wishes[w.Node] = w
			}
			if n := p.byName[w.Node]; n != nil {
				p.judge(n, now)
			}
		}
		p.changed = true
	})
}
