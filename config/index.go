package config

import "muster/cluster"

// An index finds what the rules look up, for each of thousands of names.
type index struct {
	nodes   map[string]*Node
	pools   map[string]*Pool
	poolsOf map[string][]*Pool // by node, as File.PoolsOf
	nodesOf map[string][]*Node // by pool: its nodes, and those that may be lent to it
	without map[bool]*Node     // a director without an IPv4 address (true), and without an IPv6 address
}

func newIndex(f *File) index {
	x := index{map[string]*Node{}, map[string]*Pool{}, map[string][]*Pool{}, map[string][]*Node{}, map[bool]*Node{}}
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
					x.nodesOf[p.Name] = append(x.nodesOf[p.Name], &f.Nodes[n])
				}
			}
		}
	}
	for i := range f.Nodes {
		for _, v4 := range []bool{true, false} {
			if n := &f.Nodes[i]; n.Has(cluster.Director) && x.without[v4] == nil && !n.hasFamily(v4) {
				x.without[v4] = n
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

// everyServes says whether the built-in web server is the pool's application on all of its nodes.
func (x index) everyServes(p *Pool) bool {
	for _, n := range x.nodesOf[p.Name] {
		if a := x.application(n, p); a == nil || a.Serve == nil {
			return false
		}
	}
	return true
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
