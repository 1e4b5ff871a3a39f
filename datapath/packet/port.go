package packet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watchPorts attaches to ports as they appear and come back, and keeps what the program knows of interfaces true.
func (f *Forwarder) watchPorts(ctx context.Context) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("listen to changes of interfaces: %w", err)
	}
	changed, over := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(over)
		for {
			_, _, err := s.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // it was closed; those were only too many at once
				return
			}
			f.kick(changed)
		}
	}()
	defer func() {
		s.Close()
		<-over
	}()
	second := time.NewTicker(2 * time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-second.C:
		}
		f.mu.Lock()
		_ = f.attachAll() // it has logged what is new, and Status says what there is
		f.mu.Unlock()
	}
}

// mapPorts tells the program what is behind tags, and what each interface is.
func (f *Forwarder) mapPorts() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	ports, vlans := portsOf(links)
	changed, err := bring(f.kernel.directorMaps.Ports, ports)
	if err != nil {
		return fmt.Errorf("write map %s: %w", directorMapPorts, err)
	}
	changed2, err := bring(f.kernel.Vlans, vlans)
	if err != nil {
		return fmt.Errorf("write map %s: %w", directorMapVlans, err)
	}
	if changed || changed2 || f.linkStates(links) {
		f.own = ownAddresses()
		f.kick(f.look)
		return f.askWaysAgain()
	}
	return nil
}

// linkStates says whether an interface has come, gone, gone up or down since it was asked last.
func (f *Forwarder) linkStates(links []netlink.Link) bool {
	now := map[int]netlink.LinkOperState{}
	for _, l := range links {
		now[l.Attrs().Index] = l.Attrs().OperState
	}
	same := maps.Equal(now, f.states)
	f.states = now
	return !same
}

// askWaysAgain has the program look up the way to every node anew.
func (f *Forwarder) askWaysAgain() error {
	var v directorSetting
	err := f.kernel.Settings.Get(&v)
	if err == nil {
		v.Epoch++
		err = f.kernel.Settings.Set(v)
	}
	if err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return nil
}

// portsOf is what the maps `ports` and `vlans` are to hold.
func portsOf(links []netlink.Link) (map[uint32]directorPort, map[directorVlanKey]uint32) {
	ports, vlans := map[uint32]directorPort{}, map[directorVlanKey]uint32{}
	bonds := map[int]bool{}
	for _, l := range links {
		if l.Type() == "bond" {
			bonds[l.Attrs().Index] = true
		}
	}
	for _, l := range links {
		a := l.Attrs()
		if len(a.HardwareAddr) != 6 || a.Index <= 0 {
			continue
		}
		p := directorPort{Ifindex: uint32(a.Index), Mtu: uint16(min(a.MTU, 1<<16-1)), Mac: [6]uint8(a.HardwareAddr)}
		if v, ok := l.(*netlink.Vlan); ok && v.VlanProtocol == netlink.VLAN_PROTOCOL_8021Q {
			p.Ifindex, p.Vlan = uint32(a.ParentIndex), uint16(v.VlanId)
			vlans[directorVlanKey{Ifindex: p.Ifindex, Vlan: p.Vlan}] = uint32(a.Index)
		}
		if bonds[a.MasterIndex] { // frames come in by the bond's members, for the bond
			vlans[directorVlanKey{Ifindex: uint32(a.Index)}] = uint32(a.MasterIndex)
		}
		ports[uint32(a.Index)] = p
	}
	return ports, vlans
}

// bring writes what a map is to hold, where it differs.
func bring[K, V comparable](m *ebpf.Map, want map[K]V) (changed bool, err error) {
	var k K
	var v V
	was := map[K]V{}
	all := m.Iterate()
	for all.Next(&k, &v) {
		was[k] = v
	}
	if err := all.Err(); err != nil {
		return false, err
	}
	for k, v := range want {
		if old, had := was[k]; !had || old != v {
			if err := m.Put(k, v); err != nil {
				return changed, err
			}
			changed = true
		}
	}
	for k := range was {
		if _, stays := want[k]; !stays {
			if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return changed, err
			}
			changed = true
		}
	}
	return changed, nil
}

// forwarding says for which of the families the kernel forwards what comes in by the port.
func forwarding(name string, family string) bool {
	b, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + name + "/forwarding")
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

// families are those of the nodes, to which there must be a route, as /proc calls them; before there are any, those of the
// services.
func (f *Forwarder) families() (list []string) {
	add := func(a netip.Addr) {
		family := "ipv4"
		if a.Is6() {
			family = "ipv6"
		}
		if !slices.Contains(list, family) {
			list = append(list, family)
		}
	}
	for _, n := range f.nodes {
		if n != nil {
			add(n.at.Addr())
		}
	}
	if len(list) == 0 {
		for fr := range f.fronts {
			add(fr.VIP)
		}
	}
	slices.Sort(list)
	return list
}
