package packet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
)

var passing = asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()} // XDP_PASS

// stranger is somebody else's program.
func stranger(t *testing.T, port string) (remove func()) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.XDP, License: "GPL",
		Instructions: passing,
	})
	if err != nil {
		t.Fatal(err)
	}
	i, err := net.InterfaceByName(port)
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Index})
	if err != nil {
		t.Fatal(err)
	}
	remove = func() {
		_ = l.Detach() // it may have been already
		_ = l.Close()
		_ = p.Close()
	}
	t.Cleanup(remove)
	return remove
}

func TestSomebodyElsesProgramIsNamedAndLeftAlone(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	newFar(t, "dir1", "10.7.2.2/24", "10.7.2.11/24")
	remove := stranger(t, "dir1")
	f := newForwarder(t, Config{Interfaces: []string{"dir0", "dir1"}})
	fine(t, f.Apply([]Service{web(cluster.DR, "10.7.1.100", 80)}))
	err := f.Attach()
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), `("stranger")`) || !strings.Contains(err.Error(), "ip link set dev dir1 xdp off") {
		t.Errorf("got %v, want the stranger named and what to do", err)
	}
	if f.ports["dir0"].mode() != "native" {
		t.Error("the other port is not attached")
	}
	if st := f.Status(); len(st.Wrong) == 0 || !strings.Contains(strings.Join(st.Wrong, "\n"), "stranger") {
		t.Errorf("got %q, want it said in the status", st.Wrong)
	}
	start(t, f)
	remove()
	until(t, "the port is attached once it is free", func() bool { return mode(f, "dir1") == "native" })
}

func mode(f *Forwarder, port string) string {
	for _, p := range f.Status().Ports {
		if p.Name == port {
			return p.Mode
		}
	}
	return ""
}

