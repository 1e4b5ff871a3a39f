package testbed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A network is the switch: a bridge for each net, and a port for each cable.
type network struct {
	space *Space // the switch's
	mtu   int
	pass  *ebpf.Program
	nets  map[Net]int // indexes of the bridges

	mu     sync.Mutex
	cords  map[string]*cord // by the names of the switch's ports
	filter *filter          // nil: nothing was to be lost yet
}

// newNetwork makes the bridges. What it makes is gone with the space, and with this process.
func newNetwork(s *Space, mtu int) (*network, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("lift the limit of locked memory, for BPF programs: %w", err)
	}
	// A frame that XDP sends out of a veth port is only taken at the other end by a port that polls: one with a program.
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "lab_pass", Type: ebpf.XDP, License: "GPL", Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load a program for the switch's ports: %w: a kernel with XDP is needed, 5.18 or newer, and root", err)
	}
	n := &network{space: s, mtu: mtu, pass: pass, nets: map[Net]int{}, cords: map[string]*cord{}}
	if err := n.addBridges(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

const xdpPass = 2 // enum xdp_action

func (n *network) addBridges() error {
	// The switch takes no part in what it carries.
	set := map[string]string{"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
	// Where there is br_netfilter, bridges show every frame to the rules for IP.
	for _, family := range []string{"iptables", "ip6tables", "arptables"} {
		if name := "net/bridge/bridge-nf-call-" + family; hasSetting(name) {
			set[name] = "0"
		}
	}
	if err := n.space.set(set); err != nil {
		return err
	}
	h, err := n.space.handle()
	if err != nil {
		return fmt.Errorf("talk to the switch: %w", err)
	}
	defer h.Close()
	for _, net := range Nets {
		snoop := false // every port hears all multicast, as neighbour discovery needs it
		b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: string(net), MTU: n.mtu}, MulticastSnooping: &snoop}
		if err := h.LinkAdd(b); err != nil {
			return fmt.Errorf("make bridge %s: %w: the kernel needs CONFIG_BRIDGE", net, err)
		}
		if err := up(h, string(net)); err != nil {
			return err
		}
		n.nets[net] = b.Index
	}
	return nil
}

// plug lays a machine's cables, with the ports at both ends set up.
func (n *network) plug(site *Site, space *Space) error {
	if err := space.set(site.settings()); err != nil {
		return err
	}
	far, err := n.space.handle()
	if err != nil {
		return fmt.Errorf("talk to the switch: %w", err)
	}
	defer far.Close()
	near, err := space.handle()
	if err != nil {
		return fmt.Errorf("talk to %s: %w", site.Name, err)
	}
	defer near.Close()
	if err := up(near, "lo"); err != nil {
		return err
	}
	for i := range site.Jacks {
		if err := n.plugOne(far, near, &site.Jacks[i], space); err != nil {
			return fmt.Errorf("join %s: %w", site.Link(site.Jacks[i].Net), err)
		}
	}
	for i := range site.Jacks {
		if site.Role == Router {
			break // it is everybody's way out
		}
		if err := addDefault(near, &site.Jacks[i], 100*(i+1)); err != nil {
			return fmt.Errorf("join %s: %w", site.Link(site.Jacks[i].Net), err)
		}
	}
	return nil
}

func (n *network) plugOne(far, near *netlink.Handle, j *Jack, space *Space) error {
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: j.far, MTU: n.mtu, TxQLen: queueLength}, PeerMTU: uint32(n.mtu), PeerTxQLen: queueLength,
		PeerName: j.Name, PeerNamespace: netlink.NsFd(space.ns.Fd()), PeerHardwareAddr: j.MAC,
	}
	if err := far.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	err := n.space.do(func() error {
		xdp, err := link.AttachXDP(link.XDPOptions{Program: n.pass, Interface: pair.Index, Flags: link.XDPDriverMode})
		if err != nil {
			return fmt.Errorf("attach a program to the switch's port: %w: a kernel with XDP on veth is needed", err)
		}
		n.hold(j.far, &cord{index: pair.Index, xdp: xdp, mtu: n.mtu})
		return plainChecksums(j.far)
	})
	if err == nil {
		err = space.do(func() error { return errors.Join(plainChecksums(j.Name), setGRO(j.Name, true)) })
	}
	if err == nil {
		err = queue(far, pair)
	}
	if err == nil {
		err = far.LinkSetMasterByIndex(pair, n.nets[j.Net])
	}
	if err == nil {
		err = far.LinkSetUp(pair)
	}
	if err != nil {
		return err
	}
	port, err := near.LinkByName(j.Name)
	if err != nil {
		return fmt.Errorf("find %s: %w", j.Name, err)
	}
	if err := queue(near, port); err != nil {
		return err
	}
	if err := near.LinkSetUp(port); err != nil {
		return fmt.Errorf("bring up %s: %w", j.Name, err)
	}
	for _, a := range []netip.Addr{j.IPv4, j.IPv6} {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		ip := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
		if err := near.AddrAdd(port, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	return nil
}

// queueLength is how many frames wait at a port until its other end takes them. What comes from several ports at once has
// to: nothing here is slower than another, so without queues the frames that meet at the router would be lost.
const queueLength = 10_000

// queue has frames wait at a port that is not up yet. Since Linux 6.16 a veth port then sends no more than its other end takes
// (veth: apply qdisc backpressure on full ptr_ring).
func queue(h *netlink.Handle, port netlink.Link) error {
	q := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: port.Attrs().Index, Parent: netlink.HANDLE_ROOT}, QdiscType: "pfifo",
	}
	if err := h.QdiscAdd(q); err != nil {
		return fmt.Errorf("give %s a queue: %w: the kernel needs CONFIG_NET_SCH_FIFO", port.Attrs().Name, err)
	}
	return nil
}

