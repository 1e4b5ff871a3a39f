package testbed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"muster/lab/peer"
)

// A Machine is one machine of a lab: namespaces of its own for network, mounts, processes, host name and what processes
// share; its own /var, /run, /proc, /sys and BPF file system; and its own account of processor time. Files are else those of
// this machine. Its methods may be called from any goroutine.
type Machine struct {
	*Site
	lab   *Lab
	group *group

	mu     sync.RWMutex
	keeper *keeper // nil: there is no power
	frozen []int   // pidfds of processes that Freeze has stopped
	cores  float64 // 0: no limit

	childrenMu sync.Mutex
	children   map[*Cmd]int // pidfds of commands whose end nobody has taken note of
}

// end ends all that runs there. The caller holds mu.
func (m *Machine) end() {
	m.forget()
	m.keeper.end(m.bury)
	m.keeper = nil
}

// boot gives the machine its namespaces and file systems. It has no cables yet.
func (m *Machine) boot(context.Context) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.group == nil {
		if m.group, err = m.lab.places.newGroup(m.lab.groups, m.Name); err != nil {
			return fmt.Errorf("boot %s: %w", m.Name, err)
		}
		if m.Cores > 0 {
			if err := m.group.setCores(m.Cores); err != nil {
				return fmt.Errorf("boot %s: %w", m.Name, err)
			}
			m.cores = m.Cores
		}
	}
	k, err := startKeeper()
	if err == nil {
		err = k.furnish(view{m.Name, m.lab.disk(m.Name), m.lab.hostsFile(), m.trees()})
	}
	if err != nil {
		k.end(m.bury)
		return fmt.Errorf("boot %s: %w", m.Name, err)
	}
	m.keeper = k
	return nil
}

// trees are the directories that the machine sees though they may be below one of its own.
func (m *Machine) trees() map[string]string {
	trees := maps.Clone(m.group.seen)
	for _, dir := range m.lab.visible() {
		trees[dir] = dir
	}
	return trees
}

// plug lays its cables.
func (m *Machine) plug(context.Context) error {
	if m.Role == Switch {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.keeper == nil {
		return m.powerless()
	}
	return m.lab.network.plug(m.Site, m.keeper.space)
}

func (m *Machine) powerless() error {
	return fmt.Errorf("machine %s is off: switch it on first", m.Name)
}

// close ends all that runs there.
func (m *Machine) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

// Do calls f with its thread in the machine's network: sockets that f makes belong there. Files, and whatever else the
// goroutine starts, are those of this process.
func (m *Machine) Do(f func() error) error {
	m.mu.RLock()
	if m.keeper == nil {
		m.mu.RUnlock()
		return m.powerless()
	}
	leave, err := m.keeper.space.Enter()
	m.mu.RUnlock()
	if err != nil {
		return err
	}
	defer leave()
	return f()
}

// Host has package peer run servers on the machine.
func (m *Machine) Host() peer.Host { return peer.Host{Space: m} }

// Enter moves the calling goroutine's thread into the machine, with its files and for what it starts. The thread cannot come
// back: it is to end with its goroutine, and leave does nothing. The main thread, which cannot end, is refused: see Host.
func (m *Machine) Enter() (leave func(), err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.keeper == nil {
		return nil, m.powerless()
	}
	return threshold(m.keeper.pidfd).Enter()
}

// Root is where the machine's files are seen from outside; empty when it is off.
func (m *Machine) Root() string {
	pid := m.PID()
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf("/proc/%d/root", pid)
}

// PID is the machine's first process, as this machine numbers it; 0 when the machine is off.
func (m *Machine) PID() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.keeper == nil {
		return 0
	}
	return m.keeper.cmd.Process.Pid
}

// Node is the newest muster process of the machine; nil if there was none.
func (m *Machine) Node() *peer.Process { return m.lab.cluster.Process(m.Name) }

// Start starts the machine's muster node, and waits until it can be asked.
func (m *Machine) Start(ctx context.Context) error { return m.lab.cluster.StartNode(ctx, m.Name) }

// Stop tells the node to stop in good order, and waits until it has.
func (m *Machine) Stop() {
	if p := m.Node(); p != nil {
		p.Stop()
	}
}

// Restart stops the node and starts it again.
func (m *Machine) Restart(ctx context.Context) error {
	m.Stop()
	return m.Start(ctx)
}

// Signal sends the node's process a signal.
func (m *Machine) Signal(s syscall.Signal) { m.lab.cluster.Signal(m.Name, s) }

// Kill kills the node's process, and waits until it is gone, with what it had started.
func (m *Machine) Kill() {
	if p := m.Node(); p != nil {
		p.Signal(syscall.SIGKILL)
		<-p.Done()
	}
}

// Off pulls the plug: the links are dead, and then everything on the machine is, with the kernel's state of its network.
// Only what is in /var stays.
func (m *Machine) Off() error {
	if m.Role == Switch {
		return errors.New("the switch stays on: it is what the lab is joined by")
	}
	m.lab.faults.mu.Lock()
	defer m.lab.faults.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keeper == nil {
		return nil
	}
	if err := m.lab.network.dark(m.Site); err != nil {
		return err
	}
	m.end()
	if p := m.Node(); p != nil {
		<-p.Done()
	}
	return m.lab.network.unplug(m.Site)
}

// On gives the machine power again. Its node does not run yet.
func (m *Machine) On(ctx context.Context) error {
	m.lab.faults.mu.Lock()
	defer m.lab.faults.mu.Unlock()
	if m.PID() != 0 {
		return nil
	}
	if err := m.boot(ctx); err != nil {
		return err
	}
	if err := m.plug(ctx); err != nil {
		return err
	}
	var links []Link
	for _, j := range m.Jacks {
		links = append(links, m.Link(j.Net))
	}
	return m.lab.follow(links)
}

// SetCores changes how much of the processors' time the machine may use: 0.05 is a twentieth of a core, 0 all.
func (m *Machine) SetCores(cores float64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.group.setCores(cores); err != nil {
		return err
	}
	m.cores = cores
	return nil
}

// Limit is how much of the processors' time the machine may use, in cores; 0 is all.
func (m *Machine) Limit() float64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.cores
}

// Usage is the processor time that everything on the machine has used so far, the kernel's on its behalf included.
func (m *Machine) Usage() (time.Duration, error) { return m.group.usage() }

// Command prepares a program on the machine. It is killed when the context ends, with what it has started in its process
// group.
func (m *Machine) Command(ctx context.Context, argv ...string) *Cmd {
	program := argv[0]
	if found, err := peer.Find(program); err == nil {
		program = found
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return &Cmd{cmd, m}
}

// environment is what programs on the machine find.
func (m *Machine) environment() []string {
	return []string{"MUSTER_CONFIG=" + m.lab.Path(), "HOSTNAME=" + m.Name}
}

// command is a node's, for package local.
func (l *Lab) command(node string, argv ...string) (*exec.Cmd, error) {
	m := l.Machine(node)
	if m == nil {
		return nil, fmt.Errorf("the lab has no machine %s; there are %s", node, strings.Join(l.Layout.Names(), " "))
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	return cmd, m.join(cmd)
}
