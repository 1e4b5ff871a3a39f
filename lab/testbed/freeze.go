package testbed

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezePatience is how long processes may take to stop: one that has used up its quota stops when it may go on.
const freezePatience = 10 * time.Second

// Freeze stops every process of the machine where it is. Its kernel goes on: it answers pings, and takes connections in.
func (m *Machine) Freeze() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keeper == nil {
		return m.powerless()
	}
	told := map[int]bool{}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for until := time.Now().Add(freezePatience); time.Now().Before(until); <-again.C {
		list, err := m.keeper.processes()
		if err != nil {
			return fmt.Errorf("freeze %s: %w", m.Name, err)
		}
		running := false // one that runs may start another
		for _, pid := range list {
			if pid == m.keeper.cmd.Process.Pid || stopped(pid) {
				continue
			}
			running = true
			if !told[pid] {
				told[pid] = true
				m.stop(pid)
			}
		}
		if !running {
			return nil
		}
	}
	return fmt.Errorf("freeze %s: a process of it does not stop", m.Name)
}

// stop stops a process, and notes that for Thaw. The caller holds mu.
func (m *Machine) stop(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0) // it may have ended
	m.frozen = append(m.frozen, fd)
}

// stopped says whether a process is, or has ended (proc_pid_stat(5)).
func stopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	rest := b[bytes.LastIndexByte(b, ')')+1:]
	return err != nil || len(rest) < 2 || strings.IndexByte("TtZX", rest[1]) >= 0
}

// Thaw lets them go on.
func (m *Machine) Thaw() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, fd := range m.frozen {
		_ = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0) // it may have been killed
	}
	m.forget()
	return nil
}

func (m *Machine) forget() {
	for _, fd := range m.frozen {
		_ = unix.Close(fd) // it was only held
	}
	m.frozen = nil
}

// Frozen says whether Freeze has stopped the machine's processes.
func (m *Machine) Frozen() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.frozen != nil
}
