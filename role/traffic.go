package role

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"muster/cluster"
	"muster/config"
	"muster/console"
	"muster/control/report"
	"muster/datapath/vip"
	"muster/internal/run"
)

// A traffic node runs applications: what they and the node's load are -> reports to every director.
type traffic struct {
	log      *slog.Logger
	happened happened
	reporter *report.Reporter
	network  *network
	tasks    run.Group // of the applications

	changing  sync.Mutex    // held while applications are stopped and started, which may take long
	interval  time.Duration // of reports
	drain     time.Duration // how long requests may finish
	self      string
	directors []*console.Client

	mu           sync.Mutex // held beside changing by who writes
	order        []string   // the pools, as in the file
	applications map[string]*application
	direct       map[string]bool // pools that packets come for, by dispatch in the kernel
	blocked      string          // why packets cannot come; empty: they can
	held         string          // why they are not to
}

// newTraffic prepares the parts of a traffic node. Its built-in servers have their ports then; nothing has begun.
func newTraffic(f *config.File, self *config.Node, reporter *report.Reporter, network *network, happened happened, log *slog.Logger) (*traffic, error) {
	t := &traffic{
		log: log.With("part", "traffic"), reporter: reporter, network: network, happened: happened, applications: map[string]*application{},
		blocked: settingUp,
	}
	return t, t.apply(f, self)
}

// list is the node's reports between what ends before and after them: as long as applications run, they are reported.
func (t *traffic) list(reports run.Task) []run.Task {
	return []run.Task{
		{Name: "applications", Run: t.tasks.Run},
		reports,
		{Name: "VIPs in place", Run: t.watchVIPs},
		{Name: "leave", Run: t.leave}, // stopped first
	}
}

// leave waits for the end, and then has the directors take the node out before anything on it stops.
func (t *traffic) leave(ctx context.Context) error {
	<-ctx.Done()
	t.changing.Lock()
	defer t.changing.Unlock()
	for _, a := range t.applications {
		a.leave("the node is being stopped")
	}
	t.finish(slices.Collect(maps.Keys(t.applications)))
	return nil
}

// watchVIPs takes the node out of the pools that packets come for while it could not take them: a director would send
// them into a hole.
func (t *traffic) watchVIPs(ctx context.Context) error {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		t.mindVIPs()
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

func (t *traffic) mindVIPs() {
	now := t.network.blocked()
	t.mu.Lock()
	now = cmp.Or(t.held, now)
	changed := t.blocked != now
	t.blocked = now
	concerned := map[string]*application{}
	for pool, a := range t.applications {
		if changed && t.direct[pool] {
			concerned[pool] = a
		}
	}
	t.mu.Unlock()
	for pool, a := range concerned {
		if up, reason := a.state(); up {
			t.heardOf(pool, up, reason, true)
		}
	}
}

// detach goes out of the pools that packets come for, and gives up the VIPs, until a file is read again.
func (t *traffic) detach() {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	t.held = "an operator has detached this node; `muster reload` brings it back"
	var pools []string
	for pool := range t.direct {
		if t.applications[pool] != nil {
			pools = append(pools, pool)
		}
	}
	t.mu.Unlock()
	t.mindVIPs()
	if len(pools) > 0 {
		time.Sleep(t.heard())
	}
	t.quiet(pools)
	t.network.retire(vip.Want{}, 0)
}

// apply makes the node do what the file says: it stops, changes and starts what differs, and touches nothing else. What
// cannot be started is in the error; the rest is done all the same.
func (t *traffic) apply(f *config.File, self *config.Node) error {
	plans := plansOf(f, self)
	t.changing.Lock()
	defer t.changing.Unlock()
	t.interval, t.drain, t.self, t.directors = f.Timings.Report, drainOf(f), self.Name, clientsOf(f)
	stopped := t.stopOthers(plans)
	var pools []string
	for _, p := range plans {
		pools = append(pools, p.Pool)
	}
	t.mu.Lock()
	t.order, t.direct, t.held = pools, directPools(f), ""
	t.mu.Unlock()
	t.network.retire(accepts(f, self), t.drain)
	t.reporter.SetPools(pools)
	var errs []error
	for _, p := range plans {
		if err := t.start(p); err != nil {
			t.reporter.SetApp(cluster.App{Pool: p.Pool, Reason: err.Error()})
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, t.back(stopped))...)
}

// upAgain is how long an application that was stopped for a change may take to come up under its new plan.
const upAgain = 10 * time.Second

// back waits until directors send work to the applications again that were stopped for a change: who reloads one node
// after the other must not stop the next one before.
func (t *traffic) back(pools []string) error {
	late := time.Now().Add(upAgain)
	waited := false
	for _, pool := range pools {
		a := t.applications[pool]
		if a == nil {
			continue // it is no longer in the file, or an error says why
		}
		for waited = true; ; time.Sleep(10 * time.Millisecond) {
			up, reason := a.state()
			if up {
				break
			}
			if time.Now().After(late) {
				return fmt.Errorf("the file is followed, but the application of pool %s has not come up again in %v: %s", pool, upAgain, reason)
			}
		}
	}
	if waited {
		time.Sleep(t.heard())
	}
	return nil
}

// heard is how long it takes until every director has heard of a change, even if a report is lost on the way.
func (t *traffic) heard() time.Duration { return t.interval + t.interval/2 }

// stopOthers stops the applications that cannot go on under the plans, once no director sends them work any more, and
// returns their pools.
func (t *traffic) stopOthers(plans []plan) (ends []string) {
	for _, pool := range slices.Sorted(maps.Keys(t.applications)) {
		a := t.applications[pool]
		if !slices.ContainsFunc(plans, func(p plan) bool { return a.plan.same(p) || a.plan.kin(p) }) {
			a.leave("it is being changed")
			ends = append(ends, pool)
		}
	}
	if len(ends) > 0 {
		t.finish(ends)
	}
	for _, pool := range ends {
		if err := t.tasks.Stop(pool); err != nil {
			t.log.Error("application ended badly", "pool", pool, "error", err)
		}
		t.mu.Lock()
		delete(t.applications, pool)
		t.mu.Unlock()
	}
	return ends
}

// start has the plan done: by the application that does it already, or by a new one.
func (t *traffic) start(p plan) error {
	if a := t.applications[p.Pool]; a != nil {
		if a.plan.same(p) {
			return nil
		}
		return a.change(p)
	}
	a, err := newApplication(p, t.log, func(up bool, reason string, turned bool) { t.heardOf(p.Pool, up, reason, turned) })
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.applications[p.Pool] = a
	t.mu.Unlock()
	t.tasks.Start(run.Task{Name: p.Pool, Run: a.Run})
	return nil
}

// heardOf passes on what an application says of itself.
func (t *traffic) heardOf(pool string, up bool, reason string, turned bool) {
	t.mu.Lock()
	if up && t.direct[pool] && t.blocked != "" {
		up, reason = false, t.blocked
	}
	t.mu.Unlock()
	t.reporter.SetApp(cluster.App{Pool: pool, Up: up, Reason: reason})
	switch {
	case !turned:
	case up:
		t.happened("application", pool, "down -> up", reason)
	default:
		t.happened("application", pool, "up -> down", reason)
	}
}
