package member

import (
	"time"

	"muster/cluster"
)

const (
	noReport  = "no report yet"
	rampStart = 0.05 // the part of its share that a node gets when its slow start begins
)

// Judge sets the state of the node and of its places by what is known of it.
func (p *Picture) judge(n *node, now time.Time) {
	before := n.state
	type change struct {
		*place
		from cluster.State
	}
	var changes []change
	for _, pl := range n.places {
		was := pl.state
		if pl.set(now, p.placeRule(pl)) {
			pl.pool.count(pl, was, now)
			changes = append(changes, change{pl, was})
		}
	}
	if n.set(now, p.nodeRule(n)) {
		p.note(Event{At: now, Node: n.Name, From: before, To: n.state, Reason: n.reason})
	}
	for _, c := range changes {
		p.changed = true
		if n.state == before || n.state != c.state { // otherwise the node's event says it
			p.note(Event{At: now, Node: n.Name, Pool: c.pool.Name, From: c.from, To: c.state, Reason: c.reason})
		}
	}
}

// A verdict is a state and its reason.
type verdict struct {
	state  cluster.State
	reason string
}

// Set takes the verdict over, and says whether the state changed.
func (s *standing) set(now time.Time, v verdict) bool {
	s.reason = v.reason
	if s.state == v.state {
		return false
	}
	s.state, s.since = v.state, now
	return true
}

// Presence says whether the node is there at all: by its reports, or because it is this process.
func (p *Picture) presence(n *node, byReport bool) (out verdict, present bool) {
	switch w := p.wishes[n.Name]; {
	case w.Wish == cluster.Maint:
		return verdict{cluster.Out, w.say("maintenance, by operator")}, false
	case n.Name == p.cfg.Self && n.Has(cluster.Director) && !byReport:
		return verdict{}, true
	case n.heard.IsZero() && n.gone == "":
		return verdict{cluster.Out, noReport}, false
	case n.gone != "":
		return verdict{cluster.Out, n.gone}, false
	}
	return verdict{}, true
}

func (p *Picture) placeRule(pl *place) verdict {
	n := pl.node
	if out, present := p.presence(n, true); !present {
		return out
	}
	w := p.wishes[n.Name]
	app := n.load.App(pl.pool.Name)
	switch {
	case pl.home != "" && n.to != pl.pool.Name:
		return pl.leaving("going back to pool "+pl.home, "a node of pool "+pl.home)
	case !app.Up && app.Reason != "":
		return verdict{cluster.Out, app.Reason}
	case !app.Up:
		return verdict{cluster.Out, "its application does not answer"}
	case w.Wish == cluster.Drain:
		return pl.leaving(w.say("drain, by operator"), w.say("drained, by operator"))
	case pl.home == "" && n.from == pl.pool.Name:
		return pl.leaving("to be lent to pool "+n.to, "lent to pool "+n.to)
	case pl.home != "":
		return verdict{cluster.Active, "lent by pool " + pl.home}
	}
	return verdict{cluster.Active, ""}
}

// Leaving is the verdict on a place that gets no new work: what it is doing while it has some, and when it has none.
func (pl *place) leaving(doing, done string) verdict {
	if pl.live.Active.Load() > 0 {
		return verdict{cluster.InTransition, doing}
	}
	return verdict{cluster.Standby, done}
}

// NodeRule sums up the places where the node belongs now, and those that it has yet to finish with. A node without any, and
// a director, is active because it is there.
func (p *Picture) nodeRule(n *node) verdict {
	if out, present := p.presence(n, false); !present {
		return out
	}
	var best verdict
	for _, pl := range n.places {
		belongs := pl.home == "" && n.from != pl.pool.Name || pl.home != "" && n.to == pl.pool.Name
		switch {
		case !belongs && pl.state != cluster.InTransition:
		case rank(pl.state) > rank(best.state):
			best = verdict{pl.state, pl.reason}
		case best.reason == "":
			best.reason = "pool " + pl.pool.Name + ": " + pl.reason
		}
	}
	if w := p.wishes[n.Name]; w.Wish == cluster.Drain {
		if best.state == cluster.InTransition {
			return best
		}
		return verdict{cluster.Standby, w.say("drained, by operator")}
	}
	if best.state == cluster.Active || len(n.places) == 0 || n.Has(cluster.Director) {
		return verdict{cluster.Active, ""}
	}
	return best
}

// Rank orders states by how much of the node they leave to the cluster.
func rank(s cluster.State) int {
	switch s {
	case cluster.Active:
		return 3
	case cluster.InTransition:
		return 2
	case cluster.Standby:
		return 1
	}
	return 0
}

// Count takes a change of a place's state into the pool, and begins or ends its slow start.
func (w *pool) count(pl *place, was cluster.State, now time.Time) {
	switch {
	case pl.state == cluster.Active:
		if w.active == 0 {
			w.opened = now
		}
		w.active++
		// A node that was called back before it had finished has not been away.
		if was != cluster.InTransition && now.Sub(w.opened) >= w.SlowStart {
			pl.ramp = now
		}
	case was == cluster.Active:
		w.active--
		pl.ramp = time.Time{}
	}
}

// Ramped is the part of its share that the place gets now.
func (pl *place) ramped(now time.Time) float64 {
	if pl.ramp.IsZero() || pl.pool.SlowStart <= 0 {
		return 1
	}
	return min(rampStart+(1-rampStart)*float64(now.Sub(pl.ramp))/float64(pl.pool.SlowStart), 1)
}
