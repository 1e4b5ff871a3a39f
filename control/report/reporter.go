package report

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"muster/cluster"
	"muster/internal/wire"
)

// ReporterConfig is how a node reports. Name and Measure must be set.
type ReporterConfig struct {
	Name     string        // of the node
	Interval time.Duration // between reports; 0 means 200 ms
	Timeout  time.Duration // a director that is silent for as long is said to be; 0 means 700 ms

	// Measure returns the node's index, room and use, and its total RAM in bytes. It is handed the RAM of the cluster's
	// node with the least, 0 while that is unknown, and called from Run's goroutine.
	Measure func(least uint64) (cluster.Load, uint64)
}

// A Director is where a node reports to.
type Director struct {
	Name  string
	Addrs []netip.AddrPort // one for each LAN of the node; a zero one is left out
}

// How often an interval beacons are looked for, and the shortest time between reports that are sent at once.
const (
	beats    = 4
	burstGap = 10 * time.Millisecond
)

// A Reporter tells every director what load the node has.
type Reporter struct {
	cfg   ReporterConfig
	log   *slog.Logger
	conns []Conn
	wake  chan struct{} // something has changed: report at once
	timed chan struct{} // the timings have

	mu        sync.Mutex
	party     *wire.Party
	directors []*director
	apps      []cluster.App
	muted     bool
	measured  cluster.Load
	ram       uint64
	clock     clock
	counts    wire.Counts
	broken    uint64
	sent      uint64
	unsent    uint64
	problem   string
	out       []byte
	plain     []byte
}

// A director is what a node knows of one.
type director struct {
	name   string
	peer   *wire.Peer
	addrs  []netip.AddrPort
	heard  []time.Duration // by LAN, by the reporter's clock
	beacon beacon          // the newest
	told   uint64          // its challenge, as last echoed
	silent bool
}

// NewReporter returns a reporter that will send from the sockets, one for each LAN. It knows no directors yet.
func NewReporter(cfg ReporterConfig, key wire.Key, conns []Conn, log *slog.Logger) (*Reporter, error) {
	cfg.Interval = cmp.Or(cfg.Interval, defaultInterval)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	if cfg.Interval < time.Millisecond {
		return nil, fmt.Errorf("interval %v of reports: at least 1 ms", cfg.Interval)
	}
	party, err := wire.NewParty(key, cfg.Name, wire.Report, wire.Beacon)
	if err != nil {
		return nil, err
	}
	return &Reporter{
		cfg: cfg, log: log.With("part", "report"), conns: conns, party: party,
		wake: make(chan struct{}, 1), timed: make(chan struct{}, 1), clock: newClock(2 * cfg.Interval),
		out: make([]byte, 0, wire.MaxDatagram), plain: make([]byte, 0, wire.MaxDatagram),
	}, nil
}

// SetDirectors makes these the directors that are reported to, and reports to them at once. What is known of those that
// stay is kept.
func (r *Reporter) SetDirectors(list []Director) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.Name
	}
	if err := r.party.SetPeers(names); err != nil {
		return err
	}
	var directors []*director
	for _, d := range list {
		i := slices.IndexFunc(r.directors, func(old *director) bool { return old.name == d.Name })
		var known *director
		if i >= 0 {
			known = r.directors[i]
		} else {
			known = &director{name: d.Name, peer: r.party.Peer(d.Name), heard: make([]time.Duration, len(r.conns))}
			for lan := range known.heard {
				known.heard[lan] = r.clock.now
			}
		}
		known.addrs = slices.Clone(d.Addrs[:min(len(d.Addrs), len(r.conns))])
		directors = append(directors, known)
	}
	r.directors = directors
	r.now()
	return nil
}

// SetPools makes these the pools whose applications the node reports. An application that is new is not up until SetApp
// says so.
func (r *Reporter) SetPools(pools []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var apps []cluster.App
	for _, pool := range pools {
		i := slices.IndexFunc(r.apps, func(a cluster.App) bool { return a.Pool == pool })
		if i >= 0 {
			apps = append(apps, r.apps[i])
		} else {
			apps = append(apps, cluster.App{Pool: pool, Reason: "not checked yet"})
		}
	}
	r.apps = apps
	r.now()
}

// SetApp says whether the application for a pool answers. A change is reported at once; a pool that SetPools has not
// named is ignored.
func (r *Reporter) SetApp(a cluster.App) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.apps, func(old cluster.App) bool { return old.Pool == a.Pool })
	if i < 0 || r.apps[i] == a {
		return
	}
	r.apps[i] = a
	r.now()
}

// Mute ends or resumes the reports and touches nothing else: a drill uses it to cut the report channel.
func (r *Reporter) Mute(muted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.muted == muted {
		return
	}
	r.muted = muted
	r.log.Info("reports", "muted", muted)
	r.now()
}

// SetTimings changes ReporterConfig's interval and timeout, from the next report on; 0 leaves one as it is.
func (r *Reporter) SetTimings(interval, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Interval = max(cmp.Or(interval, r.cfg.Interval), time.Millisecond)
	r.cfg.Timeout = cmp.Or(timeout, r.cfg.Timeout)
	r.clock.step = 2 * r.cfg.Interval
	select {
	case r.timed <- struct{}{}:
	default: // Run has yet to look
	}
}

