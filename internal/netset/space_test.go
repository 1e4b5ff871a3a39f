package netset

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// space moves the test into a network of its own, with two interfaces besides lo, a and b, which are a pair. The thread
// ends with the test, and the network with it.
func space(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: it takes a network namespace")
	}
	runtime.LockOSThread() // for good
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	pair(t)
	up(t, "lo")
}

func pair(t *testing.T) {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}); err != nil {
		t.Fatal(err)
	}
	up(t, "a")
	up(t, "b")
}

func up(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func sysctl(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// ip runs ip(8) in the test's network.
func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
	return string(out)
}

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // a test may have closed it
	return j
}

// apply applies, and wants everything to have worked.
func apply(t *testing.T, j *Journal, want ...Setting) []Outcome {
	t.Helper()
	out, err := j.Apply(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	return out
}

var (
	v4, v6 = netip.MustParseAddr("10.7.1.100"), netip.MustParseAddr("fd07:1::100")

	everySetting = []Setting{
		Conf("ipv4", "all", "arp_ignore", 1, AtLeast),
		Conf("ipv4", "a", "arp_announce", 2, AtLeast),
		Conf("ipv4", "a", "rp_filter", 2, IfOneAll),
		Conf("ipv6", "a", "accept_ra", 2, IfOne),
		Conf("ipv6", "a", "forwarding", 1, Always),
		Address{Link: "lo", Addr: v4, Local: true},
		Address{Link: "lo", Addr: v6},
		Address{Link: "a", Addr: netip.MustParseAddr("10.7.1.21")},
		Address{Link: "a", Addr: netip.MustParseAddr("fd07:1::21")},
		Route{Table: 5200, Via: v4.Next(), Link: "a", Src: netip.MustParseAddr("10.7.1.21")},
		Route{Table: 5200, Via: v6.Next(), Link: "a", Src: netip.MustParseAddr("fd07:1::21")},
		Rule{Priority: 5201, Family: 4, From: netip.MustParseAddr("10.7.1.21"), Proto: unix.IPPROTO_TCP, Port: 80, Table: 5200},
		Rule{Priority: 5202, Family: 4, Proto: unix.IPPROTO_UDP, Port: 53, Table: 5200},
		Rule{Priority: 5201, Family: 6, From: netip.MustParseAddr("fd07:1::21"), Proto: unix.IPPROTO_TCP, Port: 80, Table: 5200},
		Rule{Priority: 5202, Family: 6, Proto: unix.IPPROTO_UDP, Port: 53, Table: 5200},
		Rule{Priority: 5203, Family: 4, Proto: unix.IPPROTO_TCP, Port: 1, Last: 65534, Table: unix.RT_TABLE_MAIN},
		Rule{Priority: 5203, Family: 6, From: v6, Table: unix.RT_TABLE_MAIN},
		Rule{Priority: 5203, Family: 4, To: v4, Proto: unix.IPPROTO_TCP, Port: 80, Table: unix.RT_TABLE_MAIN},
	}
)

// picture is all that a journal can change, as ip(8) and /proc show it.
func picture(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range []string{"-o addr", "rule", "-6 rule", "route show table all", "-6 route show table all"} {
		b.WriteString(ip(t, args))
	}
	for _, pattern := range []string{"ipv4/conf/*/arp_*", "ipv4/conf/*/rp_filter", "ipv6/conf/*/accept_ra", "ipv?/conf/*/forwarding"} {
		paths, err := filepath.Glob("/proc/sys/net/" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, p := range paths {
			b.WriteString(p + "=" + sysctl(t, strings.TrimPrefix(p, "/proc/sys/net/")) + "\n")
		}
	}
	return b.String()
}