func TestAForwarderThatCannotAttachAnywhereSaysSo(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	stranger(t, "dir0")
	for name, test := range map[string]struct {
		cfg  Config
		want error
	}{
		"foreign":    {Config{Interfaces: []string{"dir0"}}, ErrForeign},
		"no port":    {Config{Interfaces: []string{"dir9"}}, ErrNoPort},
		"no address": {Config{Addresses: []netip.Addr{netip.MustParseAddr("10.7.1.3")}}, ErrNoPort},
		"no native":  {Config{Interfaces: []string{"lo"}, Mode: Native}, ErrNoXDP},
	} {
		f := newForwarder(t, test.cfg)
		if err := f.Run(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestModes(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	for _, test := range []struct {
		port string
		mode Mode
		want string
	}{{"dir0", Auto, "native"}, {"dir0", Native, "native"}, {"dir0", Generic, "generic"}, {"lo", Auto, "generic"}} {
		f := newForwarder(t, Config{Interfaces: []string{test.port}, Mode: test.mode})
		fine(t, f.Attach())
		p := f.Status().Ports[0]
		if p.Mode != test.want || (p.Why != "") != (test.port == "lo") {
			t.Errorf("%s on %s: got %s (%s), want %s", test.mode, test.port, p.Mode, p.Why, test.want)
		}
		fine(t, f.Close())
	}
}

func TestPortsComeAndGo(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	newFar(t, "dir1", "10.7.2.2/24", "10.7.2.11/24")
	pin := filepath.Join(bpffs, t.Name())
	t.Cleanup(func() { fine(t, Detach(pin)) })
	f := newForwarder(t, Config{Addresses: []netip.Addr{netip.MustParseAddr("10.7.1.2"), netip.MustParseAddr("10.7.2.2")}, Pin: pin})
	fine(t, f.Apply([]Service{web(cluster.DR, "10.7.1.100", 80)}))
	start(t, f)
	both := func() bool { return mode(f, "dir0") == "native" && mode(f, "dir1") == "native" }
	until(t, "both ports dispatch", both)

	l, err := netlink.LinkByName("dir1")
	if err != nil {
		t.Fatal(err)
	}
	fine(t, netlink.LinkSetDown(l))
	until(t, "it is said that the port is down", func() bool {
		return strings.Contains(strings.Join(f.Status().Wrong, "\n"), "port dir1 is down")
	})
	fine(t, netlink.LinkSetUp(l))
	until(t, "it is up again", func() bool { return f.Status().Ports[1].Up })

	fine(t, netlink.LinkDel(l))
	until(t, "it is gone", func() bool { return mode(f, "dir1") == "" })
	newFar(t, "dir1", "10.7.2.2/24", "10.7.2.11/24")
	until(t, "both ports dispatch again", both)
	if i, _ := net.InterfaceByName("dir1"); f.Status().Ports[1].Index != i.Index {
		t.Errorf("got index %d, want %d", f.Status().Ports[1].Index, i.Index)
	}
}

func TestForwardingIsAskedFor(t *testing.T) {
	newFar(t, "dir0", "10.7.1.2/24", "10.7.1.11/24")
	f := newForwarder(t, Config{Interfaces: []string{"dir0"}})
	six := web(cluster.DR, "fd07:1::100", 80)
	six.Name = "six"
	fine(t, f.Apply([]Service{web(cluster.DR, "10.7.1.100", 80), six}))
	fine(t, f.Attach())
	for _, family := range []string{"ipv4", "ipv6"} {
		path := "/proc/sys/net/" + family + "/conf/dir0/forwarding"
		fine(t, os.WriteFile(path, []byte("0"), 0))
		if p := f.Status(); p.Ports[0].Forwards || !strings.Contains(strings.Join(p.Wrong, "\n"), "net."+family+".conf.dir0.forwarding=1") {
			t.Errorf("got %v, want %s missed", p.Wrong, path)
		}
		fine(t, os.WriteFile(path, []byte("1"), 0))
	}
	if p := f.Status(); !p.Ports[0].Forwards || len(p.Wrong) != 0 {
		t.Errorf("got %v, want nothing wrong", p.Wrong)
	}
}

func TestPortsOfTagsAndBonds(t *testing.T) {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }
	eth := func(index int, name string, master int) *netlink.Device {
		return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index, Name: name, MTU: 1500, HardwareAddr: mac(byte(index)), MasterIndex: master}}
	}
	tag := &netlink.Vlan{LinkAttrs: eth(4, "eth0.5", 0).LinkAttrs, VlanId: 5, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	tag.ParentIndex, tag.MTU = 2, 1400
	bond := netlink.NewLinkBond(eth(9, "bond0", 0).LinkAttrs)
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1, Name: "lo"}}
	ports, vlans := portsOf([]netlink.Link{lo, eth(2, "eth0", 0), tag, eth(7, "eth1", 9), bond})
	one := func(port uint32, vlan, mtu uint16, last byte) directorPort {
		return directorPort{Ifindex: port, Vlan: vlan, Mtu: mtu, Mac: [6]byte(mac(last))}
	}
	want := map[uint32]directorPort{2: one(2, 0, 1500, 2), 4: one(2, 5, 1400, 4), 7: one(7, 0, 1500, 7), 9: one(9, 0, 1500, 9)}
	if diff := cmp.Diff(want, ports); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[directorVlanKey]uint32{{Ifindex: 2, Vlan: 5}: 4, {Ifindex: 7}: 9}, vlans); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		err, want error
		say       string
	}{
		{unix.EPERM, ErrRights, "CAP_BPF"},
		{unix.EINVAL, ErrKernel, oldest},
		{ebpf.ErrNotSupported, ErrKernel, release()},
		{&ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"invalid access"}}, ErrKernel, "invalid access"},
		{unix.ENOMEM, unix.ENOMEM, "fewer flows"},
		{unix.EIO, unix.EIO, "load the program"},
	} {
		if err := refused("load the program", test.err); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.say) {
			t.Errorf("%v: got %v, want %v that says %q", test.err, err, test.want, test.say)
		}
	}
	if err := mountFor("/proc/pins"); !errors.Is(err, ErrNoBPFFS) || !strings.Contains(err.Error(), "mount -t bpf") {
		t.Errorf("got %v, want %v", err, ErrNoBPFFS)
	}
}

// Whoever has no rights is told so, not that something is broken.
func TestWithoutRights(t *testing.T) {
	if os.Geteuid() == 0 {
		drop := func() error {
			var none [2]unix.CapUserData
			return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
		}
		got := make(chan error)
		go onThread(func() {
			if err := drop(); err != nil {
				got <- err
				return
			}
			f, err := New(small(Config{}), testLog(t))
			if err == nil {
				err = f.Close()
			}
			got <- err
		})
		if err := <-got; !errors.Is(err, ErrRights) {
			t.Errorf("got %v, want %v", err, ErrRights)
		}
		return
	}
	if _, err := New(small(Config{}), testLog(t)); !errors.Is(err, ErrRights) {
		t.Errorf("got %v, want %v", err, ErrRights)
	}
}
