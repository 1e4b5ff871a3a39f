package report

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"muster/cluster"
)

// List returns the loads of the nodes that report, most room first.
func (r *Receiver) List() []cluster.Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	loads := make([]cluster.Load, len(r.list))
	for i, n := range r.list {
		loads[i] = n.message.load
	}
	return loads
}

// A ReceiverStatus is what a director can say of its listening.
type ReceiverStatus struct {
	Nodes     []NodeStatus      // every node of the file, by name
	Datagrams map[string]uint64 // received, by what became of them: accepted, late, undecodable, or the reason of refusal
	Sent      uint64            // beacons
	Unsent    uint64            // beacons that the system would not send
	Least     uint64            // RAM in bytes of the node with the least; 0 while none has said
}

// A NodeStatus is how one node is heard.
type NodeStatus struct {
	Node     string
	Reports  uint64 // taken from it
	Sessions uint64 // how often it has begun to report; a number that keeps rising means two nodes with one name
	Heard    bool   // it is on the list
	LANs     []LANStatus
}

// A LANStatus is how a node is heard on one LAN.
type LANStatus struct {
	Addr   netip.AddrPort // zero: never heard there
	Silent time.Duration  // since it was last heard
}

// Status may be called from any goroutine.
func (r *Receiver) Status() ReceiverStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := ReceiverStatus{Datagrams: r.counts.Map(), Sent: r.sent, Unsent: r.unsent, Least: r.least}
	s.Datagrams["accepted"] -= r.late + r.broken
	s.Datagrams["late"], s.Datagrams["undecodable"] = r.late, r.broken
	for _, n := range r.nodes {
		ns := NodeStatus{Node: n.name, Reports: n.reports, Sessions: n.sessions, Heard: n.place >= 0}
		for _, l := range n.lans {
			ls := LANStatus{Addr: l.addr}
			if l.addr.IsValid() {
				ls.Silent = r.clock.now - l.heard
			}
			ns.LANs = append(ns.LANs, ls)
		}
		s.Nodes = append(s.Nodes, ns)
	}
	slices.SortFunc(s.Nodes, func(a, b NodeStatus) int { return strings.Compare(a.Node, b.Node) })
	return s
}

// A ReporterStatus is what a node can say of its reports.
type ReporterStatus struct {
	Muted     bool
	Directors []DirectorStatus  // in the order of the file
	Datagrams map[string]uint64 // beacons received, by what became of them
	Sent      uint64            // reports
	Unsent    uint64            // reports that the system would not send
	Problem   string            // why reports cannot be made; empty when they can
}

// A DirectorStatus is how a node hears a director.
type DirectorStatus struct {
	Director string
	Epoch    uint64          // of its share tables
	Silent   []time.Duration // on each LAN, since it was last heard or first listed
}

// Status may be called from any goroutine.
func (r *Reporter) Status() ReporterStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := ReporterStatus{Muted: r.muted, Datagrams: r.counts.Map(), Sent: r.sent, Unsent: r.unsent, Problem: r.problem}
	s.Datagrams["accepted"] -= r.broken
	s.Datagrams["undecodable"] = r.broken
	for _, d := range r.directors {
		ds := DirectorStatus{Director: d.name, Epoch: d.beacon.epoch}
		for _, heard := range d.heard {
			ds.Silent = append(ds.Silent, r.clock.now-heard)
		}
		s.Directors = append(s.Directors, ds)
	}
	return s
}
