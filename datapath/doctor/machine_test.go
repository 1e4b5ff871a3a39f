package doctor

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/datapath/vip"
)

// A machine is a network of its own; its port is eth0.
type machine struct {
	t  *testing.T
	ns *os.File
}

var (
	own4, own6     = netip.MustParseAddr("10.7.1.21"), netip.MustParseAddr("fd07:1::21")
	other4, other6 = netip.MustParseAddr("10.7.1.1"), netip.MustParseAddr("fd07:1::1")
	vip4, vip6     = netip.MustParseAddr("10.7.1.100"), netip.MustParseAddr("fd07:1::100")
)

// pair joins two machines by a cable: the patient and another. The test's thread ends with the test, and the networks with
// it; so do the mounts of the patient, among them a BPF file system at the usual place.
func pair(t *testing.T) (patient, other *machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: it takes network namespaces")
	}
	runtime.LockOSThread() // for good
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""))
	patient, other = apart(t), apart(t)
	patient.in(func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(other.ns.Fd()))}))
	})
	for m, addrs := range map[*machine][2]netip.Addr{patient: {own4, own6}, other: {other4, other6}} {
		m.in(func() {
			must(t, os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_dad", []byte("0"), 0))
			m.ip("link set lo up")
			m.ip("link set eth0 up")
			m.ip("addr add " + addrs[0].String() + "/24 dev eth0")
			m.ip("-6 addr add " + addrs[1].String() + "/64 dev eth0 nodad")
		})
	}
	for _, m := range []*machine{patient, other} {
		m.in(m.comesUp)
	}
	return patient, other
}

