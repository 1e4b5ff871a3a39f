// Package spawn starts a program in a process group of its own, and ends that group wholly: nothing that the program
// started outlives it, and it does not outlive the process that started it.
package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drain is how long a program that has ended may leave its output open in hands that escaped its group.
const drain = time.Second

// A Child is a running program: the leader of a group that everything it starts belongs to.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	reaped bool // the leader's number may belong to somebody else now
}

// Start starts the command. If this process dies, the kernel sends the signal death to the program.
//
// The kernel ties that signal to the thread that started the program, not to the process: it is sent when the thread
// ends. The Go runtime ends threads as it likes, so the caller must be a goroutine locked to its thread
// (runtime.LockOSThread) for as long as the program runs. A thread whose children have a PID namespace of their own is
// another matter: they end with that namespace, and get no signal.
func Start(cmd *exec.Cmd, death syscall.Signal) (*Child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = death
	if elsewhere() {
		// Package syscall has a new process look for its parent, and end itself if that is not there. It cannot see it there.
		cmd.SysProcAttr.Pdeathsig = 0
	}
	cmd.WaitDelay = drain
	if err := cmd.Start(); err != nil {
		return nil, explain(cmd, err)
	}
	c := &Child{cmd: cmd, done: make(chan struct{})}
	go c.wait()
	return c, nil
}

// elsewhere says whether what this thread starts is in another PID namespace than itself.
func elsewhere() bool {
	children, err := os.Readlink("/proc/thread-self/ns/pid_for_children")
	if err != nil { // either there is no /proc, or it is that of the other namespace, where this thread is not seen
		return !missing("/proc/1")
	}
	own, err := os.Readlink("/proc/thread-self/ns/pid")
	return err == nil && own != children
}

// wait waits for the program, then ends what it left behind. The program stays unreaped until then: its number is the
// group's, and is nobody else's for so long.
func (c *Child) wait() {
	defer close(c.done)
	for unix.Waitid(unix.P_PID, c.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	end(c.PID())
	c.mu.Lock()
	c.reaped = true
	c.mu.Unlock()
	_ = c.cmd.Wait() // how it ended is in ProcessState
}

// PID is the number of the program's process, and of its group.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the program has ended, nothing of its group is left, and its output has been read.
func (c *Child) Done() <-chan struct{} { return c.done }

// End says how the program ended, such as "exit status 1" or "signal: killed"; only to be asked when Done is closed.
func (c *Child) End() *os.ProcessState { return c.cmd.ProcessState }

// Signal sends a signal to the program alone: what it means for the rest of the group is its affair.
func (c *Child) Signal(sig syscall.Signal) { c.send(c.PID(), sig) }

// Kill ends the whole group at once.
func (c *Child) Kill() { c.send(-c.PID(), syscall.SIGKILL) }

func (c *Child) send(to int, sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = syscall.Kill(to, sig) // it may have ended, which is as good
	}
}

// explain says in one sentence why the program could not be started.
func explain(cmd *exec.Cmd, err error) error {
	program := cmd.Args[0]
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("start %s: there is no such program in %s", program, os.Getenv("PATH"))
	case errors.Is(err, os.ErrNotExist) && cmd.Dir != "" && missing(cmd.Dir):
		return fmt.Errorf("start %s: there is no directory %s to start it in", program, cmd.Dir)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("start %s: there is no such file", program)
	case errors.Is(err, syscall.EPERM) && cmd.SysProcAttr.Credential != nil:
		return fmt.Errorf("start %s: only root may start it as another user", program)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("start %s: the file is not executable for this user", program)
	}
	return fmt.Errorf("start %s: %w", program, err)
}

func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, os.ErrNotExist)
}
