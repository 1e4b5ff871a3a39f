package member

import (
	"net/netip"
	"time"

	"muster/cluster"
)

// Configure takes the nodes and pools of a configuration, which has been checked. What stays keeps its state, its wish and
// its counts; a new node is out until it reports, and a wish goes with its node.
func (p *Picture) Configure(nodes []cluster.Node, pools []Pool) {
	p.update(func(now time.Time) {
		old, oldPools := p.byName, p.pools
		p.nodes, p.pools, p.byName = nil, nil, map[string]*node{}
		for _, c := range nodes {
			n := old[c.Name]
			if n == nil {
				n = &node{standing: standing{reason: noReport, since: now}}
			}
			delete(old, c.Name)
			n.Node = c
			p.nodes = append(p.nodes, n)
			p.byName[c.Name] = n
		}
		for gone := range old {
			delete(p.wishes, gone)
		}
		places := map[*node][]*place{}
		for _, c := range pools {
			w := &pool{Pool: c}
			for _, o := range oldPools {
				if o.Name == c.Name {
					w.opened = o.opened
				}
			}
			for _, home := range append([]string{""}, c.From...) {
				for _, name := range residents(pools, c, home) {
					if n := p.byName[name]; n != nil && !has(places[n], w) {
						pl := n.settle(w, home, now)
						places[n] = append(places[n], pl)
						w.places = append(w.places, pl)
						if pl.state == cluster.Active {
							w.active++
						}
					}
				}
			}
			p.pools = append(p.pools, w)
		}
		for _, n := range p.nodes {
			n.places = places[n]
			if a, b := n.place(n.from), n.place(n.to); a == nil || b == nil || a.home != "" || b.home == "" {
				n.from, n.to = "", ""
			}
			p.judge(n, now)
		}
		p.changed = true
	})
}

// Residents lists the nodes of the pool itself, or of the one that may lend it nodes.
func residents(pools []Pool, c Pool, home string) []string {
	if home == "" {
		return c.Nodes
	}
	for _, o := range pools {
		if o.Name == home && home != c.Name {
			return o.Nodes
		}
	}
	return nil
}

func has(places []*place, w *pool) bool {
	for _, pl := range places {
		if pl.pool == w {
			return true
		}
	}
	return false
}

// Settle returns the node's place in the pool: the one that it had there, or a new one.
func (n *node) settle(w *pool, home string, now time.Time) *place {
	pl := n.place(w.Name)
	if pl == nil {
		pl = &place{standing: standing{reason: noReport, since: now}, node: n, live: new(cluster.Live)}
	}
	pl.pool, pl.home = w, home
	pl.live.Limit.Store(int64(w.Limit))
	return pl
}

func (n *node) place(pool string) *place {
	for _, pl := range n.places {
		if pl.pool.Name == pool {
			return pl
		}
	}
	return nil
}

func (pl *place) addr() netip.AddrPort {
	if len(pl.node.Addrs) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(pl.node.Addrs[0], pl.pool.Port)
}
