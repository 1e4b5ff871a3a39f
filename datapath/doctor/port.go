package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"muster/datapath/vip"
)

// ports: whether they carry frames, and how large ones.
func ports(_ context.Context, e *examination) {
	if e.missing != nil {
		e.wrong("port", "addresses", e.missing.Error(), "packets for the node do not come in", "ip addr add ADDRESS/LENGTH dev PORT", nil)
	}
	for _, p := range e.ports {
		if !p.Up {
			e.wrong("port", p.Name, "no carrier", "nothing comes in by it", "plug it in; ip link set "+p.Name+" up", func() error { return linkUp(p.Name) })
			continue
		}
		e.ok("port", p.Name, fmt.Sprintf("up, MTU %d, %s", p.MTU, texts(p.Addrs)))
	}
	for _, a := range e.Network.Accept {
		if a.Tunnel == vip.None || len(e.ports) == 0 {
			continue
		}
		mss := e.Network.Mss(a, e.ports)
		fits, least := mss+20+20, 576 // RFC 791 3.1
		if a.VIP.Is6() {
			fits, least = mss+40+20, 1280 // RFC 8200 5
		}
		found := fmt.Sprintf("packets of up to %d bytes fit the tunnel, TCP segments of up to %d", fits, mss)
		if fits < least {
			e.wrong("port", "MTU for VIP "+a.VIP.String(), found, fmt.Sprintf("every path must carry %d bytes", least),
				fmt.Sprintf("ip link set PORT mtu %d, on all machines of the LAN", 1500+1500-fits), nil)
			continue
		}
		e.ok("port", "MTU for VIP "+a.VIP.String(), found)
	}
}

func linkUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	return err
}

func texts(list []netip.Addr) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return strings.Join(out, " ")
}

// An offload is something that a port does by itself, and that is in the way.
type offload struct {
	feature string // as ethtool lists it
	short   string // as ethtool -K takes it
	driver  string // only of this one; empty: any
	where   func(e *examination, p vip.Port) bool
	state   State
	why     string
}

func atDirector(e *examination, p vip.Port) bool {
	return slices.ContainsFunc(e.in(), func(o vip.Port) bool { return o.Index == p.Index })
}

var offloadsInTheWay = []offload{
	{
		"rx-lro", "lro", "", atDirector, Wrong,
		"packets that the port has merged are too large to be sent on, and a driver may refuse the program",
	},
	{
		"rx-gro-hw", "rx-gro-hw", "", atDirector, Warning,
		"a driver may refuse the program, or what the port has merged is too large to be sent on",
	},
	{
		"rx-vlan-hw-parse", "rxvlan", "", func(e *examination, p vip.Port) bool { return atDirector(e, p) && hasVLANs(p) }, Wrong,
		"the program in the driver does not see the tags that the port has taken off, and takes tagged packets for untagged ones",
	},
	{
		"tx-checksum-ip-generic", "tx", "veth", func(*examination, vip.Port) bool { return true }, Warning,
		"a veth pair carries packets without checksums, and a program that sends them on does not make them: receivers drop them",
	},
}

// offloads: what ports do by themselves and are not to.
func offloads(_ context.Context, e *examination) {
	if !e.kernelDispatch() {
		return
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		e.warn("port", "offloads", err.Error(), "it cannot be seen what ports do by themselves", "", nil)
		return
	}
	defer tool.Close()
	for _, p := range e.ports {
		features, err := tool.FeaturesWithState(p.Name)
		if err != nil {
			e.warn("port", p.Name+" offloads", err.Error(), "it cannot be seen what it does by itself", "", nil)
			continue
		}
		driver, _ := tool.DriverName(p.Name) // without a name it is no veth
		good := true
		for _, o := range offloadsInTheWay {
			if !features[o.feature].Active || o.driver != "" && o.driver != driver || !o.where(e, p) {
				continue
			}
			good = false
			f := Finding{
				Part: "port", Check: p.Name + " " + o.feature, State: o.state, Found: "on", Why: o.why,
				Mend: "ethtool -K " + p.Name + " " + o.short + " off",
				mend: func() error { return turnOff(p.Name, o.feature) },
			}
			if features[o.feature].NeverChanged {
				f.Found, f.Mend, f.mend = "on, and the driver "+driver+" cannot turn it off", "use another port", nil
			}
			e.found = append(e.found, f)
		}
		if good {
			e.ok("port", p.Name+" offloads", "none in the way, driver "+driver)
		}
	}
}

