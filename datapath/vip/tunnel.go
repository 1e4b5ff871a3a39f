package vip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A Fate is what became of a packet that came to unwrap and was not unwrapped.
type Fate string

// fates are their names, in the order of the program's.
var fates = [decapFateFATES]Fate{
	decapFateUNWRAPPED:    "unwrapped",
	decapFateCLAMPED:      "clamped",
	decapFateNOT_DIRECTOR: "not-from-a-director", // left to the kernel
	decapFateFRAGMENT:     "fragment",            // left to the kernel
	decapFateNOT_VIP:      "not-for-a-vip",
	decapFateMALFORMED:    "malformed",
	decapFateSTRANGE:      "strange",
	decapFateCONGESTED:    "congested",
	decapFateFAILED:       "failed",
}

// programs are unwrap and clamp with their maps. They work on every port on which their links are.
type programs struct {
	decapObjects
	pin   string // the directory of the links; empty: they end with the process
	links map[string]link.Link
}

// An inside is what the programs know of their surroundings.
type inside struct {
	own, directors []netip.Addr
	vips           map[netip.Addr]uint16 // and the most that a segment may carry
	gue            []uint16              // ports
}

func loadPrograms(pin string) (*programs, error) {
	p := &programs{pin: pin, links: map[string]link.Link{}}
	err := loadDecapObjects(&p.decapObjects, nil)
	if err == nil {
		return p, nil
	}
	var ve *ebpf.VerifierError
	switch {
	case errors.As(err, &ve):
		return nil, fmt.Errorf("load the programs that unpack tunnels: %w: %+v", ErrKernel, ve)
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("load the programs that unpack tunnels: %w: %w", err, ErrRights)
	}
	return nil, fmt.Errorf("load the programs that unpack tunnels: %w", err)
}

// fill makes the maps say what is around. What is right already stays.
func (p *programs) fill(in inside) error {
	errs := []error{
		replace(p.Own, addrs(in.own), uint8(1)),
		replace(p.Directors, addrs(in.directors), uint8(1)),
	}
	gue := map[uint16]uint8{}
	for _, port := range in.gue {
		gue[port<<8|port>>8] = 1
	}
	errs = append(errs, replaceAll(p.GuePorts, gue))
	vips := map[decapAddr]decapVip{}
	for a, mss := range in.vips {
		vips[key(a)] = decapVip{Mss: mss}
	}
	if err := errors.Join(append(errs, replaceAll(p.Vips, vips))...); err != nil {
		return fmt.Errorf("tell the programs that unpack tunnels of addresses: %w", err)
	}
	return nil
}

func replace[V comparable](m *ebpf.Map, keys []decapAddr, value V) error {
	all := make(map[decapAddr]V, len(keys))
	for _, k := range keys {
		all[k] = value
	}
	return replaceAll(m, all)
}

func replaceAll[K, V comparable](m *ebpf.Map, want map[K]V) error {
	var k K
	var v V
	var gone []K
	have := map[K]V{}
	for i := m.Iterate(); i.Next(&k, &v); {
		have[k] = v
		if _, stays := want[k]; !stays {
			gone = append(gone, k)
		}
	}
	for k, v := range want {
		if old, there := have[k]; there && old == v {
			continue
		}
		if err := m.Put(k, v); err != nil {
			return err
		}
	}
	for _, k := range gone {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

func addrs(list []netip.Addr) []decapAddr {
	out := make([]decapAddr, len(list))
	for i, a := range list {
		out[i] = key(a)
	}
	return out
}

// attach has the programs work on the ports, and on no others. Those of an earlier process are replaced in one step:
// no packet meets none of them.
func (p *programs) attach(list []Port) error {
	var errs []error
	wanted := map[string]bool{}
	for _, on := range list {
		for _, one := range []struct {
			name    string
			program *ebpf.Program
			kind    ebpf.AttachType
		}{{"in", p.Unwrap, ebpf.AttachTCXIngress}, {"out", p.Clamp, ebpf.AttachTCXEgress}} {
			name := one.name + "-" + on.Name
			wanted[name] = true
			if err := p.place(name, on, one.program, one.kind); err != nil {
				errs = append(errs, fmt.Errorf("unpack tunnels on %s: %w", on.Name, err))
			}
		}
	}
	for _, name := range sortedKeys(p.links) {
		if !wanted[name] {
			p.links[name].Close()
			delete(p.links, name)
		}
	}
	return errors.Join(append(errs, unpin(p.pin, wanted))...)
}

func (p *programs) place(name string, on Port, program *ebpf.Program, kind ebpf.AttachType) error {
	l := p.links[name]
	if l != nil && portOf(l) == on.Index {
		return nil
	}
	if l != nil { // the interface was replaced by another of its name
		l.Close()
		delete(p.links, name)
	}
	l, err := pinned(p.pin, name)
	if err != nil {
		return err
	}
	if l != nil && portOf(l) == on.Index {
		if err := l.Update(program); err != nil {
			return fmt.Errorf("replace the program of an earlier process: %w", err)
		}
		p.links[name] = l
		return nil
	}
	if l != nil {
		if err := l.Unpin(); err != nil {
			return fmt.Errorf("remove the program of an interface that is gone: %w", err)
		}
		l.Close()
	}
	// Ahead of other people's programs on the way in: they see what clients sent.
	opts := link.TCXOptions{Interface: on.Index, Program: program, Attach: kind}
	if kind == ebpf.AttachTCXIngress {
		opts.Anchor = link.Head()
	}
	l, err = link.AttachTCX(opts)
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: it needs Linux 6.6 or newer: use dispatch dr or nat", ErrKernel)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", err, ErrRights)
	case err != nil:
		return err
	}
	if err := pin(p.pin, name, l); err != nil {
		l.Close()
		return err
	}
	p.links[name] = l
	return nil
}

// portOf is the number of the interface that a link is on; 0: it is gone.
func portOf(l link.Link) int {
	info, err := l.Info()
	if err != nil || info.TCX() == nil {
		return 0
	}
	return int(info.TCX().Ifindex)
}

// close lets go of the programs; those that are pinned work on.
func (p *programs) close() error {
	for _, l := range p.links {
		l.Close()
	}
	return p.Close()
}

// figures are what the programs have counted, by fate.
func (p *programs) figures() (packets, bytes [decapFateFATES]uint64, err error) {
	var each []decapCount
	for f := range packets {
		if err := p.Counts.Lookup(uint32(f), &each); err != nil {
			return packets, bytes, err
		}
		for _, c := range each {
			packets[f] += c.Packets
			bytes[f] += c.Bytes
		}
	}
	return packets, bytes, nil
}

// key is an address as the programs have it.
func key(a netip.Addr) decapAddr {
	b := a.As16() // IPv4 is mapped
	var k decapAddr
	for i := range k.W {
		k.W[i] = uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24
	}
	return k
}

// inside is what the programs have to know for a Want.
func (w Want) inside(list []Port) inside {
	in := inside{own: w.Addresses, directors: w.Directors, vips: map[netip.Addr]uint16{}}
	for _, a := range w.Accept {
		if a.Tunnel == None {
			continue
		}
		mss := w.mss(a, list)
		if old, twice := in.vips[a.VIP]; !twice || mss < old {
			in.vips[a.VIP] = mss
		}
		if port := a.port(); a.Tunnel == GUE && !slices.Contains(in.gue, port) {
			in.gue = append(in.gue, port)
		}
	}
	return in
}

func (a Accept) port() uint16 {
	if a.Port == 0 {
		return GUEPort
	}
	return a.Port
}
