package vip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/internal/netset"
)

// Errors that a caller may decide by. Those that wrap them name the thing, and say what to do.
var (
	ErrTaken  = errors.New("another machine answers for it")         // a VIP that this one is to answer for
	ErrKernel = errors.New("the kernel cannot unpack tunnels")       // it is too old
	ErrRights = netset.ErrRights                                     // the process may not change the network
	ErrBusy   = netset.ErrBusy                                       // another process keeps these settings: the daemon runs
	errWant   = errors.New("what is wanted of the network is wrong") // the caller has a mistake
)

// A Host is this machine's network, kept as a Want says. Its methods may be called from any goroutine. They act on the
// network namespace of the thread that they are called on.
type Host struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // something is to be announced

	mu       sync.Mutex // held while something is done, which may take as long as Config.Probe
	journal  *netset.Journal
	want     Want
	ports    []Port
	programs *programs // nil: no tunnels are wanted
	due      []news
	times    map[netset.Setting]uint64
	seen     Status
	leave    bool
}

// New opens the journal, with what an earlier process left in it, and changes nothing. The Host has the journal to itself
// until Close (ErrBusy).
func New(cfg Config, log *slog.Logger) (*Host, error) {
	if cfg.Probe == 0 {
		cfg.Probe = 300 * time.Millisecond
	}
	if cfg.Announce == nil {
		cfg.Announce = []time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}
	}
	if cfg.Every == 0 {
		cfg.Every = 5 * time.Second
	}
	journal, err := netset.Open(cfg.Journal)
	if err != nil {
		return nil, err
	}
	return &Host{
		cfg: cfg, log: log.With("part", "vip"), journal: journal,
		wake: make(chan struct{}, 1), times: map[netset.Setting]uint64{},
	}, nil
}

// Apply makes the network as wanted. Only differences are touched: what an earlier process left, and is wanted again,
// stays without a gap; what is not wanted any more is undone. What can be done is done; the error tells of the rest, which
// Run tries again. Between Apply and Run nothing is watched, but all of it is in place.
//
// Before a VIP is answered for, the LAN is asked whether another machine does; that takes Config.Probe. If one does, the
// VIP is left to it (ErrTaken).
func (h *Host) Apply(w Want) error {
	if err := w.check(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.want = w
	return h.make()
}

// check says what no network can be like.
func (w Want) check() error {
	for _, list := range [][]netip.Addr{w.Addresses, w.Directors, w.Answer} {
		for _, a := range list {
			if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
				return fmt.Errorf("%w: %q is no address", errWant, a)
			}
		}
	}
	for _, a := range w.Accept {
		if !a.VIP.IsValid() || a.VIP.Is4In6() {
			return fmt.Errorf("%w: %q is no VIP", errWant, a.VIP)
		}
	}
	for _, r := range w.Return {
		if !r.Via.IsValid() || r.Via.Is6() != r.Addr.Addr().Is6() {
			return fmt.Errorf("%w: answers of %s cannot go through %s", errWant, r.Addr, r.Via)
		}
	}
	return nil
}

// make makes the network as wanted. The caller holds mu.
func (h *Host) make() error {
	list, missing := h.want.ports(h.ports)
	if empty := !h.want.Forward && len(h.want.Answer)+len(h.want.Accept)+len(h.want.Return) == 0; empty {
		list, missing = nil, nil
	}
	errs := []error{missing}
	h.notePorts(list)
	for _, p := range list {
		if !p.Up {
			errs = append(errs, fmt.Errorf("port %s has no carrier: plug it in, or ip link set %s up", p.Name, p.Name))
		}
	}

	settings := h.want.settings(list, &tables{had: h.journal.Settings(), taken: tableTaken})
	settings, refused := h.answerable(settings)
	errs = append(errs, refused...)
	outcomes, err := h.journal.Apply(settings)
	errs = append(errs, err)
	h.seen = Status{}
	for _, o := range outcomes {
		errs = append(errs, o.Err)
		h.note(o)
	}
	errs = append(errs, h.makeTunnels(list))
	err = errors.Join(errs...)
	h.seen.Problem = ""
	if err != nil {
		h.seen.Problem = err.Error()
	}
	return err
}

// note makes an outcome known. The caller holds mu.
func (h *Host) note(o netset.Outcome) {
	s := Setting{What: o.Setting.String(), Ours: o.Ours}
	if o.Err != nil {
		s.Problem = o.Err.Error()
	}
	if o.Done {
		h.times[o.Setting]++
		if n := h.times[o.Setting]; n > 1 {
			h.log.Warn("somebody has undone it, and it was done again", "what", s.What, "times", n)
		} else {
			h.log.Info("network set", "what", s.What)
		}
	}
	s.Times = h.times[o.Setting]
	h.seen.Settings = append(h.seen.Settings, s)
	a, is := o.Setting.(netset.Address)
	if !is || a.Link == "lo" || o.Err != nil || !slices.Contains(h.want.Answer, a.Addr) {
		return
	}
	h.seen.Answer = append(h.seen.Answer, a.Addr)
	if o.Done {
		h.announce(a)
	}
}

