package role

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"muster/cluster"
	"muster/config"
	"muster/control/report"
	"muster/control/schedule"
	"muster/datapath/request"
	"muster/ha/member"
	"muster/internal/run"
	"muster/internal/wire"
)

// A director takes clients in: load reports -> picture -> tables -> the proxy that follows them.
type director struct {
	log      *slog.Logger
	picture  *member.Picture
	receiver *report.Receiver
	proxy    *request.Proxy
	happened happened
	logs     *logFiles
	patience time.Duration // how long it waits for the first reports
	wishes   string        // the file that they are kept in
	saving   sync.Mutex

	mu        sync.Mutex // over what follows from the file
	followers []*follower
	zones     *schedule.Zones
	began     time.Time
	epoch     uint64
	told      uint64 // the number of the last event that was passed on
}

// newDirector prepares the parts of a director. It listens for reports and clients then, and answers neither.
func newDirector(f *config.File, self *config.Node, key wire.Key, wishes string, happened happened, log *slog.Logger) (*director, error) {
	d := &director{log: log.With("part", "director"), happened: happened, wishes: wishes, began: time.Now(), logs: newLogFiles(), patience: f.Timings.Timeout}
	d.picture = member.NewPicture(member.Config{Self: self.Name}, log)
	saved, err := member.LoadWishes(wishes)
	if err != nil {
		d.log.Error("wishes are lost", "error", err)
	}
	d.picture.Restore(saved)
	conns, err := report.Listen(self.ReportAddrs())
	if err != nil {
		return nil, err
	}
	d.receiver, err = report.NewReceiver(report.ReceiverConfig{
		Name: self.Name, Interval: f.Timings.Report, Timeout: f.Timings.Timeout,
		Heard:   d.picture.Heard,
		Overdue: d.picture.Overdue,
		Silent:  d.picture.Gone,
	}, key, conns, log)
	if err != nil {
		return nil, err
	}
	d.proxy, err = request.New(request.Config{Threads: threads(f), Drain: drainOf(f)}, log.With("part", "proxy"))
	if err != nil {
		return nil, err
	}
	apply, err := d.prepare(f)
	if err != nil {
		return nil, err
	}
	return d, apply()
}

func (d *director) list() []run.Task {
	return []run.Task{
		{Name: "picture", Run: d.picture.Run},
		{Name: "reports in", Run: d.receiver.Run},
		{Name: "tables", Run: d.follow},
		{Name: "proxy", Run: d.serve}, // stopped first: it drains while the others still know which nodes work
	}
}

// serve lets clients in. A director that has just begun knows of no node: until all traffic nodes have reported, or their
// silence says that they are not there, clients wait in the kernel's queue and are not refused.
func (d *director) serve(ctx context.Context) error {
	changes, stop := d.picture.Watch()
	late := time.NewTimer(d.patience)
	for waiting := true; waiting && !d.heardAll(); {
		select {
		case <-changes:
		case <-late.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	late.Stop()
	stop()
	d.publish() // the first request finds what has been heard
	return d.proxy.Run(ctx)
}

func (d *director) heardAll() bool {
	return !slices.ContainsFunc(d.picture.Snapshot().Nodes, func(n member.NodeState) bool {
		return slices.Contains(n.Roles, cluster.Traffic) && n.Heard < 0
	})
}

// prepare makes all that a file means for a director and can be wrong on this machine, and returns what applies it. Only
// an address that cannot be listened on can still be in the way of that; then nothing has changed.
func (d *director) prepare(f *config.File) (apply func() error, err error) {
	list, err := services(f, d.logs.to)
	if err != nil {
		return nil, err
	}
	followers, err := followersOf(f)
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := d.proxy.Apply(list); err != nil {
			return err
		}
		if err := d.receiver.SetTimings(f.Timings.Report, f.Timings.Timeout); err != nil {
			return err
		}
		d.picture.Configure(nodesOf(f), poolsOf(f))
		if err := d.receiver.SetNodes(names(f)); err != nil {
			return fmt.Errorf("listen to the nodes of the file: %w", err)
		}
		_ = d.saveWishes() // it logs what is wrong; those of nodes that are gone are gone
		d.logs.keep(list)
		d.mu.Lock()
		d.followers, d.zones = followers, schedule.NewZones(zonesOf(f))
		d.mu.Unlock()
		d.publish()
		return nil
	}, nil
}

// follow has the proxy follow the picture. The picture tells of a new state at once and of new loads ten times a second.
func (d *director) follow(ctx context.Context) error {
	changes, stop := d.picture.Watch()
	defer stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			d.publish()
			d.passOn()
		case <-second.C:
			d.moveNodes()
		}
	}
}

// publish is where the control path meets the data path: the picture's members become the tables that requests follow.
func (d *director) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.followers {
		if table := f.next(d.picture.Members(f.pool)); table != nil {
			d.proxy.SetTable(f.service, table)
			d.epoch++
		}
	}
	d.receiver.SetEpoch(d.epoch)
}

// passOn makes the picture's events known.
func (d *director) passOn() {
	for _, e := range d.picture.Events() {
		if e.Number <= d.told {
			continue
		}
		d.told = e.Number
		name := e.Node
		if e.Pool != "" {
			name += " in pool " + e.Pool
		}
		d.happened("node", name, fmt.Sprintf("%s -> %s", e.From, e.To), e.Reason)
	}
}

// moveNodes lends nodes to busy pools, and brings them home.
func (d *director) moveNodes() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.zones.Step(time.Since(d.began), seats(d.picture.Snapshot())) {
		if err := d.picture.Move(m.Node, m.From, m.To); err != nil {
			d.log.Error("node cannot move", "error", err)
			continue
		}
		d.happened("node", m.Node, m.From+" -> "+m.To, m.Why)
		d.log.Info("node moves", "node", m.Node, "from", m.From, "to", m.To, "why", m.Why)
	}
}

// seats are the places in which a node is active.
func seats(s *member.Snapshot) []schedule.Seat {
	var list []schedule.Seat
	for _, n := range s.Nodes {
		for pool, p := range n.Pools {
			if p.State == cluster.Active {
				list = append(list, schedule.Seat{Node: n.Name, Home: p.Home, In: pool, Busy: n.Load.Busy})
			}
		}
	}
	return list
}

// setWish notes what the operator wants of a node, and returns once it will survive a restart.
func (d *director) setWish(node string, wish cluster.Wish, why string) error {
	if err := d.picture.SetWish(node, wish, why); err != nil {
		return err
	}
	d.happened("wish", node, wish.String(), why)
	d.log.Info("operator's wish", "node", node, "wish", wish, "why", why)
	if err := d.saveWishes(); err != nil {
		return fmt.Errorf("node %s: the wish %s is followed, but it would not survive a restart of this director: %w", node, wish, err)
	}
	return nil
}

func (d *director) saveWishes() error {
	d.saving.Lock()
	defer d.saving.Unlock()
	err := member.SaveWishes(d.wishes, d.picture.Wishes())
	if err != nil {
		d.log.Error("wishes are not saved", "error", err)
	}
	return err
}
