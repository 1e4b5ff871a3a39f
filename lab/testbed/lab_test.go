package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// bare is a lab in which no node runs.
func bare(t *testing.T, p Plan) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: a lab is made of namespaces")
	}
	l, err := New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// reaches says whether a machine gets to another's kernel, which refuses.
func reaches(t *testing.T, from *Machine, to netip.Addr) error {
	t.Helper()
	return from.Do(func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(to, 9).String(), 10*time.Second)
		if err == nil {
			c.Close()
			return fmt.Errorf("somebody listens on port 9 of %s", to)
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		return err
	})
}

// say runs a command on a machine, and returns what it says.
func say(t *testing.T, m *Machine, argv ...string) string {
	t.Helper()
	out, err := m.Command(t.Context(), argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %v: %s", m.Name, argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestEveryMachineIsReached(t *testing.T) {
	l := bare(t, Plan{Clients: 2, Directors: 2, Traffic: 3, Storage: 1, Monitors: 1})
	for _, from := range []string{"client1", "t1", "router"} {
		for _, to := range l.Layout.Sites {
			for _, j := range to.Jacks {
				for _, a := range []netip.Addr{j.IPv4, j.IPv6} {
					if err := reaches(t, l.Machine(from), a); err != nil {
						t.Errorf("%s does not reach %s at %s: %v", from, to.Name, a, err)
					}
				}
			}
		}
	}
}

func TestAMachineIsOneOfItsOwn(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 2})
	t1, t2 := l.Machine("t1"), l.Machine("t2")
	if got := say(t, t1, "hostname"); got != "t1" {
		t.Errorf("it is called %s", got)
	}
	if got := say(t, t1, "sh", "-c", "ls /sys/class/net | grep -c ^eth; ls /run | wc -w"); got != "2\n0" {
		t.Errorf("got %q, want its own ports, and an empty directory", got)
	}
	say(t, t1, "sh", "-c", "echo t1 > /var/lib/name; echo t1 > /run/name")
	if out, err := t2.Command(t.Context(), "cat", "/var/lib/name").CombinedOutput(); err == nil {
		t.Errorf("t2 sees the file of t1: %s", out)
	}
	for _, path := range []string{"/var/lib/name", "/run/name"} {
		b, err := os.ReadFile(t1.Root() + path)
		if string(b) != "t1\n" {
			t.Errorf("from outside %s is %q, %v", path, b, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is on this machine: %v", path, err)
		}
	}
	if _, err := t1.Usage(); err != nil {
		t.Error(err)
	}
	if before, _ := t1.Usage(); before == 0 {
		t.Error("what ran there has used no processor time")
	}
	if got := say(t, t1, "sh", "-c", `ps -o comm= ax >/var/ps; sort /var/ps | tr "\n" " "`); got != "cat ps sh" {
		t.Errorf("on t1 run %s", got)
	}
	say(t, t1, "sh", "-c", "sleep 0 & exit 0") // which loses its parent, and ends
	if got := say(t, t1, "sh", "-c", `while ps -o comm= ax | grep -q sleep; do :; done; echo on`); got != "on" {
		t.Errorf("got %q, want a machine that goes on when a process without a parent ends", got)
	}
	if got := say(t, l.Machine("client1"), "getent", "ahostsv4", "t2"); !strings.HasPrefix(got, "10.7.1.22 ") {
		t.Errorf("t2 is %s", got)
	}
	cmd := t1.Command(t.Context(), "sh", "-c", "exit 3")
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("got %v, want exit status 3", err)
	}
	if err := t1.Command(t.Context(), "/no/such/program").Run(); err == nil {
		t.Error("a program that is not there ran")
	}
}

