package testbed

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"muster/lab/peer"
)

// A Door is how another process than the lab's owner gets into a machine. It can be handed on as JSON.
type Door struct {
	PID    int      `json:"pid"`         // the machine's first process, as this machine numbers it
	Groups []string `json:"groups"`      // files of its control groups: whoever writes 0 to them has joined
	Env    []string `json:"environment"` // beside that of who enters
}

// Door is the machine's; its PID is 0 when the machine is off.
func (m *Machine) Door() Door {
	d := Door{PID: m.PID(), Env: m.environment()}
	for _, f := range m.group.members {
		d.Groups = append(d.Groups, f.Name())
	}
	return d
}

// Run runs a command behind the door, and waits for its end; started is called when it runs, and may be nil. The command ends
// with the machine, but not with this process.
func (d Door) Run(cmd *exec.Cmd, started func()) error {
	pidfd, err := unix.PidfdOpen(d.PID, 0)
	if err != nil {
		return fmt.Errorf("enter the machine of process %d: %w", d.PID, err)
	}
	defer func() { _ = unix.Close(pidfd) }() // it was only held
	var groups []*os.File
	for _, name := range d.Groups {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("join the machine's control groups: %w", err)
		}
		defer f.Close()
		groups = append(groups, f)
	}
	if err := joining(cmd, groups, d.Env); err != nil {
		return err
	}
	if err := (peer.Host{Space: threshold(pidfd)}).Do(cmd.Start); err != nil {
		return err
	}
	if started != nil {
		started()
	}
	return cmd.Wait()
}

// A threshold is what a thread crosses that enters a machine: a pidfd of its first process.
type threshold int

// Enter moves the calling goroutine's thread into the machine, for good.
func (t threshold) Enter() (leave func(), err error) {
	return func() {}, enter(int(t))
}
