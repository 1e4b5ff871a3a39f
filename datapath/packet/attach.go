package packet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A port is an interface that the program is to run on.
type port struct {
	name   string
	index  int       // 0: there is none of that name now
	link   link.Link // nil: not attached
	info   netlink.LinkAttrs
	driver string
	why    string // why it is not attached, or not native
	pinned bool
}

func (p *port) close() error {
	if p.link == nil {
		return nil
	}
	err := p.link.Close()
	p.link = nil
	return err
}

// mode is how the program is attached, as the kernel says.
func (p *port) mode() string {
	if p.link == nil || p.info.Xdp == nil || !p.info.Xdp.Attached {
		return ""
	}
	switch p.info.Xdp.AttachMode {
	case nl.XDP_ATTACHED_DRV:
		return Native.String()
	case nl.XDP_ATTACHED_SKB:
		return Generic.String()
	case nl.XDP_ATTACHED_HW:
		return "hardware"
	}
	return "several"
}

// Attach puts the program on the ports. It returns what is wrong with any of them; the others are attached all the same.
// Run does it too, and goes on trying.
func (f *Forwarder) Attach() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kernel == nil {
		return errClosed
	}
	if f.pins != nil && f.pins.set == 0 && f.old == nil { // nothing flows yet: the maps are in place before the ports
		if err := f.pins.keep(f.kernel); err != nil {
			return err
		}
	}
	if f.old != nil {
		if err := f.copyOld(); err != nil {
			return err
		}
	}
	errs := f.attachAll()
	if f.old != nil && f.attachedAny() {
		errs = errors.Join(errs, f.replaceOld())
	}
	return errs
}

// attachAll attaches to all ports that are wanted and not attached.
func (f *Forwarder) attachAll() error {
	names, err := wantedPorts(f.cfg)
	errs := []error{err}
	for _, name := range slices.Sorted(maps.Keys(f.ports)) { // a port stays one without its address, as long as it is there
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := f.attachPort(name); err != nil {
			errs = append(errs, err)
		}
	}
	if f.pins != nil && err == nil {
		errs = append(errs, f.leavePorts(names))
	}
	if err := f.mapPorts(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (f *Forwarder) attached() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.attachedAny()
}

func (f *Forwarder) attachedAny() bool {
	for _, p := range f.ports {
		if p.link != nil {
			return true
		}
	}
	return false
}

// attachPort attaches to one port, unless that is done, and notes how it stands.
func (f *Forwarder) attachPort(name string) error {
	p := f.ports[name]
	if p == nil {
		p = &port{name: name}
		f.ports[name] = p
	}
	before, was := p.why, p.link != nil
	err := f.join(p)
	if err != nil {
		p.why = err.Error()
		if p.why != before {
			f.log.Error("port does not dispatch", "port", name, "error", err)
		}
		return err
	}
	if info, err := netlink.LinkByName(name); err == nil {
		p.info = *info.Attrs()
	}
	if !was {
		f.log.Info("port dispatches", "port", name, "mode", p.mode(), "why", p.why)
	}
	return nil
}

// join makes the program run on the port as it is now.
func (f *Forwarder) join(p *port) error {
	l, err := netlink.LinkByName(p.name)
	if err != nil {
		_ = p.close() // the port is gone, and what was attached with it
		p.index, p.info = 0, netlink.LinkAttrs{}
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("port %s: %w: name one that there is, or make it", p.name, ErrNoPort)
		}
		return fmt.Errorf("port %s: %w", p.name, err)
	}
	attrs := l.Attrs()
	if p.index != attrs.Index {
		_ = p.close() // another port of the same name
		p.index, p.driver = attrs.Index, driverOf(l)
	}
	p.info = *attrs
	if p.link != nil {
		return nil
	}
	p.why = ""
	if f.pins != nil {
		if done, err := f.resume(p); done || err != nil {
			return err
		}
	}
	if x := attrs.Xdp; x != nil && x.Attached {
		return foreign(p.name, x.ProgId)
	}
	if err := f.attachNew(p); err != nil {
		return err
	}
	if f.pins != nil {
		if err := p.link.Pin(f.pins.portPin(p.name)); err != nil {
			_ = p.close() // it would end with the process, unexpectedly
			return fmt.Errorf("pin the program on port %s: %w", p.name, rights(err))
		}
		p.pinned = true
	}
	return nil
}

