package testbed

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Freeze stops every process of the machine where it is. Its kernel goes on: it answers pings, and takes connections in.
func (m *Machine) Freeze() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keeper == nil {
		return m.powerless()
	}
	seen := map[int]bool{m.keeper.cmd.Process.Pid: true}
	for more := true; more; { // until none was born while the others were stopped
		list, err := m.keeper.processes()
		if err != nil {
			return fmt.Errorf("freeze %s: %w", m.Name, err)
		}
		more = false
		for _, pid := range list {
			if seen[pid] {
				continue
			}
			seen[pid] = true
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // it has ended
			}
			if unix.PidfdSendSignal(fd, unix.SIGSTOP, nil, 0) == nil {
				more = true
			}
			m.frozen = append(m.frozen, fd)
		}
	}
	return nil
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