func TestAQuotaHolds(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1, Cores: map[string]float64{"t1": 0.05}})
	t1 := l.Machine("t1")
	cmd := t1.Command(t.Context(), "sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for throttled := 0; throttled < 3; {
		b, err := os.ReadFile(filepath.Join(t1.group.cpu, "cpu.stat"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			_, _ = fmt.Sscanf(line, "nr_throttled %d", &throttled) // most lines are others
		}
	}
	script, want := "cat /sys/fs/cgroup/cpu$(sed -n 's/.*:cpu://p' /proc/self/cgroup)/cpu.cfs_quota_us", "1000"
	if t1.group.v2 {
		script, want = "cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/cpu.max", "1000 20000"
	}
	if got := say(t, t1, "sh", "-c", script); got != want {
		t.Errorf("the machine sees a quota of %s, want %s", got, want)
	}
	if err := t1.SetCores(0); err != nil {
		t.Error(err)
	}
	if err := cmd.Cancel(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}

// carrier says whether a machine's port sees its other end: 1, or 0.
func carrier(t *testing.T, m *Machine, port string) string {
	t.Helper()
	return say(t, m, "cat", "/sys/class/net/"+port+"/carrier")
}

func TestACutCableIsSeenAndMended(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	t1, d1 := l.Machine("t1"), l.Machine("d1")
	if err := l.Cut(t1.Link(LANA)); err != nil {
		t.Fatal(err)
	}
	if a, b := carrier(t, t1, "eth0"), carrier(t, t1, "eth1"); a != "0" || b != "1" {
		t.Errorf("the ports are %s and %s", a, b)
	}
	if diff := slices.Compare(l.Broken(), []string{"t1/a is cut"}); diff != 0 {
		t.Errorf("broken is %v", l.Broken())
	}
	if err := reaches(t, d1, t1.Jack(LANB).IPv4); err != nil {
		t.Errorf("the other LAN: %v", err)
	}
	if err := l.Mend(t1.Link(LANA)); err != nil {
		t.Fatal(err)
	}
	if err := reaches(t, d1, t1.Jack(LANA).IPv4); err != nil {
		t.Error(err)
	}
	if err := l.Cut(Link{"t9", LANA}); err == nil {
		t.Error("a link that is not there was cut")
	}
}

// A wire carries numbered datagrams from one machine to another.
type wire struct {
	t        *testing.T
	from, to net.Conn
}

func newWire(t *testing.T, from, to *Machine, net_ Net) *wire {
	t.Helper()
	w := &wire{t: t}
	at := netip.AddrPortFrom(to.Jack(net_).IPv4, 0)
	err := errors.Join(
		to.Do(func() error {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err == nil {
				w.to = c
				at = c.LocalAddr().(*net.UDPAddr).AddrPort()
			}
			return err
		}),
		from.Do(func() (err error) {
			w.from, err = net.Dial("udp", at.String())
			return err
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.from.Close(); w.to.Close() })
	w.send("first") // so that neighbours know each other
	w.until("first")
	return w
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := w.from.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// until counts what comes before the text.
func (w *wire) until(text string) (before int) {
	w.t.Helper()
	b := make([]byte, 2048)
	for ; ; before++ {
		n, err := w.to.Read(b)
		if err != nil {
			w.t.Fatal(err)
		}
		if string(b[:n]) == text {
			return before
		}
	}
}

// taken waits until the switch has had so many frames more from each machine than it had before.
func (l *Lab) taken(t *testing.T, before map[string]int, more int) {
	t.Helper()
	for port, n := range before {
		for l.had(t, port) < n+more {
		}
	}
}

func (l *Lab) had(t *testing.T, port string) (n int) {
	t.Helper()
	b, err := os.ReadFile(l.Machine("switch").Root() + "/sys/class/net/" + port + "/statistics/rx_packets")
	if err == nil {
		_, err = fmt.Sscan(string(b), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFramesAreLost(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 2})
	d1, t1, t2 := l.Machine("d1"), l.Machine("t1"), l.Machine("t2")
	wires := []*wire{newWire(t, d1, t1, LANA), newWire(t, t1, d1, LANA), newWire(t, t2, t1, LANA)}
	slow := func(f Fault) func() error { return func() error { return l.Slow(t1.Link(LANA), f) } }
	part := func() error { return l.Part([]string{"d1"}, []string{"t1", "t2"}) }
	for _, test := range []struct {
		name    string
		changes []func() error
		arrive  []bool // d1 to t1, t1 to d1, t2 to t1
	}{
		{"none", nil, []bool{true, true, true}},
		{"all that comes in", []func() error{slow(Fault{Way: In, Loss: 1})}, []bool{false, true, false}},
		{"all that goes out", []func() error{slow(Fault{Way: Out, Loss: 1})}, []bool{true, false, true}},
		{"both ways, one after the other", []func() error{slow(Fault{Way: Out, Loss: 1}), slow(Fault{Way: In, Loss: 1})}, []bool{false, false, false}},
		{"all, on a slow link", []func() error{slow(Fault{Loss: 1, Delay: time.Millisecond})}, []bool{false, false, false}},
		{"none, on a slow link", []func() error{slow(Fault{Delay: time.Millisecond, Rate: 1e9})}, []bool{true, true, true}},
		{"between groups", []func() error{part}, []bool{false, false, true}},
		{"between groups, on a slow link", []func() error{part, slow(Fault{Delay: time.Millisecond})}, []bool{false, false, true}},
		{"groups that are no more", []func() error{part, func() error { return l.Part() }}, []bool{true, true, true}},
		{"one way between two", []func() error{func() error { return l.Deafen("d1", "t1") }}, []bool{false, true, true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, change := range test.changes {
				if err := change(); err != nil {
					t.Fatal(err)
				}
			}
			before := map[string]int{}
			for _, port := range []string{"d1-a", "t1-a", "t2-a"} {
				before[port] = l.had(t, port)
			}
			for range 100 {
				for _, w := range wires {
					w.send("x")
				}
			}
			l.taken(t, before, 100)
			for i, w := range wires { // before it is healed, as what is under way on a slow link is lost then
				if test.arrive[i] {
					w.send("last")
					if got := w.until("last"); got != 100 {
						t.Errorf("way %d: %d of 100 arrived", i, got)
					}
				}
			}
			said := l.Broken()
			if err := l.Heal(); err != nil {
				t.Fatal(err)
			}
			for i, w := range wires {
				if !test.arrive[i] {
					w.send("last")
					if got := w.until("last"); got != 0 {
						t.Errorf("way %d: %d of 100 arrived, though %v", i, got, said)
					}
				}
			}
		})
	}
	if said := l.Broken(); said != nil {
		t.Errorf("%v is left", said)
	}
}

func TestSomeFramesAreLost(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	w := newWire(t, l.Machine("d1"), l.Machine("t1"), LANB)
	if err := l.Slow(Link{"t1", LANB}, Fault{Loss: 0.5}); err != nil {
		t.Fatal(err)
	}
	before := map[string]int{"d1-b": l.had(t, "d1-b")}
	const all = 200 // fewer than its queue holds
	for range all {
		w.send("x")
	}
	l.taken(t, before, all)
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	w.send("last")
	if got := w.until("last"); got < all/4 || got > all*3/4 { // one in 10^12 runs
		t.Errorf("%d of %d arrived", got, all)
	}
}

func TestASlowLinkTakesItsTime(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	w := newWire(t, l.Machine("d1"), l.Machine("t1"), LANA)
	const delay = 30 * time.Millisecond
	if err := l.Slow(Link{"t1", LANA}, Fault{Way: In, Delay: delay}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.send("x")
	w.until("x")
	if took := time.Since(began); took < delay {
		t.Errorf("it took %v", took)
	}
	if err := l.Slow(Link{"t1", LANA}, Fault{Way: In, Rate: 1_000_000, Queue: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for range 10 {
		w.send(strings.Repeat("x", 1000))
	}
	w.send("last")
	if got := w.until("last"); got != 10 {
		t.Errorf("%d of 10 arrived", got)
	}
	if took, least := time.Since(began), 80*time.Millisecond; took < least {
		t.Errorf("10 kB took %v, want %v at least", took, least)
	}
	if err := l.Slow(Link{"t1", LANA}, Fault{Way: In, Rate: 1_000_000, Queue: 5000}); err != nil {
		t.Fatal(err)
	}
	lane := l.network.cords["t1-a"].relay.in
	had := lane.taken.Load()
	for range 100 {
		w.send(strings.Repeat("x", 1000))
	}
	for lane.taken.Load() < had+100 {
	}
	if got := lane.lost.Load(); got < 50 || got > 96 {
		t.Errorf("%d of 100 datagrams found no room in a queue for 4", got)
	}
}

func TestPathMTU(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	t1 := l.Machine("t1")
	if err := l.PathMTU(t.Context(), 1400); err != nil {
		t.Fatal(err)
	}
	for _, ping := range [][]string{
		{"ping", "-c1", "-M", "do", "-s", "1400", "10.7.9.11"},
		{"ping", "-6", "-c1", "-M", "do", "-s", "1400", "fd07:9::11"},
	} {
		out, err := t1.Command(t.Context(), ping...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "mtu") && !strings.Contains(string(out), "too big") {
			t.Errorf("%v: %v, %s", ping, err, out)
		}
	}
	if err := l.PathMTU(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	say(t, l.Machine("d1"), "ping", "-c1", "-M", "do", "-s", "1472", "10.7.9.11")
	if err := l.Slow(t1.Link(LANA), Fault{MTU: 1300}); err != nil {
		t.Fatal(err)
	}
	if got := say(t, t1, "cat", "/sys/class/net/eth0/mtu"); got != "1300" {
		t.Errorf("the MTU is %s", got)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	if got := say(t, t1, "cat", "/sys/class/net/eth0/mtu"); got != "1500" {
		t.Errorf("the MTU is %s again", got)
	}
}

func TestAFrozenMachine(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	t1 := l.Machine("t1")
	cmd := t1.Command(t.Context(), "sh", "-c", "while :; do sleep 0.001; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := t1.Freeze(); err != nil {
		t.Fatal(err)
	}
	list, err := t1.keeper.processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range list {
		if pid != t1.PID() && !stopped(pid) {
			t.Errorf("process %d runs", pid)
		}
	}
	if err := reaches(t, l.Machine("d1"), t1.Addr()); err != nil {
		t.Errorf("its kernel: %v", err)
	}
	if err := t1.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Cancel(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

func TestPowerOff(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 1})
	t1, d1 := l.Machine("t1"), l.Machine("d1")
	say(t, t1, "sh", "-c", "echo kept > /var/lib/kept; echo lost > /run/lost; ip address add 10.7.1.100/32 dev lo")
	cmd := t1.Command(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Slow(t1.Link(LANB), Fault{Delay: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := l.Part([]string{"t1"}, []string{"client1", "router"}); err != nil {
		t.Fatal(err)
	}
	if err := t1.Off(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("what ran there ended well")
	}
	if err := t1.Command(t.Context(), "true").Run(); err == nil || err.Error() != "machine t1 is off: switch it on first" {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(t1.Off(), l.Cut(d1.Link(LANB)), l.Mend(d1.Link(LANB))); err != nil {
		t.Error(err)
	}
	if err := t1.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := say(t, t1, "sh", "-c", "cat /var/lib/kept; ls /run; ip -br address show lo"); got != "kept\nlo               UNKNOWN        127.0.0.1/8 ::1/128" {
		t.Errorf("after power came back: %q", got)
	}
	for _, n := range []Net{LANA, LANB} {
		if err := reaches(t, d1, t1.Jack(n).IPv4); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	if got := len(l.Broken()); got != 5 {
		t.Errorf("%d faults are left of 5: %v", got, l.Broken())
	}
	if l.network.cords["t1-b"].relay == nil || l.network.cords["t1-a"].losing == nil {
		t.Error("its links are as good as new")
	}
	if err := l.Machine("switch").Off(); err == nil {
		t.Error("the switch was switched off")
	}
}

func TestNothingIsLeftOfALab(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 2})
	if err := l.Slow(Link{"t1", LANA}, Fault{Delay: time.Millisecond, Loss: 0.1}); err != nil {
		t.Fatal(err)
	}
	traces := tracesOf(t, l)
	if missing := gone(traces); missing != nil {
		t.Fatalf("of a lab that lives there is no %v", missing)
	}
	l.Close()
	if left := there(traces); left != nil {
		t.Errorf("left are %v", left)
	}
	l.Close()
}

// tracesOf are files by which a lab is known to be there.
func tracesOf(t *testing.T, l *Lab) (list []string) {
	t.Helper()
	list = append(list, l.Paths.Dir, fmt.Sprintf("/proc/%d", l.reaper.cmd.Process.Pid))
	for _, m := range l.Machines() {
		list = append(list, m.group.cpu, m.group.acc, fmt.Sprintf("/proc/%d", m.PID()))
	}
	return list
}

func there(list []string) (found []string) {
	for _, path := range list {
		if _, err := os.Stat(path); err == nil && !dead(path) {
			found = append(found, path)
		}
	}
	return found
}

// dead says whether that is a process that only waits to be buried.
func dead(path string) bool {
	b, err := os.ReadFile(filepath.Join(path, "stat"))
	return err == nil && strings.Contains(string(b), ") Z ")
}

func gone(list []string) (missing []string) {
	for _, path := range list {
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, path)
		}
	}
	return missing
}

// What a lab is made of ends also with an owner that is killed, whatever state its machines are in.
func TestNothingIsLeftWhenItsOwnerIsKilled(t *testing.T) {
	if os.Getenv("TESTBED_TEST") == "owner" {
		ownALab(t)
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: a lab is made of namespaces")
	}
	before := programs(t)
	owner := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	owner.Env = append(os.Environ(), "TESTBED_TEST=owner")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	var traces, spaces []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		kind, value, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "pid":
			pid, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		case "trace":
			traces = append(traces, value)
		case "space":
			spaces = append(spaces, value)
		}
	}
	if len(spaces) < 3 || gone(traces) != nil {
		t.Fatalf("the lab is not there: %d spaces, and no %v", len(spaces), gone(traces))
	}
	during := programs(t)
	var ends []int
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		ends = append(ends, fd)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	for _, fd := range ends {
		for {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
				break
			}
		}
	}
	if left := there(traces); left != nil {
		t.Errorf("left are %v", left)
	}
	for _, name := range spaces {
		if left := users(t, name); left != nil {
			t.Errorf("space %s is held by %v", name, left)
		}
	}
	own := func(id uint32) bool { return slices.Contains(during, id) && !slices.Contains(before, id) }
	if !slices.ContainsFunc(during, own) {
		t.Error("the lab had no program in the kernel")
	}
	for slices.ContainsFunc(programs(t), own) { // the kernel takes its time
	}
}

// ownALab has a lab of which one machine is frozen, one has been used up by its quota, and a link is slow.
func ownALab(t *testing.T) {
	l := bare(t, Plan{Clients: 1, Traffic: 2, Cores: map[string]float64{"t2": 0.05}})
	if err := l.Slow(Link{"t1", LANA}, Fault{Delay: time.Millisecond, Loss: 0.1}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t1", "t2"} {
		cmd := l.Machine(name).Command(context.Background(), "sh", "-c", "(setsid sh -c 'while :; do :; done' &); while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", cmd.Process.Pid)
	}
	if err := l.Machine("t1").Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, path := range tracesOf(t, l) {
		fmt.Println("trace", path)
	}
	fmt.Println("pid", l.reaper.cmd.Process.Pid)
	for _, m := range l.Machines() {
		fmt.Println("pid", m.PID())
		fmt.Println("space", name(t, m.keeper.space))
	}
	fmt.Println("ready")
	select {}
}

// programs are those of labs in the kernel.
func programs(t *testing.T) (ids []uint32) {
	t.Helper()
	var id ebpf.ProgramID
	for {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		id = next
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			if info, err := p.Info(); err == nil && strings.HasPrefix(info.Name, "lab_") {
				ids = append(ids, uint32(id))
			}
			p.Close()
		}
	}
}