// addDefault makes the router the way to everything else. With two LANs, the first is taken for as long as it is there.
func addDefault(h *netlink.Handle, j *Jack, metric int) error {
	port, err := h.LinkByName(j.Name)
	if err != nil {
		return err
	}
	for _, gw := range []netip.Addr{j.Net.Addr4(routerLast), j.Net.Addr6(routerLast)} {
		r := &netlink.Route{LinkIndex: port.Attrs().Index, Gw: gw.AsSlice(), Priority: metric}
		if err := h.RouteAdd(r); err != nil {
			return fmt.Errorf("add the default route through %s: %w", gw, err)
		}
	}
	return nil
}

// dark ends all traffic on a machine's cables at once.
func (n *network) dark(site *Site) error {
	h, err := n.space.handle()
	if err != nil {
		return fmt.Errorf("talk to the switch: %w", err)
	}
	defer h.Close()
	for _, j := range site.Jacks {
		port, err := h.LinkByName(j.far)
		if err == nil {
			err = h.LinkSetDown(port)
		}
		if err != nil {
			return fmt.Errorf("cut %s: %w", site.Link(j.Net), err)
		}
	}
	return nil
}

// unplug removes a machine's cables with both their ends.
func (n *network) unplug(site *Site) error {
	h, err := n.space.handle()
	if err != nil {
		return fmt.Errorf("talk to the switch: %w", err)
	}
	defer h.Close()
	var errs []error
	for _, j := range site.Jacks {
		n.hold(j.far, nil)
		for _, name := range []string{j.far, spliced(j.far)} {
			if err := remove(h, name); err != nil {
				errs = append(errs, fmt.Errorf("unplug %s: %w", site.Link(j.Net), err))
			}
		}
	}
	return errors.Join(errs...)
}

// hold keeps what belongs to a port for as long as the port is there; nil ends it.
func (n *network) hold(port string, c *cord) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cords[port].close()
	n.cords[port] = c
}

func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.cords {
		c.close()
	}
	clear(n.cords)
	if n.filter != nil {
		n.filter.close()
	}
	_ = n.pass.Close() // it was only held
}

// settings are what a machine's kernel is told before it has a port. A new namespace has some of those of this machine,
// whatever they are.
func (s *Site) settings() map[string]string {
	set := map[string]string{}
	for _, name := range []string{"all", "default"} {
		v4, v6 := "net/ipv4/conf/"+name+"/", "net/ipv6/conf/"+name+"/"
		// Addresses are usable at once: nobody else has them.
		set[v6+"accept_dad"], set[v6+"dad_transmits"], set[v6+"accept_ra"] = "0", "0", "0"
		set[v6+"disable_ipv6"], set[v6+"forwarding"] = "0", "0"
		set[v4+"rp_filter"] = "2" // as Debian has it (systemd, 50-default.conf)
		set[v4+"arp_ignore"], set[v4+"arp_announce"], set[v4+"arp_filter"] = "0", "0", "0"
		set[v4+"accept_redirects"], set[v4+"send_redirects"], set[v6+"accept_redirects"] = "0", "0", "0"
		set[v4+"forwarding"] = "0"
		if s.Role == Router {
			set[v4+"rp_filter"], set[v4+"forwarding"], set[v6+"forwarding"] = "0", "1", "1"
		}
	}
	return set
}

// set writes settings of the space's network, by their names below /proc/sys.
func (s *Space) set(values map[string]string) error {
	return s.do(func() error {
		for name, value := range values {
			if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
				return fmt.Errorf("set %s to %s: %w", strings.ReplaceAll(name, "/", "."), value, err)
			}
		}
		return nil
	})
}

// hasSetting says whether the kernel has a setting.
func hasSetting(name string) bool {
	_, err := os.Stat(filepath.Join("/proc/sys", name))
	return err == nil
}

// do calls f with a thread in the space.
func (s *Space) do(f func() error) error {
	leave, err := s.Enter()
	if err != nil {
		return err
	}
	defer leave()
	return f()
}
