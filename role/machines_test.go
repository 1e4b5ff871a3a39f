package role

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"muster/config"
	"muster/console"
	"muster/internal/run"
	"muster/internal/wire"
)

// Dispatch in the kernel needs machines with ports of their own. A street is some of them, in network and mount namespaces,
// at one switch. Each is held by a process of its own, so that what is pinned there outlives a node; all of them end with
// the test.
type street struct {
	t   *testing.T
	dir string

	machines map[string]*machine
}

type machine struct {
	name   string
	keeper *exec.Cmd
	node   *exec.Cmd
	ended  chan struct{}
	log    *nodeLog
	client *console.Client
}

// A nodeLog keeps what a node has logged.
type nodeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *nodeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *nodeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// build makes a street of machines with these addresses, all in 10.9.0.0/24, and the file.
func build(t *testing.T, file string, addrs map[string]string) *street {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("not root: machines with networks of their own cannot be made")
	}
	s := &street{t: t, dir: t.TempDir(), machines: map[string]*machine{}}
	if err := wire.WriteKey(filepath.Join(s.dir, "cluster.key"), wire.NewKey()); err != nil {
		t.Fatal(err)
	}
	s.write("cluster.yaml", file)
	for _, name := range []string{"t1", "t2"} {
		s.write("www-"+name+"/index.html", name)
		s.write("www-"+name+"/large", strings.Repeat(name, 1<<20))
	}
	s.house("switch")
	s.in("switch", "ip", "link", "add", "name", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
	s.in("switch", "ip", "link", "set", "br0", "up")
	for name, addr := range addrs {
		s.house(name)
		s.in("switch", "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(s.machines[name].keeper.Process.Pid))
		s.in("switch", "ip", "link", "set", name, "master", "br0", "up")
		s.in("switch", "ethtool", "-K", name, "gro", "on") // or frames that XDP sends stay where they are
		s.in(name, "ethtool", "-K", "eth0", "tx", "off")   // or XDP sees checksums that nobody has finished
		s.in(name, "ip", "addr", "add", addr+"/24", "dev", "eth0")
		s.in(name, "ip", "link", "set", "lo", "up")
		s.in(name, "ip", "link", "set", "eth0", "up")
	}
	return s
}

func (s *street) write(name, text string) {
	s.t.Helper()
	c := &town{t: s.t, dir: s.dir}
	c.write(name, text)
}

// house makes the namespaces of a machine.
func (s *street) house(name string) {
	s.t.Helper()
	ready, told, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer ready.Close()
	c := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c",
		"mount -t sysfs sysfs /sys && mount -t bpf bpf /sys/fs/bpf && echo >&3 && exec 3>&- && exec sleep infinity")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.ExtraFiles = []*os.File{told}
	c.Stderr = os.Stderr
	err = c.Start()
	_ = told.Close() // the machine has its own
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		s.t.Fatalf("machine %s has not come up: %v", name, err)
	}
	s.machines[name] = &machine{name: name, keeper: c}
}

func (s *street) command(name string, args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(s.machines[name].keeper.Process.Pid), "-n", "-m", "--"}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// in runs a program on a machine.
func (s *street) in(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// program is this program as a machine's node.
func (s *street) program(name string, env ...string) *exec.Cmd {
	c := s.command(name, os.Args[0])
	c.Env = slices.Concat(os.Environ(), []string{"MUSTER_TEST_NODE=" + name, "MUSTER_TEST_FILE=" + filepath.Join(s.dir, "cluster.yaml")}, env)
	return c
}

// start runs nodes, and waits until they answer.
func (s *street) start(names ...string) {
	s.t.Helper()
	for _, name := range names {
		m := s.machines[name]
		m.log = &nodeLog{}
		m.node = s.program(name)
		m.node.Stderr = m.log
		if err := m.node.Start(); err != nil {
			s.t.Fatal(err)
		}
		m.ended = make(chan struct{})
		go func(node *exec.Cmd, ended chan struct{}) {
			defer close(ended)
			_ = node.Wait() // stop says how it ended
		}(m.node, m.ended)
		s.t.Cleanup(func() {
			s.stop(name)
			if s.t.Failed() {
				s.t.Logf("%s has logged:\n%s", name, m.log)
			}
		})
		s.until(name+" answers", func() bool {
			select {
			case <-m.ended:
				s.t.Fatalf("%s has ended: %s", name, m.log)
			default:
			}
			_, err := s.client(name).Status(s.t.Context())
			return err == nil
		})
	}
}

// stop stops a node in good order.
func (s *street) stop(name string) {
	m := s.machines[name]
	if m.node == nil {
		return
	}
	_ = m.node.Process.Signal(syscall.SIGTERM) // it may have ended
	<-m.ended
	if code := m.node.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("%s ended with %d:\n%s", name, code, m.log)
	}
	m.node, m.client = nil, nil
}

func (s *street) client(name string) *console.Client {
	m := s.machines[name]
	if m.client == nil {
		m.client = console.NewClient([]string{"unix:" + Socket(filepath.Join(s.dir, "state"), name)}, "")
	}
	return m.client
}

func (s *street) status(name string) console.Status {
	s.t.Helper()
	st, err := s.client(name).Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *street) service(name string) console.Service {
	s.t.Helper()
	for _, v := range s.status("d1").Director.Services {
		if v.Name == name {
			return v
		}
	}
	s.t.Fatalf("there is no service %s", name)
	return console.Service{}
}

// serves waits until just these nodes take new work of a service.
func (s *street) serves(service string, nodes ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%s is served by %v", service, nodes), func() bool {
		var got []string
		for _, m := range s.service(service).Members {
			if m.Weight > 0 {
				got = append(got, m.Node)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, slices.Sorted(slices.Values(nodes)))
	})
}

func (s *street) until(what string, holds func() bool) {
	s.t.Helper()
	(&town{t: s.t}).until(what, holds)
}

// get asks for a page from the client's machine, as one that does not give up when a packet is lost.
func (s *street) get(url string) (string, error) {
	out, err := s.command("c1", "curl", "-sS", "--fail", "--max-time", "10", url).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return string(out), nil
}

// under asks for a page all the time while f runs, and wants every answer. It returns how often each answer came.
func (s *street) under(url string, f func()) map[string]int {
	s.t.Helper()
	var mu sync.Mutex
	seen, asked := map[string]int{}, 0
	over := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				got, err := s.get(url)
				mu.Lock()
				asked++
				if seen[got]++; err != nil {
					s.t.Errorf("%s: %v", url, err)
				}
				mu.Unlock()
			}
		})
	}
	more := func() {
		mu.Lock()
		before := asked
		mu.Unlock()
		s.until("requests are answered", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return asked > before+8
		})
	}
	more()
	f()
	more()
	close(over)
	wg.Wait()
	return seen
}

// runMachine is a node on a machine of a street: this program, started by a test.
func runMachine(name string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if port := os.Getenv("MUSTER_TEST_FOREIGN"); port != "" {
		if err := attachForeign(port); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv("MUSTER_TEST_DETACH") != "" {
		f, err := config.Read(os.Getenv("MUSTER_TEST_FILE"))
		if err == nil {
			err = Detach(f, name, slog.New(slog.DiscardHandler))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	n, err := New(Options{Path: os.Getenv("MUSTER_TEST_FILE"), Name: name}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err == nil {
		err = run.All(ctx, n.Tasks())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// attachForeign attaches an XDP program that is not ours, and stays.
func attachForeign(port string) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		return err
	}
	l, err := netlink.LinkByName(port)
	if err != nil {
		return err
	}
	return netlink.LinkSetXdpFd(l, p.FD())
}
