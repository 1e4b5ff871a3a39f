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
	"muster/datapath/vip"
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
	packets  *packets
	network  *network
	self     string
	happened happened
	logs     *logFiles
	patience time.Duration // how long it waits for the first reports
	wishes   string        // the file that they are kept in
	saving   sync.Mutex

	changing sync.Mutex // held while what is served changes

	mu        sync.Mutex // over what follows from the file
	file      *config.File
	proxied   []request.Service // those of all services that a proxy serves, or may have to
	ready     bool              // enough is known of the nodes for the kernel to follow
	followers []*follower
	zones     *schedule.Zones
	began     time.Time
	epoch     uint64
	told      uint64    // the number of the last event that was passed on
	tried     time.Time // when what the kernel could not do was tried again; the goroutine of follow has it
}

// newDirector prepares the parts of a director. It listens for reports and clients then, and answers neither; what an earlier
// process has left in the kernel goes on.
func newDirector(f *config.File, self *config.Node, key wire.Key, wishes string, network *network, happened happened, log *slog.Logger) (*director, error) {
	d := &director{
		log: log.With("part", "director"), happened: happened, wishes: wishes, began: time.Now(), logs: newLogFiles(), patience: f.Timings.Timeout,
		self: self.Name, network: network, packets: newPackets(self.Name, packetConfig(f, self, key), happened, log),
	}
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
		{Name: "packets", Run: d.packets.running.Run}, // what it has in the kernel goes on
		{Name: "proxy", Run: d.serve},                 // stopped first: it drains while the others still know which nodes work
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
	d.mu.Lock()
	d.ready = true // from here on, who has not been heard is gone
	d.mu.Unlock()
	d.publish() // the first request finds what has been heard
	if err := d.dispatch(true); err != nil {
		return err
	}
	return d.proxy.Run(ctx)
}

// dispatch has the kernel work by the tables that are set, the proxy take what the kernel cannot, and clients find the VIPs.
func (d *director) dispatch(first bool) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	return d.settle(first)
}

// settle is dispatch for who holds changing.
func (d *director) settle(first bool) error {
	d.mu.Lock()
	f := d.file
	d.mu.Unlock()
	if err := d.packets.attach(f, first); err != nil {
		return err
	}
	if err := d.proxy.Apply(d.toProxy()); err != nil { // more than before only where the kernel has refused
		return err
	}
	d.publish()
	d.network.set(cluster.Director, answers(f, f.Node(d.self), func(s *config.Service) bool {
		return !s.Dispatch.Kernel() || d.packets.proxies(s.Name) || d.packets.dispatches()
	}))
	d.network.leave(d.packets.dispatches())
	return nil
}

// toProxy are the services that the proxy serves.
func (d *director) toProxy() []request.Service {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []request.Service
	for _, s := range d.proxied {
		if !d.file.Service(s.Name).Dispatch.Kernel() || d.packets.proxies(s.Name) {
			list = append(list, s)
		}
	}
	return list
}

// lookAfter tries again what the kernel could not do, and tells of what keeps packets from flowing.
func (d *director) lookAfter() {
	d.packets.notice()
	d.mu.Lock()
	f, ready := d.file, d.ready
	d.mu.Unlock()
	if !ready || time.Since(d.tried) < retryEvery {
		return
	}
	d.tried = time.Now()
	d.changing.Lock()
	defer d.changing.Unlock()
	if !d.packets.retry(f) {
		return
	}
	d.mu.Lock()
	for _, one := range d.followers {
		one.again()
	}
	d.mu.Unlock()
	d.publish()
	if err := d.settle(true); err != nil {
		d.log.Error("services", "error", err)
	}
}

// detach takes everything out of the kernel and off the machine's network, until a file is read again.
func (d *director) detach() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	err := d.packets.detach()
	d.network.set(cluster.Director, vip.Want{})
	d.network.leave(false)
	return err
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
	followers, err := followersOf(f, f.Node(d.self))
	if err != nil {
		return nil, err
	}
	return func() error {
		d.changing.Lock()
		defer d.changing.Unlock()
		d.mu.Lock()
		old, proxied, ready := d.file, d.proxied, d.ready
		d.mu.Unlock()
		undo, err := d.packets.apply(f, old == nil)
		if err != nil {
			return err
		}
		if ready { // what has only begun to be dispatched is not answered for yet
			if err := d.packets.attach(f, false); err != nil {
				undo()
				return err
			}
		}
		d.mu.Lock()
		d.file, d.proxied = f, list
		d.mu.Unlock()
		if err := d.proxy.Apply(d.toProxy()); err != nil {
			undo()
			d.mu.Lock()
			d.file, d.proxied = old, proxied
			d.mu.Unlock()
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
		d.inherit(followers)
		d.followers, d.zones = followers, schedule.NewZones(zonesOf(f))
		d.mu.Unlock()
		d.publish()
		if !ready {
			return nil // dispatch follows
		}
		return d.settle(false)
	}, nil
}

// follow has the proxy follow the picture. The picture tells of a new state at once and of new loads ten times a second.
func (d *director) follow(ctx context.Context) error {
	changes, stop := d.picture.Watch()
	defer stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	often := time.NewTicker(countEvery)
	defer often.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			d.publish()
			d.passOn()
		case <-often.C:
			d.count()
		case <-second.C:
			d.moveNodes()
			d.lookAfter()
		}
	}
}

// countEvery is how often what the kernel has under way is taken over into what the nodes have in all.
const countEvery = 100 * time.Millisecond

func (d *director) count() {
	d.mu.Lock()
	defer d.mu.Unlock()
	idle := !d.packets.dispatches()
	for _, f := range d.followers {
		for _, t := range f.tallies {
			if idle { // nobody counts any more
				t.live.Active.Store(0)
			}
			t.count()
		}
	}
}

// inherit gives the followers of a new file what those of the old one have counted. The caller holds mu.
func (d *director) inherit(followers []*follower) {
	for _, old := range d.followers {
		i := slices.IndexFunc(followers, func(f *follower) bool { return f.service == old.service && f.at != nil && f.pool == old.pool })
		if i >= 0 {
			followers[i].tallies = old.tallies
		} else {
			old.release()
		}
	}
}

// publish is where the control path meets the data path: the picture's members become the tables that requests follow.
func (d *director) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.followers {
		members := d.picture.Members(f.pool)
		kernel := f.at != nil && !d.packets.proxies(f.service)
		if kernel {
			if !d.ready {
				continue // nobody has been heard, and flows of nodes that are gone would be lost
			}
			members = f.place(members)
		}
		if f.placed != kernel {
			f.placed = kernel
			f.again()
		}
		if !kernel {
			f.release()
		}
		table := f.next(members)
		if table == nil {
			continue
		}
		d.epoch++
		if !kernel {
			d.proxy.SetTable(f.service, table)
		} else if d.packets.setTable(f.service, table) != nil {
			f.again() // it has said why
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