// answerable leaves out the VIPs that other machines answer for. Those that are on their port are ours already.
func (h *Host) answerable(settings []netset.Setting) (kept []netset.Setting, errs []error) {
	if h.cfg.Probe < 0 {
		return settings, nil
	}
	asked := map[string][]netip.Addr{}
	taken := map[netset.Setting]bool{}
	for i, o := range netset.Look(settings) {
		a, is := settings[i].(netset.Address)
		switch {
		case !is || o.Err == nil || a.Link == "lo" || !slices.Contains(h.want.Answer, a.Addr):
		case !h.up(a.Link):
			taken[a] = true // nobody can be asked
		default:
			asked[a.Link] = append(asked[a.Link], a.Addr)
		}
	}
	for _, link := range sortedKeys(asked) {
		found, err := holders(link, asked[link], h.cfg.Probe)
		if err != nil {
			errs = append(errs, err)
		}
		for _, a := range asked[link] {
			if who := found[a]; who != nil {
				errs = append(errs, fmt.Errorf("answer for %s on %s: %w: the one with MAC %s; stop it there, or take the address out of one of the two files", a, link, ErrTaken, who))
			}
			if err != nil || found[a] != nil {
				taken[netset.Address{Link: link, Addr: a}] = true
			}
		}
	}
	return slices.DeleteFunc(settings, func(s netset.Setting) bool { return taken[s] }), errs
}

func (h *Host) up(link string) bool {
	return slices.ContainsFunc(h.ports, func(p Port) bool { return p.Name == link && p.Up })
}

// makeTunnels has tunnels unpacked, or not. The caller holds mu.
func (h *Host) makeTunnels(list []Port) error {
	in := h.want.inside(list)
	if len(in.vips) == 0 {
		return h.endTunnels()
	}
	if h.programs == nil {
		p, err := loadPrograms(h.cfg.Pin)
		if err != nil {
			return err
		}
		h.programs = p
	}
	if err := h.programs.fill(in); err != nil {
		return err
	}
	return h.programs.attach(list)
}

func (h *Host) endTunnels() error {
	err := unpin(h.cfg.Pin, nil)
	if h.programs != nil {
		err = errors.Join(err, h.programs.close())
		h.programs = nil
	}
	return err
}

// Run keeps the network as wanted until the context ends: what somebody else undoes is done again, a port that comes back
// gets its settings, and VIPs are announced. At its end everything is undone, unless Leave was told to leave it; then the
// journal is closed, and the Host is of no more use.
func (h *Host) Run(ctx context.Context) error {
	w, err := newWatch()
	if err != nil {
		return err
	}
	defer w.close()
	every := time.NewTicker(h.cfg.Every)
	defer every.Stop()
	next := time.NewTimer(0) // for announcements
	defer next.Stop()
	// Changes come in swarms, of which one look is enough.
	const calm = 20 * time.Millisecond
	calmed := time.NewTimer(calm)
	calmed.Stop()
	defer calmed.Stop()
	for {
		select {
		case <-ctx.Done():
			return h.end()
		case <-w.C:
			calmed.Reset(calm)
			continue
		case <-calmed.C:
			h.again(w.wereDown())
		case <-every.C:
			h.again(w.wereDown())
		case <-h.wake:
		case <-next.C:
		}
		if at, some := h.tell(); some {
			next.Reset(time.Until(at))
		}
	}
}

// again looks at everything, and tells what has become wrong or right since.
func (h *Host) again(wereDown map[int]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.ports {
		if wereDown[0] || wereDown[h.ports[i].Index] {
			h.ports[i].Up = false
		}
	}
	before := h.seen.Problem
	err := h.make()
	switch {
	case h.seen.Problem == before:
	case err == nil:
		h.log.Info("the network is as wanted again")
	default:
		h.log.Error("the network is not as wanted", "why", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// Leave says whether Run's end leaves everything in place for the process that comes next: packets go on meanwhile.
func (h *Host) Leave(leave bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave = leave
}

func (h *Host) end() error {
	h.mu.Lock()
	leave := h.leave
	h.mu.Unlock()
	var err error
	if !leave {
		err = h.Undo()
	}
	return errors.Join(err, h.Close())
}

// Undo puts everything back, and wants nothing.
func (h *Host) Undo() error { return h.Apply(Want{}) }

// Close lets go of the journal. Everything stays as it is, but programs that are pinned nowhere end.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	if h.programs != nil {
		err = h.programs.close()
		h.programs = nil
	}
	return errors.Join(err, h.journal.Close())
}

// Undo puts back what processes that are gone have left: for a machine that leaves the cluster, and after a crash.
func Undo(cfg Config, log *slog.Logger) error {
	h, err := New(cfg, log)
	if err != nil {
		return err
	}
	return errors.Join(h.Undo(), h.Close())
}

// tableTaken says whether a table of routes is in use.
func tableTaken(table int) bool {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		if err == nil && len(list) > 0 {
			return true
		}
	}
	return false
}

// explain says what to do about errors that say it too briefly.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", err, ErrRights)
	}
	return err
}
