package testbed

import (
	"context"
	"errors"
	"time"

	"muster/console"
)

// A Lab is a cluster with a real network on this machine. Its methods may be called from any goroutine.
type Lab struct {
	Layout *Layout
	Paths  Paths
}

// New builds the machines and the network of the plan, and writes the cluster's file. No node runs yet. The caller must
// Close the lab. It ends by itself when this process does, however that ends. It needs root.
func New(ctx context.Context, p Plan) (*Lab, error) { return nil, errors.ErrUnsupported }

// Up builds a lab and starts it: New and Start.
func Up(ctx context.Context, p Plan) (*Lab, error) { return nil, errors.ErrUnsupported }

// Start starts the nodes of all machines, and waits until the cluster does its work: every node active.
func (l *Lab) Start(ctx context.Context) error { return errors.ErrUnsupported }

// Close ends everything that runs in the lab and removes all of it. It may be called more than once.
func (l *Lab) Close() {}

// Machine is the machine of that name; nil if there is none.
func (l *Lab) Machine(name string) *Machine { return nil }

// Machines are all machines, in the order of the layout; those with one of the roles, if any is given.
func (l *Lab) Machines(roles ...Role) []*Machine { return nil }

// Write makes the text the cluster's file, if it is right. Nodes go on with the one before until they reload: Signal HUP.
func (l *Lab) Write(text string) error { return errors.ErrUnsupported }

// Text is the cluster's file as it was written last.
func (l *Lab) Text() string { return "" }

// Path is where the cluster's file is, here and on the lab's machines.
func (l *Lab) Path() string { return "" }

// Log is where what a machine's node says is kept.
func (l *Lab) Log(machine string) string { return "" }

// Client asks the node of a machine, on its socket.
func (l *Lab) Client(machine string) *console.Client { return nil }

// Status is what the first director that answers knows.
func (l *Lab) Status(ctx context.Context) (console.Status, error) {
	return console.Status{}, errors.ErrUnsupported
}

// Await asks the directors again and again, until what one knows is as it should be. Wrong says what is not yet as it should
// be; empty means that all is.
func (l *Lab) Await(ctx context.Context, patience time.Duration, wrong func(console.Status) string) error {
	return errors.ErrUnsupported
}

// Cut unplugs cables: both ends see it.
func (l *Lab) Cut(links ...Link) error { return errors.ErrUnsupported }

// Mend plugs cables in again, and ends what Slow has done to them.
func (l *Lab) Mend(links ...Link) error { return errors.ErrUnsupported }

// Slow has a link behave badly. A way's former fault is replaced; the other way's stays.
func (l *Lab) Slow(link Link, f Fault) error { return errors.ErrUnsupported }

// Part parts machines from each other: those of different groups exchange no more frames, in any LAN. Who is in no group
// reaches all. Former groups are forgotten; no groups at all ends it.
func (l *Lab) Part(groups ...[]string) error { return errors.ErrUnsupported }

// Deafen keeps frames of one machine from reaching another, in that direction alone.
func (l *Lab) Deafen(from, to string) error { return errors.ErrUnsupported }

// PathMTU has the router tell of a path between clients and LANs that is so narrow, in both directions, while all links have
// theirs. 0 is no limit.
func (l *Lab) PathMTU(ctx context.Context, mtu int) error { return errors.ErrUnsupported }

// Heal mends every link and ends every parting.
func (l *Lab) Heal() error { return errors.ErrUnsupported }