// comesUp waits until the port can carry frames: it takes a moment.
func (m *machine) comesUp() {
	m.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		l, err := netlink.LinkByName("eth0")
		must(m.t, err)
		if l.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	m.t.Fatal("eth0 does not come up")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func apart(t *testing.T) *machine {
	t.Helper()
	here := namespace(t)
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	m := &machine{t, namespace(t)}
	must(t, unix.Setns(int(here.Fd()), unix.CLONE_NEWNET))
	return m
}

func namespace(t *testing.T) *os.File {
	t.Helper()
	ns, err := os.Open("/proc/thread-self/ns/net")
	must(t, err)
	t.Cleanup(func() { _ = ns.Close() }) // it was only held
	return ns
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

func (m *machine) ip(args string) {
	m.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		m.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// examine examines the machine that the test's thread is on.
func (m *machine) examine(p Patient) (found []Finding) {
	m.t.Helper()
	return Examine(m.t.Context(), p, slog.New(slog.NewTextHandler(m.t.Output(), nil)))
}

// those are the findings of one state, without what they follow from.
func those(found []Finding, s State) []string {
	var list []string
	for _, f := range found {
		if f.State == s {
			list = append(list, f.Check+": "+f.Found)
		}
	}
	return list
}

// has wants findings of a state that begin so, each with a reason and something that mends it.
func hasAll(t *testing.T, found []Finding, s State, beginnings ...string) {
	t.Helper()
	for _, b := range beginnings {
		n := 0
		for _, f := range found {
			if f.State == s && strings.HasPrefix(f.Check+": "+f.Found, b) {
				n++
				if s != OK && (f.Why == "" || f.Mend == "") {
					t.Errorf("%s: %s: why %q, mended by %q: want both", f.Check, f.Found, f.Why, f.Mend)
				}
			}
		}
		if n != 1 {
			t.Errorf("%d are %s that begin with %q, want 1, among: %s", n, s, b, strings.Join(those(found, s), "\n\t"))
		}
	}
}

func only(t *testing.T, found []Finding, s State, beginnings ...string) {
	t.Helper()
	hasAll(t, found, s, beginnings...)
	if got := those(found, s); len(got) != len(beginnings) {
		t.Errorf("%d are %s, want %d: %s", len(got), s, len(beginnings), strings.Join(got, "\n\t"))
	}
}

// program puts a program that passes everything on the port, in a mode, and takes it off at the test's end.
func (m *machine) program(name string, flags link.XDPAttachFlags) {
	m.t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	must(m.t, err)
	l, err := net.InterfaceByName("eth0")
	must(m.t, err)
	x, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: l.Index, Flags: flags})
	must(m.t, err)
	m.t.Cleanup(func() { _, _ = x.Close(), p.Close() }) // the network is gone by then
}

func keep(t *testing.T) vip.Config {
	return vip.Config{Journal: filepath.Join(t.TempDir(), "t1", "network.json"), Pin: "/sys/fs/bpf/muster-test/t1:vip", Probe: -1, Announce: []time.Duration{}}
}

func TestATrafficNode(t *testing.T) {
	node, other := pair(t)
	_ = other
	p := Patient{
		Keep: keep(t),
		Network: vip.Want{
			Addresses: []netip.Addr{own4, own6}, Directors: []netip.Addr{other4, other6},
			Accept: []vip.Accept{{VIP: vip4, Tunnel: vip.GUE}, {VIP: vip6}},
			Return: []vip.Return{{Addr: netip.AddrPortFrom(own4, 8080), Proto: cluster.TCP, Via: other4}},
		},
		Traffic: &Traffic{Listens: []Listen{{"web", netip.AddrPortFrom(vip4, 80), false}, {"web6", netip.AddrPortFrom(vip6, 81), false}, {"dns", netip.AddrPortFrom(vip4, 53), true}}},
	}
	node.in(func() {
		must(t, os.WriteFile("/proc/sys/net/ipv4/conf/eth0/rp_filter", []byte("1"), 0))
		c, err := net.Listen("tcp4", "0.0.0.0:80")
		must(t, err)
		defer c.Close()
		elsewhere, err := net.Listen("tcp", "127.0.0.1:81")
		must(t, err)

		found := node.examine(p)
		only(t, found, Wrong, "muster node: does not run",
			"ipv4/conf/all/arp_ignore: it is 0", "ipv4/conf/all/arp_announce: it is 0", "ipv4/conf/eth0/arp_ignore: it is 0", "ipv4/conf/eth0/arp_announce: it is 0",
			"ipv4/conf/eth0/rp_filter: it is 1", "VIP 10.7.1.100 on lo: it is not there", "VIP fd07:1::100 on lo: it is not there",
			"way back through 10.7.1.1: it is not there", "rule for the way back, pref 5201 to 10.7.1.1 ipproto tcp lookup 254: it is not there",
			"rule for the way back, pref 5202 from 10.7.1.21 ipproto tcp sport 8080 lookup 5200: it is not there",
			"rule for the way back, pref 5204 from 10.7.1.21 ipproto tcp sport 1-65534 lookup 254: it is not there",
			"rule for the way back, pref 5205 from 10.7.1.21 ipproto tcp lookup 5200: it is not there",
			"eth0 tunnels: not unpacked", "application of service web6: nothing listens on TCP [fd07:1::100]:81", "application of service dns: nothing listens on UDP 10.7.1.100:53")
		only(t, found, Warning, "eth0 tx-checksum-ip-generic: on")
		hasAll(t, found, OK, "eth0: up, MTU 1500, 10.7.1.21 fd07:1::21", "MTU for VIP 10.7.1.100: packets of up to 1448 bytes", "application of service web: TCP 10.7.1.100:80 is listened on, by 0.0.0.0:80")

		for _, f := range Mend(t.Context(), found) {
			if f.Problem != "" || f.CanMend() && !f.Mended {
				t.Errorf("%s is not mended: %s", f.Check, f.Problem)
			}
		}
		must(t, elsewhere.Close())
		all, err := net.Listen("tcp", ":81")
		must(t, err)
		defer all.Close()
		u, err := net.ListenPacket("udp", ":53")
		must(t, err)
		defer u.Close()
		found = node.examine(p)
		only(t, found, Wrong, "muster node: does not run")
		only(t, found, Warning, "way from VIP 10.7.1.100: there is no route to clients far away", "way from VIP fd07:1::100: there is no route to clients far away")

		// The daemon takes over what was mended.
		h, err := vip.New(p.Keep, slog.New(slog.NewTextHandler(t.Output(), nil)))
		must(t, err)
		must(t, h.Apply(p.Network))
		for _, s := range h.Status().Settings {
			if s.Times > 0 || !s.Ours {
				t.Errorf("%+v, want it taken over", s)
			}
		}
		node.ip("route add default via 10.7.1.1")
		node.ip("-6 route add default via fd07:1::fe dev eth0")
		found = node.examine(p)
		only(t, found, Wrong)
		only(t, found, Warning, "way from VIP 10.7.1.100: by eth0 and 10.7.1.1") // that is a director
		hasAll(t, found, OK, "muster node: runs", "settings: 12 of 12", "eth0 tunnels: unpacked", "way from VIP fd07:1::100: by eth0 and fd07:1::fe")

		node.ip("addr del 10.7.1.100/32 dev lo")
		for _, f := range node.examine(p) {
			if f.State == Wrong && (f.CanMend() || !strings.Contains(f.Why, "the daemon does it again")) {
				t.Errorf("%s: %s: mended by %q, though the daemon does that", f.Check, f.Why, f.Mend)
			}
		}
		must(t, h.Undo())
		must(t, h.Close())
	})
}

func TestADirector(t *testing.T) {
	director, other := pair(t)
	p := Patient{
		Keep:    keep(t),
		Network: vip.Want{Addresses: []netip.Addr{own4, own6}, Forward: true, Answer: []netip.Addr{vip4, vip6}},
		Director: &Director{
			Native: true, Pin: "/sys/fs/bpf/muster-test/d1",
			Nodes: []Node{
				{"t1", other4, cluster.DR},
				{"t2", other6, cluster.NAT},
				{"self", own4, cluster.DR},
				{"dead", netip.MustParseAddr("10.7.1.66"), cluster.DR},
				{"far", netip.MustParseAddr("10.8.0.1"), cluster.DR},
				{"tunnelled", netip.MustParseAddr("10.8.0.1"), cluster.Tunnel},
				{"nowhere", netip.MustParseAddr("10.9.0.1"), cluster.Tunnel},
			},
		},
	}
	other.in(func() {
		other.ip("addr add 10.7.1.100/32 dev eth0")
	})
	director.in(func() {
		director.ip("route add 10.8.0.0/16 via 10.7.1.1")
		found := director.examine(p)
		hasAll(t, found, Wrong, "muster node: does not run", "eth0 dispatch: no program is attached",
			"VIP 10.7.1.100: the machine with MAC", "ipv4/conf/eth0/forwarding: it is 0", "ipv6/conf/eth0/forwarding: it is 0",
			"way to node dead: nobody answers for 10.7.1.66 on eth0", "way to node far: 10.8.0.1 is behind 10.7.1.1", "way to node nowhere: there is no route to 10.9.0.1")
		hasAll(t, found, OK, "VIP fd07:1::100: no other machine answers", "way to node t1: 10.7.1.1 on eth0", "way to node t2: fd07:1::1 on eth0",
			"way to node self: it is this machine", "way to node tunnelled: 10.7.1.1 on eth0", "bpffs: /sys/fs/bpf/muster-test/d1")
		for _, f := range found {
			if strings.Contains(f.Mend, "ip addr add") {
				t.Errorf("a VIP is to be answered for (%s), though nothing dispatches", f.Mend)
			}
		}
		Mend(t.Context(), found)
		found = director.examine(p)
		only(t, found, Wrong, "muster node: does not run", "eth0 dispatch: no program is attached", "VIP 10.7.1.100: the machine with MAC",
			"way to node dead", "way to node far", "way to node nowhere")
		only(t, found, Warning)

		h, err := vip.New(p.Keep, slog.New(slog.NewTextHandler(t.Output(), nil)))
		must(t, err)
		must(t, h.Apply(p.Network))
		defer h.Close()
		hasAll(t, director.examine(p), OK, "muster node: runs")
	})
}

func TestProgramsOfADirector(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags link.XDPAttachFlags
		must  bool // the file wants native
		state State
		found string
	}{
		{"somebody", link.XDPDriverMode, false, Wrong, "eth0 dispatch: the program somebody of somebody else is attached (native)"},
		{"director", link.XDPDriverMode, true, OK, "eth0 dispatch: native"},
		{"director", link.XDPGenericMode, false, Warning, "eth0 dispatch: generic"},
		{"director", link.XDPGenericMode, true, Wrong, "eth0 dispatch: generic"},
	} {
		t.Run(fmt.Sprintf("%s %d %v", c.name, c.flags, c.must), func(t *testing.T) {
			m, _ := pair(t)
			m.in(func() {
				m.program(c.name, c.flags)
				p := Patient{Network: vip.Want{Addresses: []netip.Addr{own4, own6}}, Director: &Director{Native: c.must, Interfaces: []string{"eth0"}}}
				hasAll(t, m.examine(p), c.state, c.found)
			})
		})
	}
}