// resume takes over the link that is pinned for the port: from one packet to the next the new program runs on it.
func (f *Forwarder) resume(p *port) (done bool, err error) {
	path := f.pins.portPin(p.name)
	old, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, refused("take over the program on port "+p.name, err)
	}
	info, err := old.Info()
	if err != nil || info.XDP() == nil || int(info.XDP().Ifindex) != p.index { // of a port that is gone
		return false, errors.Join(old.Close(), os.Remove(path))
	}
	if err := old.Update(f.kernel.Director); err != nil {
		return false, errors.Join(fmt.Errorf("replace the program on port %s: %w", p.name, err), old.Close())
	}
	p.link, p.pinned = old, true
	if want := f.cfg.Mode; want != Auto && p.mode() != want.String() {
		p.why = fmt.Sprintf("it stays %s, so that no packet is lost, until it is detached", p.mode())
	}
	return true, nil
}

// attachNew attaches in the mode that is wanted.
func (f *Forwarder) attachNew(p *port) error {
	var native error
	if f.cfg.Mode != Generic {
		if p.link, native = link.AttachXDP(link.XDPOptions{Program: f.kernel.Director, Interface: p.index, Flags: link.XDPDriverMode}); native == nil {
			return nil
		}
		p.link = nil
	}
	err := native
	if f.cfg.Mode == Generic || f.cfg.Mode == Auto && !errors.Is(native, unix.EBUSY) && !errors.Is(native, unix.EPERM) {
		l, generic := link.AttachXDP(link.XDPOptions{Program: f.kernel.Director, Interface: p.index, Flags: link.XDPGenericMode})
		if generic == nil {
			p.link = l
			if native != nil {
				p.why = fmt.Sprintf("driver %s does not take it natively: %v", p.driver, native)
			}
			return nil
		}
		err = errors.Join(native, generic)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return refused("attach to port "+p.name, err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return foreign(p.name, 0)
	case f.cfg.Mode == Native:
		return fmt.Errorf("port %s: %w: driver %s does not take them natively: ask for mode auto or generic, or lower the MTU if it is above 3,000 (%w)", p.name, ErrNoXDP, p.driver, err)
	}
	return fmt.Errorf("port %s, driver %s: %w: name another one, or dispatch by proxy (%w)", p.name, p.driver, ErrNoXDP, err)
}

// foreign says whose program is in the way.
func foreign(name string, id uint32) error {
	what := "an XDP program"
	if id != 0 {
		what = fmt.Sprintf("XDP program %d", id)
		if p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id)); err == nil { // which takes more rights than we may have
			if info, err := p.Info(); err == nil {
				what += fmt.Sprintf(" (%q)", info.Name)
			}
			_ = p.Close() // it is only looked at
		}
	}
	return fmt.Errorf("port %s: %w: %s: if it is not needed, remove it: ip link set dev %s xdp off; otherwise name another port", name, ErrForeign, what, name)
}

// leavePorts detaches from pinned ports that are not wanted any more.
func (f *Forwarder) leavePorts(names []string) error {
	pinned, err := f.pins.pinnedPorts()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range pinned {
		if !slices.Contains(names, name) && f.ports[name] == nil {
			errs = append(errs, f.pins.detach(name))
			f.log.Info("port does not dispatch any more", "port", name)
		}
	}
	return errors.Join(errs...)
}

// wantedPorts are the names of the ports to attach to. A VLAN's packets come in by the port below it.
func wantedPorts(cfg Config) ([]string, error) {
	if len(cfg.Interfaces) > 0 {
		return cfg.Interfaces, nil
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	byIndex := map[int]netlink.Link{}
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	var names []string
	var errs []error
	for _, want := range cfg.Addresses {
		i := slices.IndexFunc(addrs, func(a netlink.Addr) bool { got, _ := netip.AddrFromSlice(a.IP); return got.Unmap() == want })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%w that has the address %s: give it to one, or name the ports", ErrNoPort, want))
			continue
		}
		l := byIndex[addrs[i].LinkIndex]
		for l != nil && l.Type() == "vlan" && byIndex[l.Attrs().ParentIndex] != nil {
			l = byIndex[l.Attrs().ParentIndex]
		}
		if l != nil && !slices.Contains(names, l.Attrs().Name) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, errors.Join(errs...)
}

// driverOf names the driver of an interface, or its kind.
func driverOf(l netlink.Link) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return l.Type()
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, l.Attrs().Name)
	if err != nil {
		return l.Type()
	}
	return strings.TrimRight(string(info.Driver[:]), "\x00")
}

// ownAddresses are those of this machine: what is sent to them is the kernel's affair.
func ownAddresses() map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return all // asked again soon
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				all[ip.Unmap()] = true
			}
		}
	}
	return all
}
