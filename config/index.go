package config

// An index finds what the rules look up, for each of thousands of names.
type index struct {
	nodes   map[string]*Node
	pools   map[string]*Pool
	poolsOf map[string][]*Pool // by node, as File.PoolsOf
}

func newIndex(f *File) index {
	x := index{map[string]*Node{}, map[string]*Pool{}, map[string][]*Pool{}}
	number := map[string]int{}
	for i := range f.Nodes {
		x.nodes[f.Nodes[i].Name] = &f.Nodes[i]
		number[f.Nodes[i].Name] = i
	}
	members := map[string][]int{} // by pool, the numbers of its nodes
	for i := range f.Pools {
		p := &f.Pools[i]
		x.pools[p.Name] = p
		for _, name := range p.Nodes {
			if n, ok := number[name]; ok {
				members[p.Name] = append(members[p.Name], n)
			}
		}
	}
	// Lists may be long and lent many times over: a node is marked with the pool that it was last put down for.
	last := make([]*Pool, len(f.Nodes))
	for i := range f.Pools {
		p := &f.Pools[i]
		from := []string{p.Name}
		if p.Zone != nil {
			from = append(from, p.Zone.BorrowFrom...)
		}
		for _, pool := range from {
			for _, n := range members[pool] {
				if last[n] != p {
					last[n] = p
					x.poolsOf[f.Nodes[n].Name] = append(x.poolsOf[f.Nodes[n].Name], p)
				}
			}
		}
	}
	return x
}

// application is as File.Application.
func (x index) application(n *Node, p *Pool) *Application {
	for i := range n.Applications {
		if n.Applications[i].Name == p.Name {
			return &n.Applications[i].Application
		}
	}
	return p.Application
}

// everyRuns says whether Muster runs an application for the pool on all of the nodes.
func (x index) everyRuns(nodes []string, p *Pool) bool {
	for _, name := range nodes {
		if n := x.nodes[name]; n != nil && x.application(n, p) == nil {
			return false
		}
	}
	return true
}
