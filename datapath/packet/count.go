package packet

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// reasonNames are the words for enum reason, in its order.
var reasonNames = [...]string{
	"passed", "no-node", "no-route", "no-neighbour", "too-big", "denied", "rate", "malformed", "strange", "conflict", "full",
	"gone-moved", "gone-reset", "unknown-reset", "icmp-error", "fragment", "ttl", "loop", "unheard",
}

// Reasons are the names of why packets go nowhere, or elsewhere, in the order in which documentation lists them.
func Reasons() []string { return slices.Clone(reasonNames[:]) }

// Status says how things stand. It is cheap enough to be asked every second.
func (f *Forwarder) Status() Status {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.kernel == nil {
		return Status{Layout: layout, Wrong: []string{"nothing is dispatched in the kernel: it has ended"}}
	}
	st := Status{
		Ports: []PortStatus{}, Services: []ServiceStatus{},
		Flows: Fill{f.fill.flows, f.cfg.Flows}, Unconfirmed: Fill{f.fill.unconfirmed, f.cfg.Unconfirmed},
		Nodes: Fill{f.nodePlaces.taken, mostNodes}, Sources: Fill{len(f.sources), f.cfg.Sources},
		States: map[string]int{}, Reasons: f.reasonsOf(0),
		Expired: f.count.expired.Load(), Resets: f.count.resets.Load(), Mended: f.count.mended.Load(), Lost: f.count.lost.Load(),
		Swaps: f.swaps, Swap: f.swapTook, Layout: layout, Taken: f.kernel.taken, Wrong: []string{},
	}
	for state, n := range f.fill.states {
		if state > 0 {
			st.States[stateNames[state]] = n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.ports)) {
		st.Ports = append(st.Ports, f.portStatus(f.ports[name], &st.Wrong))
	}
	names := map[uint32]string{}
	if list, err := netlink.LinkList(); err == nil {
		for _, l := range list {
			names[uint32(l.Attrs().Index)] = l.Attrs().Name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		s := f.serviceStatus(f.services[name], names)
		st.Lost += s.Reasons[reasonNames[directorReasonR_UNHEARD]]
		st.Services = append(st.Services, s)
	}
	for _, a := range slices.SortedFunc(maps.Keys(f.strays), netip.Addr.Compare) {
		st.Wrong = append(st.Wrong, f.strays[a])
	}
	for _, why := range f.hops {
		if why != "" {
			st.Wrong = append(st.Wrong, why)
		}
	}
	return st
}

func (f *Forwarder) portStatus(p *port, wrong *[]string) PortStatus {
	st := PortStatus{
		Name: p.name, Index: p.index, Driver: p.driver, Mode: p.mode(), Why: p.why, Pinned: p.pinned && p.link != nil,
		Up: p.info.Flags&net.FlagUp != 0 && p.info.OperState != netlink.OperDown && p.info.OperState != netlink.OperLowerLayerDown, Forwards: true,
	}
	if p.info.Xdp != nil {
		st.Program = p.info.Xdp.ProgId
	}
	switch {
	case p.link == nil:
		*wrong = append(*wrong, p.why)
	case !st.Up:
		*wrong = append(*wrong, fmt.Sprintf("port %s is down: ip link set dev %s up, or see to its cable", p.name, p.name))
	}
	if p.index == 0 {
		st.Forwards = false
		return st
	}
	for _, family := range f.families() {
		if !forwarding(p.name, family) {
			st.Forwards = false
			*wrong = append(*wrong, fmt.Sprintf("port %s does not forward %s: sysctl -w net.%s.conf.%s.forwarding=1", p.name, family, family, strings.ReplaceAll(p.name, ".", "/")))
		}
	}
	return st
}

func (f *Forwarder) serviceStatus(s *service, ports map[uint32]string) ServiceStatus {
	st := ServiceStatus{Service: s.Name, Dispatch: string(s.Dispatch), Reasons: f.reasonsOf(s.place), Nodes: []NodeStatus{}}
	if s.table != nil {
		st.Schedule = s.table.Schedule
	}
	for _, c := range sums[directorServiceCount](f.kernel.ServiceCounts, s.place) {
		st.Packets += c.Packets
		st.Bytes += c.Bytes
		st.Flows += c.Flows
		st.Unconfirmed += c.Unconfirmed
	}
	for _, n := range s.members {
		node := f.nodeStatus(n, ports)
		st.Active += node.Active
		st.Nodes = append(st.Nodes, node)
	}
	slices.SortFunc(st.Nodes, func(a, b NodeStatus) int { return strings.Compare(a.Node+" "+a.Address, b.Node+" "+b.Address) })
	return st
}

func (f *Forwarder) nodeStatus(n *node, ports map[uint32]string) NodeStatus {
	st := NodeStatus{
		Node: n.name, Address: n.at.String(), Weight: n.weight, Gone: n.has(directorNodeFlagN_GONE), Local: n.has(directorNodeFlagN_LOCAL),
		Retired: n.retired, Active: max(f.kernel.active(n.place), 0),
	}
	for _, c := range sums[directorNodeCount](f.kernel.NodeCounts, n.place) {
		st.Packets += c.Packets
		st.Bytes += c.Bytes
		st.Flows += c.Flows
		st.ReplyPackets += c.ReplyPackets
		st.ReplyBytes += c.ReplyBytes
	}
	now := ktime()
	for _, w := range sums[directorWay](f.kernel.Ways, n.place) {
		if w.Until > now && w.Ifindex != 0 {
			st.Way = fmt.Sprintf("%s %s mtu %d", ports[w.Ifindex], net.HardwareAddr(w.Dst[:]), w.Mtu)
			if w.Vlan != 0 {
				st.Way += fmt.Sprintf(" vlan %d", w.Vlan)
			}
		}
	}
	return st
}

// reasonsOf are those that have occurred.
func (f *Forwarder) reasonsOf(service uint32) map[string]uint64 {
	all := map[string]uint64{}
	for r, name := range reasonNames {
		var sum uint64
		for _, n := range sums[uint64](f.kernel.Reasons, service*uint32(directorReasonREASONS)+uint32(r)) {
			sum += n
		}
		if sum > 0 {
			all[name] = sum
		}
	}
	return all
}

// sums are the values of a place, one for each CPU; none if they cannot be read.
func sums[T any](m *ebpf.Map, place uint32) (all []T) {
	if err := m.Lookup(place, &all); err != nil {
		return nil
	}
	return all
}
