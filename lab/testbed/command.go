package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// A Cmd is a command that will run on a machine. What has not ended by then ends with the machine.
type Cmd struct {
	*exec.Cmd
	on *Machine
}

// Start is that of exec.Cmd.
func (c *Cmd) Start() error {
	if err := c.on.join(c.Cmd); err != nil {
		return err
	}
	if err := c.on.Host().Do(c.Cmd.Start); err != nil {
		return err
	}
	c.on.note(c)
	return nil
}

// Wait is that of exec.Cmd.
func (c *Cmd) Wait() error {
	err := c.Cmd.Wait()
	c.on.strike(c)
	return err
}

// note remembers a command, in case nobody waits for it.
func (m *Machine) note(c *Cmd) {
	fd, err := unix.PidfdOpen(c.Process.Pid, 0)
	if err != nil {
		return // too many are open: who starts so many waits for them
	}
	m.childrenMu.Lock()
	defer m.childrenMu.Unlock()
	m.children[c] = fd
}

// strike forgets it.
func (m *Machine) strike(c *Cmd) {
	m.childrenMu.Lock()
	defer m.childrenMu.Unlock()
	if fd, ok := m.children[c]; ok {
		_ = unix.Close(fd) // it was only held
		delete(m.children, c)
	}
}

// bury takes note of the end of commands that nobody waits for.
func (m *Machine) bury() {
	m.childrenMu.Lock()
	defer m.childrenMu.Unlock()
	for _, fd := range m.children {
		_ = unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil) // it may run yet, or somebody does wait
	}
}

// Run is that of exec.Cmd.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output is that of exec.Cmd.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("run a command for its output: it goes elsewhere already")
	}
	var out, errs bytes.Buffer
	c.Stdout = &out
	if c.Stderr == nil {
		c.Stderr = &errs
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		exit.Stderr = errs.Bytes()
	}
	return out.Bytes(), err
}

// CombinedOutput is that of exec.Cmd.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("run a command for its output: it goes elsewhere already")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// join has the command join the machine's control groups before it becomes the program.
func (m *Machine) join(cmd *exec.Cmd) error {
	if err := joining(cmd, m.group.members, m.environment()); err != nil {
		return fmt.Errorf("run %s on %s: %w", cmd.Args[0], m.Name, err)
	}
	return nil
}

// joining has a command join control groups: a shell does so, with the files that it is handed, and is replaced by the
// program. No process of that is ever outside.
func joining(cmd *exec.Cmd, groups []*os.File, env []string) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	var joins, closes strings.Builder
	for i := range groups {
		fd := 3 + len(cmd.ExtraFiles) + i
		if fd > 9 {
			return errors.New("it is handed more files than a shell can pass on")
		}
		fmt.Fprintf(&joins, "echo 0 >&%d && ", fd)
		fmt.Fprintf(&closes, " %d>&-", fd)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, groups...)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.Args = append([]string{"sh", "-c", joins.String() + `exec "$@"` + closes.String(), "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	return nil
}