func (r *Reporter) beat() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg.Interval / beats
}

// now makes Run report without waiting for the interval.
func (r *Reporter) now() {
	select {
	case r.wake <- struct{}{}:
	default: // it is going to
	}
}

// Run reports until the context ends. Then it tells the directors that the node leaves, and closes the sockets.
//
// It looks for beacons four times an interval, as the Receiver looks for reports.
func (r *Reporter) Run(ctx context.Context) error {
	defer closeAll(r.conns)
	tick := time.NewTicker(r.beat())
	defer tick.Stop()
	again := time.NewTimer(0) // when the next report may be sent at once
	defer again.Stop()
	r.mu.Lock()
	r.clock.last = time.Now() // what passed since NewReporter was not spent listening
	r.mu.Unlock()
	r.measure()
	r.sendAll(false)
	wake := r.wake
	for beat := 1; ; {
		select {
		case <-ctx.Done():
			r.sendAll(true)
			return nil
		case <-tick.C:
			read(r.conns, r.take)
			if beat++; beat > beats {
				beat = 1
				r.measure()
				r.sendAll(false)
			}
		case <-wake:
			wake = nil
			again.Reset(burstGap)
			r.sendAll(false)
		case <-again.C:
			wake = r.wake
		case <-r.timed:
			tick.Reset(r.beat())
		}
	}
}

// measure asks for the node's load, by the least RAM that any director has told of.
func (r *Reporter) measure() {
	r.mu.Lock()
	least := uint64(0)
	for _, d := range r.directors {
		if b := d.beacon.least; b > 0 && (least == 0 || b < least) {
			least = b
		}
	}
	r.mu.Unlock()
	l, ram := r.cfg.Measure(least)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measured, r.ram = l, ram
	r.clock.tick()
	for _, d := range r.directors {
		silent := !slices.ContainsFunc(d.heard, func(t time.Duration) bool { return r.clock.now-t < r.cfg.Timeout })
		if silent != d.silent {
			d.silent = silent
			if silent {
				r.log.Warn("director is silent", "director", d.name)
			} else {
				r.log.Info("director is heard again", "director", d.name)
			}
		}
	}
}

func (r *Reporter) sendAll(leaving bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock.tick()
	for _, d := range r.directors {
		r.send(d, leaving)
	}
}

// send reports to one director on every LAN. Each datagram has a sequence of its own, so that the director can tell on
// which LAN it hears the node.
func (r *Reporter) send(d *director, leaving bool) {
	if r.muted {
		return
	}
	m := message{load: r.load(), ram: r.ram, leaving: leaving}
	var err error
	r.plain, err = m.append(r.plain[:0], wire.MaxPayload(r.cfg.Name))
	if err != nil {
		if r.problem == "" {
			r.log.Error("cannot report", "error", err)
		}
		r.problem = err.Error()
		return
	}
	r.problem = ""
	d.told = d.peer.Challenge()
	for lan, to := range d.addrs {
		if !to.IsValid() {
			continue
		}
		r.out, err = d.peer.Seal(r.out[:0], r.plain)
		if err == nil {
			err = r.conns[lan].Write(r.out, to)
		}
		if err != nil {
			r.unsent++ // the LAN or the director is away; the next report tries again
			continue
		}
		r.sent++
	}
}

// load is what the node says of itself now. A node none of whose applications answers has index 0 (HAS 3.22): it gets no
// new work of any pool. While some answer, each pool's own state says where work may go.
func (r *Reporter) load() cluster.Load {
	l := r.measured
	l.Apps = r.apps
	if len(r.apps) > 0 && !slices.ContainsFunc(r.apps, func(a cluster.App) bool { return a.Up }) {
		l.Index, l.Room = 0, 0
	}
	l.Hears = nil
	for _, d := range r.directors {
		for lan, heard := range d.heard {
			if lan < len(d.addrs) && d.addrs[lan].IsValid() {
				ms := min((r.clock.now - heard).Milliseconds(), math.MaxUint32)
				l.Hears = append(l.Hears, cluster.Hearing{Director: d.name, LAN: uint8(lan), Silent: uint32(ms)})
			}
		}
	}
	return l
}

// take opens one beacon.
func (r *Reporter) take(lan int, b []byte, _ netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock.tick()
	o := r.party.Open(b)
	r.counts[o.Verdict]++
	if o.Verdict != wire.Accepted {
		return // an unproven director is answered by the next report, which carries our challenge
	}
	i := slices.IndexFunc(r.directors, func(d *director) bool { return d.peer == o.Peer })
	d := r.directors[i]
	d.heard[lan] = r.clock.now
	if !o.Newest {
		return
	}
	news, err := decodeBeacon(o.Payload)
	if err != nil {
		r.broken++
		if r.broken == 1 {
			r.log.Warn("cannot read a beacon; further ones are only counted", "director", d.name, "error", err)
		}
		return
	}
	d.beacon = news
	if d.peer.Challenge() != d.told {
		r.send(d, false) // it may wait to see its challenge
	}
}