func turnOff(port, feature string) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer tool.Close()
	if err := tool.Change(port, map[string]bool{feature: false}); err != nil {
		return fmt.Errorf("turn off %s of %s: %w", feature, port, err)
	}
	features, err := tool.FeaturesWithState(port)
	if err == nil && features[feature].Active {
		err = fmt.Errorf("turn off %s of %s: the driver keeps it on", feature, port)
	}
	return err
}

// hasVLANs says whether VLAN interfaces stand on the port.
func hasVLANs(p vip.Port) bool {
	links, err := netlink.LinkList()
	return err == nil && slices.ContainsFunc(links, func(l netlink.Link) bool {
		return l.Type() == "vlan" && l.Attrs().ParentIndex == p.Index
	})
}

// director is the name of the program that dispatches.
const director = "director"

// programs: whether the program that dispatches is where packets come in, and how.
func programs(_ context.Context, e *examination) {
	if e.Director == nil {
		return
	}
	for _, p := range e.in() {
		name := p.Name + " dispatch"
		l, err := netlink.LinkByIndex(p.Index)
		if err != nil {
			e.warn("director", name, err.Error(), "it cannot be seen which program the port has", "", nil)
			continue
		}
		xdp := l.Attrs().Xdp
		if xdp == nil || !xdp.Attached {
			mend := "systemctl start muster"
			if e.running {
				mend = "muster status, which says why; journalctl -u muster"
			}
			e.wrong("director", name, "no program is attached", "nothing is dispatched in the kernel", mend, nil)
			continue
		}
		found, err := programName(ebpf.ProgramID(xdp.ProgId))
		const native, generic, several = 1, 2, 4 // if_link.h: XDP_ATTACHED_DRV, _SKB, _MULTI
		mode := map[uint32]string{native: "native", generic: "generic", several: "several modes at once"}[uint32(xdp.AttachMode)]
		switch {
		case err != nil:
			e.warn("director", name, fmt.Sprintf("program %d, %s: %v", xdp.ProgId, mode, err), "it cannot be seen whose it is", "sudo muster doctor", nil)
		case found != director:
			e.wrong("director", name, fmt.Sprintf("the program %s of somebody else is attached (%s)", found, mode), "nothing is dispatched in the kernel: a port has one program",
				"bpftool net show dev "+p.Name+"; ip link set dev "+p.Name+" xdp off, then systemctl restart muster", nil)
		case xdp.AttachMode == generic && e.Director.Native:
			e.wrong("director", name, "generic", "the file wants native", "set packets.mode: auto, or use a port whose driver can", nil)
		case xdp.AttachMode == generic:
			e.warn("director", name, "generic", "the kernel makes more of each packet before it is dispatched; the driver cannot, or would not, run the program",
				"use a port whose driver runs XDP; ethtool -i "+p.Name, nil)
		default:
			e.ok("director", name, mode)
		}
	}
}

func programName(id ebpf.ProgramID) (string, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return "", err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", err
	}
	return info.Name, nil
}

// unpacking: whether tunnels are unpacked where they come in.
func unpacking(_ context.Context, e *examination) {
	if !e.tunnels() {
		return
	}
	for _, p := range e.ports {
		name := p.Name + " tunnels"
		works, err := vip.Unpacks(p)
		switch {
		case errors.Is(err, vip.ErrKernel):
			return // said of the kernel
		case err != nil:
			e.warn("traffic node", name, err.Error(), "it cannot be seen whether they are unpacked", "sudo muster doctor", nil)
		case works:
			e.ok("traffic node", name, "unpacked")
		case e.running:
			e.wrong("traffic node", name, "not unpacked", "packets of tunnel services are lost; the daemon does it again within seconds, says in its log why it cannot, or was detached (muster reload)", "journalctl -u muster", nil)
		default:
			e.wrong("traffic node", name, "not unpacked", "packets of tunnel services are lost", "muster doctor --fix, or systemctl start muster", e.unpack)
		}
	}
}

// unpack has tunnels unpacked, as the daemon would, which takes it over.
func (e *examination) unpack() error {
	if e.Keep.Pin == "" {
		return errors.New("there is no place where the program could outlive this process")
	}
	if err := e.makePlace(); err != nil {
		return err
	}
	keep := e.Keep
	keep.Probe = -1
	h, err := vip.New(keep, e.log)
	if err != nil {
		return err
	}
	w := e.Network
	w.Answer = nil
	for _, v := range e.Network.Answer { // what a daemon has left in place while the kernel goes on to dispatch stays
		if isHere(v) {
			w.Answer = append(w.Answer, v)
		}
	}
	return errors.Join(h.Apply(w), h.Close())
}
