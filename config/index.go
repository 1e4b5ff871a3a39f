package config

// An index finds what the rules look up once for each of thousands of names.
type index struct {
	nodes   map[string]*Node
	pools   map[string]*Pool
	poolsOf map[string][]*Pool // by node, as File.PoolsOf
}

func newIndex(f *File) index {
	x := index{map[string]*Node{}, map[string]*Pool{}, map[string][]*Pool{}}
	for i := range f.Nodes {
		x.nodes[f.Nodes[i].Name] = &f.Nodes[i]
	}
	for i := range f.Pools {
		x.pools[f.Pools[i].Name] = &f.Pools[i]
	}
	for i := range f.Pools {
		p := &f.Pools[i]
		seen := map[string]bool{}
		take := func(nodes []string) {
			for _, n := range nodes {
				if !seen[n] {
					seen[n] = true
					x.poolsOf[n] = append(x.poolsOf[n], p)
				}
			}
		}
		take(p.Nodes)
		if p.Zone == nil {
			continue
		}
		for _, from := range p.Zone.BorrowFrom {
			if lender := x.pools[from]; lender != nil {
				take(lender.Nodes)
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
