package testbed

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"muster/lab/peer"
)

// A Machine is one machine of a lab: namespaces of its own for network, mounts, processes, host name and what processes
// share; its own /var, /run, /proc, /sys and BPF file system; and its own account of processor time. Files are else those of
// this machine. Its methods may be called from any goroutine.
type Machine struct {
	*Site
}

// A Cmd is a command that will run on a machine. Its Start, Run, Output and CombinedOutput are those of exec.Cmd; a command
// that has not ended by then ends with the machine.
type Cmd struct {
	*exec.Cmd
	on *Machine
}

// Command prepares a program on the machine. It is killed when the context ends.
func (m *Machine) Command(ctx context.Context, argv ...string) *Cmd { return nil }

// Do calls f with its thread in the machine's network: sockets that f makes belong there. Files, and whatever else the
// goroutine starts, are those of this process.
func (m *Machine) Do(f func() error) error { return errors.ErrUnsupported }

// Host has package peer run servers on the machine.
func (m *Machine) Host() peer.Host { return peer.Host{Space: m} }

// Enter moves the calling goroutine's thread into the machine, with its files and for what it starts. The thread cannot come
// back: it is to end with its goroutine, and leave does nothing.
func (m *Machine) Enter() (leave func(), err error) { return nil, errors.ErrUnsupported }

// Root is where the machine's files are seen from outside.
func (m *Machine) Root() string { return "" }

// PID is the machine's first process, as this machine numbers it; 0 when the machine is off.
func (m *Machine) PID() int { return 0 }

// Node is the newest muster process of the machine; nil if there was none.
func (m *Machine) Node() *peer.Process { return nil }

// Start starts the machine's muster node, and waits until it can be asked.
func (m *Machine) Start(ctx context.Context) error { return errors.ErrUnsupported }

// Stop tells the node to stop in good order, and waits until it has.
func (m *Machine) Stop() {}

// Restart stops the node and starts it again.
func (m *Machine) Restart(ctx context.Context) error { return errors.ErrUnsupported }

// Signal sends the node's process a signal.
func (m *Machine) Signal(s syscall.Signal) {}

// Kill kills the node's process; what it has started, ends as it may.
func (m *Machine) Kill() {}

// Freeze stops every process of the machine where it is. Its kernel goes on: it answers pings, and takes connections in.
func (m *Machine) Freeze() error { return errors.ErrUnsupported }

// Thaw lets them go on.
func (m *Machine) Thaw() error { return errors.ErrUnsupported }

// Off pulls the plug: the links are dead, and then everything on the machine is, with the kernel's state of its network.
// Only what is in /var stays.
func (m *Machine) Off() error { return errors.ErrUnsupported }

// On gives the machine power again. Its node does not run yet.
func (m *Machine) On(ctx context.Context) error { return errors.ErrUnsupported }

// SetCores changes how much of the processors' time the machine may use: 0.05 is a twentieth of a core, 0 all.
func (m *Machine) SetCores(cores float64) error { return errors.ErrUnsupported }

// Usage is the processor time that everything on the machine has used so far, the kernel's on its behalf included.
func (m *Machine) Usage() (time.Duration, error) { return 0, errors.ErrUnsupported }
