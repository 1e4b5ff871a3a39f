package packet

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"muster/internal/run"
)

// A Forwarder keeps the kernel's program and what it reads. Its methods may be called from any goroutine.
type Forwarder struct {
	cfg   Config
	log   *slog.Logger
	purge chan struct{} // there is something in todo
	look  chan struct{} // nodes or services have changed: look at the ways to them
	swap  chan struct{} // tables are waiting to be swapped
	ended chan Flow     // flows that user space has ended, on their way to Happened

	swapping sync.Mutex // held while tables are being swapped, and while places of services are given back; taken before mu

	mu     sync.RWMutex // over everything below; held for moments
	kernel *kernel      // nil: closed
	pins   *pins        // nil: nothing outlives the process
	old    *oldSet      // pinned maps that are still in use, and cannot be taken over

	services  map[string]*service
	order     []*service // as Apply had them
	fronts    map[Front]*front
	entries   map[directorFront]directorService // what `services` holds
	sources   map[directorSourceKey]uint32      // what `sources` holds
	serviceAt []*service                        // by place, those that are leaving too
	frontAt   []*front
	nodes     []*node

	servicePlaces, frontPlaces, nodePlaces vacancies

	todo     todo
	ports    map[string]*port
	states   map[int]netlink.LinkOperState // of all interfaces
	own      map[netip.Addr]bool           // addresses of this machine
	hops     map[hop]string                // next hops that are kept resolved, and what is wrong with those that cannot be
	kept     map[uint32]hop                // those of them that are in the book, by their place there
	strays   map[netip.Addr]string         // nodes that there is no way to, and why
	scratch  directorTable
	fill     fill
	swaps    uint64
	swapTook time.Duration          // the newest, to prepare
	pending  map[*service]*ebpf.Map // tables that wait for swapTables
	running  bool                   // swapTables does

	defaults Service
	count    struct{ expired, resets, mended, lost atomic.Uint64 }
}

// New loads the program and its maps, or takes over those that are pinned: their flows and counters go on. It attaches
// nothing, and what is attached already stays as it is.
func New(cfg Config, log *slog.Logger) (*Forwarder, error) {
	f := &Forwarder{
		cfg: cfg.withDefaults(), log: log.With("part", "packet"),
		purge: make(chan struct{}, 1), look: make(chan struct{}, 1), swap: make(chan struct{}, 1), ended: make(chan Flow, 4096),
		services: map[string]*service{}, fronts: map[Front]*front{},
		entries: map[directorFront]directorService{}, sources: map[directorSourceKey]uint32{},
		serviceAt: make([]*service, mostServices+2), frontAt: make([]*front, mostFronts), nodes: make([]*node, mostNodes),
		servicePlaces: newVacancies("services", 1, mostServices),
		frontPlaces:   newVacancies("addresses and ports", 0, mostFronts),
		nodePlaces:    newVacancies("nodes", 0, mostNodes),
		ports:         map[string]*port{}, own: ownAddresses(), hops: map[hop]string{}, kept: map[uint32]hop{}, strays: map[netip.Addr]string{},
		todo: newTodo(), pending: map[*service]*ebpf.Map{}, defaults: Service{}.withDefaults(),
	}
	if err := f.open(); err != nil {
		_ = f.Close() // the first error says it
		return nil, err
	}
	return f, nil
}

// open finds what is pinned, and loads the rest.
func (f *Forwarder) open() (err error) {
	spec, err := specOf(f.cfg)
	if err != nil {
		return err
	}
	var pinned map[string]*ebpf.Map
	if f.cfg.Pin != "" {
		if f.pins, err = openPins(f.cfg.Pin); err != nil {
			return err
		}
		set, named, err := f.pins.newest()
		if err != nil {
			return err
		}
		defer closeAll(named)
		if named != nil {
			book, err := readBook(named[bookName])
			if err != nil {
				return err
			}
			if err := fits(spec, named, book); err == nil {
				pinned, f.pins.set = named, set
				if err := f.pins.forgetOthers(); err != nil {
					return err
				}
			} else if f.old, err = newOldSet(set, named, book); err != nil {
				return err
			}
		}
	}
	if f.kernel, err = load(spec, pinned); err != nil {
		return err
	}
	if pinned != nil {
		if err := f.takeOver(); err != nil {
			return err
		}
	}
	return f.settings()
}

// settings are what the program is told at the start.
func (f *Forwarder) settings() error {
	v := directorSetting{Mix: uint64(f.cfg.Seed), Events: 1 << directorEventKindE_NO_NEIGHBOUR, Epoch: 1}
	if f.cfg.Happened != nil {
		v.Events |= 1<<directorEventKindE_NEW | 1<<directorEventKindE_ESTABLISHED | 1<<directorEventKindE_CLOSED
	}
	for _, a := range f.cfg.Addresses {
		if to := &v.V4.W; a.Is4() && *to == (wireAddr{}) {
			*to = toWire(a)
		}
		if to := &v.V6.W; a.Is6() && *to == (wireAddr{}) {
			*to = toWire(a)
		}
	}
	if v.Mix == 0 {
		var known bookEntry
		if err := f.kernel.book.Lookup(bookKey{Kind: bookSeed}, &known); err == nil {
			v.Mix = known.Number
		} else {
			var b [8]byte
			_, _ = rand.Read(b[:]) // it never fails
			v.Mix = binary.NativeEndian.Uint64(b[:])
		}
	}
	if err := f.kernel.Settings.Set(v); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return beginBook(f.kernel.book, v.Mix)
}

// Close gives back what New took, for a Forwarder that does not run. What is pinned stays.
func (f *Forwarder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil && f.pins == nil {
		return nil
	}
	var errs []error
	for _, p := range f.ports {
		errs = append(errs, p.close())
	}
	errs = append(errs, f.old.close())
	if f.kernel != nil {
		errs = append(errs, f.kernel.Close())
	}
	errs = append(errs, f.pins.close())
	f.kernel, f.pins, f.old, f.ports = nil, nil, nil, map[string]*port{}
	return errors.Join(errs...)
}

// Run attaches the program, and keeps what it needs: idle flows are forgotten, next hops resolved, flows of nodes that are
// gone ended, events passed on. It returns an error when it cannot attach to a single port at the start, and nil when it
// was told to stop. Then what is pinned stays in place and goes on forwarding; without pins the program is detached. A
// Forwarder runs once.
func (f *Forwarder) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.waitForTables(ctx); ctx.Err() != nil {
		return nil
	}
	if err := f.Attach(); err != nil && !f.attached() {
		return err
	}
	f.mu.Lock()
	f.running = true
	f.mu.Unlock()
	return run.All(ctx, []run.Task{
		{Name: "tables", Run: f.swapTables},
		{Name: "events", Run: f.listen},
		{Name: "ports", Run: f.watchPorts},
		{Name: "ways", Run: f.keepWays},
		{Name: "sweep", Run: f.sweep},
		{Name: "purge", Run: f.purgeFlows},
	})
}

// kick wakes who waits for the channel. Once is enough, however often it is kicked.
func (f *Forwarder) kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Detach removes the program from all ports, and what was pinned. The Forwarder is of no use afterwards; its Run, if it
// runs, is to be stopped first.
func (f *Forwarder) Detach() error {
	f.mu.Lock()
	pins := f.pins
	f.pins = nil // the lock goes on
	f.mu.Unlock()
	err := f.Close()
	if pins == nil {
		if f.cfg.Pin == "" {
			return err
		}
		return errors.Join(err, Detach(f.cfg.Pin))
	}
	return errors.Join(err, pins.remove(), pins.close())
}
