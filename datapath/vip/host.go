package vip

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
)

// Errors that a caller may decide by.
var (
	// ErrTaken: another machine on the LAN answers for a VIP. The error says which.
	ErrTaken = errors.New("another machine has the address")
	// ErrRights: the process may not change the network.
	ErrRights = errors.New("no rights")
	// ErrKernel: the kernel is too old for tunnels to be unpacked.
	ErrKernel = errors.New("kernel too old")
	// ErrBusy: another process keeps this machine's settings: the node's daemon runs.
	ErrBusy = errors.New("the journal is in use")
)

// A Host is this machine's network, kept as a Want says. Its methods may be called from any goroutine; they act on the
// network namespace of the thread that they are called on.
type Host struct {
	cfg Config
	log *slog.Logger

	mu sync.Mutex
}

// New opens the journal, with what an earlier process left in it, and changes nothing. The Host has the journal to itself
// until Close (ErrBusy).
func New(cfg Config, log *slog.Logger) (*Host, error) {
	return &Host{cfg: cfg, log: log}, nil
}

// Apply makes the network as wanted. Only differences are touched: what an earlier process left, and is wanted again,
// stays without a gap; what is not wanted any more is undone. What can be done is done; the error tells of the rest, which
// Run tries again. Between Apply and Run nothing is watched, but all of it is in place.
func (h *Host) Apply(w Want) error { return errors.ErrUnsupported }

// Run keeps the network as wanted until the context ends: what somebody else undoes is done again, a port that comes back
// gets its settings, and VIPs are announced. At its end everything is undone, unless Leave was told to leave it.
func (h *Host) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Leave says whether Run's end leaves everything in place for the process that comes next: packets go on meanwhile.
func (h *Host) Leave(leave bool) {}

// Undo puts everything back, and wants nothing.
func (h *Host) Undo() error { return errors.ErrUnsupported }

// Close lets go of the journal. Everything stays as it is, but programs that are pinned nowhere end.
func (h *Host) Close() error { return nil }

// Undo puts back what processes that are gone have left: for a machine that leaves the cluster, and after a crash.
func Undo(cfg Config, log *slog.Logger) error { return errors.ErrUnsupported }

// A Status says how things stand.
type Status struct {
	Settings []Setting `json:"settings"`
	Tunnels  *Tunnels  `json:"tunnels,omitempty"` // nil: none are wanted
}

// A Setting is one thing that is wanted of the machine's network.
type Setting struct {
	What    string `json:"what"`              // as an operator would type it
	Problem string `json:"problem,omitempty"` // why it is not so; empty: it is
	Ours    bool   `json:"ours"`              // it was changed by us, and will be put back; otherwise it was so before
	Times   uint64 `json:"times"`             // how often it was done; more than once means that somebody undid it
}

// Tunnels are the figures of the program that unpacks, since it was loaded.
type Tunnels struct {
	Ports     []string        `json:"ports"`
	Directors []netip.Addr    `json:"directors"`
	Packets   uint64          `json:"packets"`
	Bytes     uint64          `json:"bytes"`              // of what was inside
	Clamped   uint64          `json:"clamped"`            // SYN-ACKs whose MSS was made to fit the tunnel
	NotDone   map[Fate]uint64 `json:"not_done,omitempty"` // packets that were not unpacked
}

// A Fate is why a packet was not unpacked.
type Fate string

// Status may be called at any time.
func (h *Host) Status() Status { return Status{} }
