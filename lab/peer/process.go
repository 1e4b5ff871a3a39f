package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"muster/internal/spawn"
	"muster/lab/usage"
)

// A Peer is a server program and what it needs to run.
type Peer struct {
	Name    string            // as tables name it
	Program string            // looked for in PATH and in /usr/sbin
	Package string            // the Debian package that has it
	Args    []string          // DIR stands for its directory
	Files   map[string]string // written to its directory; DIR stands for the directory in them too
	Addr    netip.AddrPort    // where it will listen
}

// A Process is a server that answers.
type Process struct {
	Name  string
	Addr  netip.AddrPort
	child *spawn.Child
	said  *tail
	dir   string // removed when it has stopped; empty if it has none
	gone  chan struct{}
}

// patience is how long a server may take to begin, and to end when it is told to.
const patience = 10 * time.Second

// Start writes the peer's files, starts it on the host and waits until it accepts connections. The caller must Stop it.
func (p Peer) Start(ctx context.Context, on Host) (*Process, error) {
	program, err := Find(p.Program)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed: run apt-get install %s", p.Program, p.Package)
	}
	dir, err := os.MkdirTemp("", "muster-peer-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for %s: %w", p.Name, err)
	}
	cmd := exec.Command(program)
	for _, a := range p.Args {
		cmd.Args = append(cmd.Args, strings.ReplaceAll(a, "DIR", dir))
	}
	cmd.Dir = dir
	err = p.furnish(dir, cmd)
	var proc *Process
	if err == nil {
		proc, err = start(ctx, p.Name, cmd, p.Addr, dir, on)
	}
	if err != nil {
		_ = os.RemoveAll(dir) // the error that led here says more
		return nil, err
	}
	return proc, nil
}

// furnish writes the files, and makes directory and process nobody's when this process is root's.
func (p Peer) furnish(dir string, cmd *exec.Cmd) error {
	for name, text := range p.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			return fmt.Errorf("write the configuration of %s: %w", p.Name, err)
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		return fmt.Errorf("give %s its directory: %w", p.Name, err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return nil
}

// Command starts any server on the host and waits until it accepts connections at the address. What it says
// is kept, and told when it ends before that, unless the command sends it elsewhere. If this process dies, the server gets
// the command's Pdeathsig, or else SIGTERM.
func Command(ctx context.Context, name string, cmd *exec.Cmd, addr netip.AddrPort, on Host) (*Process, error) {
	return start(ctx, name, cmd, addr, "", on)
}

func start(ctx context.Context, name string, cmd *exec.Cmd, addr netip.AddrPort, dir string, on Host) (*Process, error) {
	if err := on.Do(func() error { return vacant(addr) }); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{Name: name, Addr: addr, said: &tail{}, dir: dir, gone: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.said
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.said
	}
	started := make(chan error, 1)
	go func() {
		if err := on.Do(func() error { return p.keep(cmd, started) }); err != nil {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	if err := on.Do(func() error { return p.answers(ctx) }); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// vacant says whether a server can listen there.
func vacant(addr netip.AddrPort) error {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return fmt.Errorf("it cannot listen on %s: %w", addr, err)
	}
	return l.Close()
}

// keep starts the program and stays with it, on one thread: the program is to end when that thread does.
func (p *Process) keep(cmd *exec.Cmd, started chan<- error) error {
	death := syscall.SIGTERM
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
		death = cmd.SysProcAttr.Pdeathsig
	}
	child, err := spawn.Start(cmd, death)
	if err != nil {
		return err
	}
	p.child = child
	started <- nil
	<-child.Done()
	close(p.gone)
	return nil
}

func (p *Process) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Addr.String())
		if err == nil {
			_ = c.Close() // it was only to see
			return nil
		}
		select {
		case <-p.gone:
			return fmt.Errorf("%s ended before it listened on %s (%s)%s", p.Name, p.Addr, p.child.End(), p.quote())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w%s", p.Name, p.Addr, err, p.quote())
		case <-tick.C:
		}
	}
}

// PID is the process that was started.
func (p *Process) PID() int { return p.child.PID() }

// PIDs are the process and all that it has started: what it costs is theirs together.
func (p *Process) PIDs() ([]int, error) { return usage.Tree(p.PID()) }

// Done is closed when the server and all its processes have ended.
func (p *Process) Done() <-chan struct{} { return p.gone }

// Signal sends the server a signal.
func (p *Process) Signal(s syscall.Signal) { p.child.Signal(s) }

// Said is the end of what the server wrote to its output.
func (p *Process) Said() string { return p.said.String() }

func (p *Process) quote() string {
	if said := p.Said(); said != "" {
		return ": " + said
	}
	return ""
}

// Stop ends the server, waits until it is gone, and removes its files. It may be called more than once.
func (p *Process) Stop() {
	p.child.Signal(syscall.SIGTERM)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
		p.child.Kill()
		<-p.gone
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // nothing but what was generated
	}
}

// Free finds a port at the address on which nothing listens.
func Free(at netip.Addr) (netip.AddrPort, error) {
	port, err := FreePort(at)
	return netip.AddrPortFrom(at, port), err
}

// FreePort finds a port on which nothing listens at any of the addresses.
func FreePort(at ...netip.Addr) (port uint16, err error) {
	for range 32 {
		port = 0
		for _, a := range at {
			var l net.Listener
			if l, err = net.Listen("tcp", netip.AddrPortFrom(a, port).String()); err != nil {
				break // another port, then: the first address had this one
			}
			defer l.Close()
			port = l.Addr().(*net.TCPAddr).AddrPort().Port()
		}
		if err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port on %v: %w", at, err)
}

// Find finds a program; /usr/sbin is not in every user's PATH.
func Find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return exec.LookPath("/usr/sbin/" + program)
	}
	return path, err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailMax = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if extra := len(t.b) - tailMax; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
