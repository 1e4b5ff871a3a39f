package console

import "net/netip"

// Packets is how dispatch in the kernel stands on a director. Counters run since its tables were made, which may be longer ago
// than its process.
type Packets struct {
	Ports       []Port            `json:"ports"`
	Flows       Fill              `json:"flows"`             // established connections, and what UDP has in their place
	Unconfirmed Fill              `json:"unconfirmed"`       // of which nothing but a first packet has come
	Nodes       Fill              `json:"nodes"`             // in the pools of its services
	Sources     Fill              `json:"sources"`           // networks that are allowed or denied
	States      map[string]int    `json:"states,omitempty"`  // flows by state
	Reasons     map[string]uint64 `json:"reasons,omitempty"` // packets of no service, by what became of them
	Expired     uint64            `json:"expired"`           // flows that were idle for too long
	Resets      uint64            `json:"resets"`            // sent to clients whose node is gone
	Evicted     uint64            `json:"evicted"`           // flows that made room for others
	LostEvents  uint64            `json:"lost_events"`       // that came faster than they were read
	Swaps       uint64            `json:"swaps"`             // of share tables
	SwapMS      float64           `json:"swap_ms"`           // how long the newest took
	TakenOver   bool              `json:"taken_over"`        // from an earlier process
	Wrong       []string          `json:"wrong,omitempty"`   // what keeps packets from flowing, and what to do
}

// A Fill is how full a table is.
type Fill struct {
	Used int `json:"used"`
	Max  int `json:"max"`
}

// A Port is a network port where packets come in.
type Port struct {
	Name     string `json:"name"`
	Driver   string `json:"driver"`
	Mode     string `json:"mode"`          // native or generic; empty: nothing is dispatched there
	Why      string `json:"why,omitempty"` // why not, or why generic
	Up       bool   `json:"up"`
	Forwards bool   `json:"forwards"` // the kernel's forwarding is on, without which it names no next hop
}

// ServicePackets is what the kernel has done for one service.
type ServicePackets struct {
	Packets     uint64            `json:"packets"` // from clients
	Bytes       uint64            `json:"bytes"`
	Unconfirmed uint64            `json:"unconfirmed"`       // connections whose first packet has come
	Reasons     map[string]uint64 `json:"reasons,omitempty"` // packets that went nowhere, or elsewhere, by why
	Rate        float64           `json:"rate"`              // packets in the last second; filled in by the console
}

// MemberPackets is what one node of a service has got.
type MemberPackets struct {
	Active       int64   `json:"active"` // connections that are not closed, of this service alone
	Packets      uint64  `json:"packets"`
	Bytes        uint64  `json:"bytes"`
	ReplyPackets uint64  `json:"reply_packets,omitempty"` // nat: replies come back through the director
	ReplyBytes   uint64  `json:"reply_bytes,omitempty"`
	Gone         bool    `json:"gone,omitempty"`  // the node is lost, and what it had with it
	Local        bool    `json:"local,omitempty"` // it is this machine
	Way          string  `json:"way,omitempty"`   // where packets to it go
	Rate         float64 `json:"rate"`            // packets in the last second; filled in by the console
}

// Network is what VIPs need of a machine's network.
type Network struct {
	Answer   []netip.Addr `json:"answer,omitempty"`  // the VIPs that it answers for
	Problem  string       `json:"problem,omitempty"` // what is not as it is wanted, a line each; empty when all is
	Settings []Setting    `json:"settings"`
	Tunnels  *Tunnels     `json:"tunnels,omitempty"` // of a traffic node that packets come to inside others
}

// A Setting is one thing that is wanted of the network.
type Setting struct {
	What    string `json:"what"` // as one would type it
	Problem string `json:"problem,omitempty"`
	Ours    bool   `json:"ours"` // Muster has changed it, and will put it back
	Times   uint64 `json:"times,omitempty"`
}

// Tunnels are the figures of what unpacks.
type Tunnels struct {
	Ports   []string          `json:"ports"`
	Packets uint64            `json:"packets"`
	Bytes   uint64            `json:"bytes"`   // of what was inside
	Clamped uint64            `json:"clamped"` // connections whose packets were made to fit
	NotDone map[string]uint64 `json:"not_done,omitempty"`
}