func TestAPortThatIsDown(t *testing.T) {
	m, other := pair(t)
	m.in(func() {
		p := Patient{Network: vip.Want{Addresses: []netip.Addr{own4, netip.MustParseAddr("10.7.2.21")}, Accept: []vip.Accept{{VIP: vip4}}}}
		m.ip("link set eth0 down")
		found := m.examine(p)
		hasAll(t, found, Wrong, "eth0: no carrier", "addresses: no interface has the node's address 10.7.2.21")
		Mend(t.Context(), found)
		m.comesUp()
		m.ip("link set eth0 mtu 1200")
		p.Network.Accept = []vip.Accept{{VIP: vip6, Tunnel: vip.IPIP}}
		found = m.examine(p)
		hasAll(t, found, Wrong, "MTU for VIP fd07:1::100: packets of up to 1180 bytes")
		hasAll(t, found, OK, "eth0: up")
	})
	runtime.KeepAlive(other)
}

func TestNothingToExamine(t *testing.T) {
	if found := Examine(t.Context(), Patient{}, slog.Default()); len(those(found, Wrong)) > 0 {
		t.Errorf("of nobody something is wrong: %+v", found)
	}
	if Worst(nil) != OK || Worst([]Finding{{State: OK}, {State: Warning}}) != Warning || Worst([]Finding{{State: Wrong}, {State: Warning}}) != Wrong {
		t.Error("the worst is not the worst")
	}
}

func TestVersion(t *testing.T) {
	for release, want := range map[string][2]int{"6.18.44-fc": {6, 18}, "5.4": {5, 4}, "unknown": {}, "6": {6, 0}} {
		if major, minor := version(release); major != want[0] || minor != want[1] {
			t.Errorf("%s: %d.%d, want %v", release, major, minor, want)
		}
	}
}
