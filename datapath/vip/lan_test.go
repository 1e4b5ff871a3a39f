package vip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/internal/netset"
)

// A machine is a network of its own; its port is eth0.
type machine struct {
	t   *testing.T
	ns  *os.File
	mac mac
}

// lan joins machines with these addresses, an IPv4 and an IPv6 one each, by a switch. The test's thread ends with the
// test, and the networks with it.
func lan(t *testing.T, addrs ...[2]string) []*machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: it takes network namespaces")
	}
	runtime.LockOSThread() // for good
	wire := apart(t)
	wire.in(func() {
		must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}}))
		wire.ip("link set switch up")
	})
	list := make([]*machine, len(addrs))
	for i, a := range addrs {
		m := apart(t)
		list[i] = m
		wire.in(func() {
			name := fmt.Sprintf("port%d", i)
			must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(m.ns.Fd()))}))
			must(t, offload(name, "tx-checksum-ip-generic", false)) // as eth0 below
			wire.ip("link set " + name + " master switch up")
		})
		m.in(func() {
			m.ip("link set lo up")
			m.set("ipv6/conf/eth0/accept_dad", "0")
			m.ip("link set eth0 up")
			// Checksums are made by the machine: what is caught is what a network would carry.
			must(t, offload("eth0", "tx-checksum-ip-generic", false))
			m.ip("addr add " + a[0] + " dev eth0")
			m.ip("addr add " + a[1] + " dev eth0 nodad")
			l, err := netlink.LinkByName("eth0")
			must(t, err)
			m.mac = mac(l.Attrs().HardwareAddr)
		})
	}
	for _, m := range list {
		m.until("its own addresses", func() bool { // IPv6 takes a moment
			list := m.ip("-6 -o addr show dev eth0")
			return strings.Contains(list, "fe80::") && !strings.Contains(list, "tentative") &&
				strings.Count(m.ip("-6 route show table local"), "dev eth0") == 3
		})
	}
	return list
}

func offload(link, name string, on bool) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Change(link, map[string]bool{name: on})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func namespace(t *testing.T) *os.File {
	t.Helper()
	ns, err := os.Open("/proc/thread-self/ns/net")
	must(t, err)
	t.Cleanup(func() { _ = ns.Close() }) // it was only held
	return ns
}

func apart(t *testing.T) *machine {
	t.Helper()
	here := namespace(t)
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	m := &machine{t: t, ns: namespace(t)}
	must(t, unix.Setns(int(here.Fd()), unix.CLONE_NEWNET))
	return m
}

// in does something with the test's thread on the machine, and returns to where that was.
func (m *machine) in(do func()) {
	m.t.Helper()
	here, err := os.Open("/proc/thread-self/ns/net")
	must(m.t, err)
	defer here.Close()
	must(m.t, unix.Setns(int(m.ns.Fd()), unix.CLONE_NEWNET))
	defer func() {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // what follows would be done to the wrong machine
		}
	}()
	do()
}

// ip runs ip(8) on the machine that the test's thread is on.
func (m *machine) ip(args string) string {
	m.t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

func (m *machine) set(name, value string) {
	m.t.Helper()
	must(m.t, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0))
}

func (m *machine) sysctl(name string) string {
	m.t.Helper()
	text, err := os.ReadFile("/proc/sys/net/" + name)
	must(m.t, err)
	return strings.TrimSpace(string(text))
}

// host is a Host of the machine, which is made in in.
func (m *machine) host(cfg Config) *Host {
	m.t.Helper()
	if cfg.Journal == "" {
		cfg.Journal = filepath.Join(m.t.TempDir(), "network.json")
	}
	h, err := New(cfg, slog.New(slog.NewTextHandler(m.t.Output(), nil)))
	must(m.t, err)
	m.t.Cleanup(func() { _ = h.Close() }) // a test may have closed it
	return h
}

// run runs a Host on its machine until stop.
func (m *machine) run(h *Host) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good
		err := unix.Setns(int(m.ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = h.Run(ctx)
		}
		done <- err
	}()
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			must(m.t, <-done)
		}
	}
	m.t.Cleanup(stop)
	return stop
}

// until waits until something is so on the machine; it looks whenever something changes there.
func (m *machine) until(what string, so func() bool) {
	m.t.Helper()
	m.in(func() {
		w, err := newWatch()
		must(m.t, err)
		defer w.close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		limit := time.After(20 * time.Second)
		for !so() {
			select {
			case <-w.C:
			case <-tick.C:
			case <-limit:
				m.t.Fatalf("it never came to be: %s", what)
			}
		}
	})
}

// answers says which of the addresses somebody on the machine's LAN answers for, and with which MAC.
func (m *machine) answers(addrs ...netip.Addr) map[netip.Addr]mac {
	m.t.Helper()
	out := map[netip.Addr]mac{}
	m.in(func() {
		found, err := holders("eth0", addrs, 300*time.Millisecond)
		must(m.t, err)
		for a, who := range found {
			out[a] = mac(who)
		}
	})
	return out
}

// fine wants every setting to be as wanted.
func fine(t *testing.T, want []netset.Setting) {
	t.Helper()
	for _, o := range netset.Look(want) {
		if o.Err != nil {
			t.Errorf("%s: %v", o.Setting, o.Err)
		}
	}
}

// picture is all that a Host can change, as ip(8) and /proc show it.
func (m *machine) picture() string {
	m.t.Helper()
	var b strings.Builder
	for _, args := range []string{"-o addr", "rule", "-6 rule", "route show table all", "-6 route show table all"} {
		b.WriteString(m.ip(args))
	}
	for _, pattern := range []string{"ipv4/conf/*/arp_*", "ipv4/conf/*/rp_filter", "ipv6/conf/*/accept_ra", "ipv?/conf/*/*forwarding"} {
		paths, err := filepath.Glob("/proc/sys/net/" + pattern)
		must(m.t, err)
		for _, p := range paths {
			b.WriteString(p + "=" + m.sysctl(strings.TrimPrefix(p, "/proc/sys/net/")) + "\n")
		}
	}
	return b.String()
}

var (
	routerOn   = [2]string{"10.7.1.254/24", "fd07:1::fe/64"}
	directorOn = [2]string{"10.7.1.1/24", "fd07:1::1/64"}
	nodeOn     = [2]string{"10.7.1.21/24", "fd07:1::21/64"}

	nodeAddrs     = []netip.Addr{node4, node6}
	directorAddrs = []netip.Addr{director4, director6}
)
