package testbed

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Process is one that runs on a machine.
type Process struct {
	PID     int    `json:"pid"` // as this machine, not that of the lab, numbers it
	Command string `json:"command"`
}

// Processes are all on the lab's machines, by their names, without what keeps a machine up.
func (l *Lab) Processes() (map[string][]Process, error) {
	machines := map[string]*Machine{}
	for _, m := range l.Machines() {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.PID())); err == nil {
			machines[ns] = m
		}
	}
	found := map[string][]Process{}
	err := everyProcess(func(pid int, ns string) {
		if m := machines[ns]; m != nil && pid != m.PID() {
			if words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(words) > 0 {
				command := strings.TrimSpace(strings.ReplaceAll(string(words), "\x00", " "))
				found[m.Name] = append(found[m.Name], Process{pid, command})
			}
		}
	})
	return found, err
}

// processes are all in the machine, as this machine numbers them.
func (k *keeper) processes() ([]int, error) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", k.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	var list []int
	err = everyProcess(func(pid int, ns string) {
		if ns == own {
			list = append(list, pid)
		}
	})
	return list, err
}

// everyProcess tells of each process, and of its PID namespace.
func everyProcess(of func(pid int, ns string)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + name + "/ns/pid"); err == nil {
			of(pid, ns)
		}
	}
	return err
}
