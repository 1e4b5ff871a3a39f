package packet

import "time"

// Status is all that a Forwarder can say of itself at one moment. Counters run since the maps were made, which may be
// longer ago than the process.
type Status struct {
	Ports       []PortStatus    `json:"ports"`
	Services    []ServiceStatus `json:"services"`    // in the order of their names
	Flows       Fill            `json:"flows"`       // those whose second packet has come
	Unconfirmed Fill            `json:"unconfirmed"` // those of which nothing but the first has
	Nodes       Fill            `json:"nodes"`       // in pools of services
	Sources     Fill            `json:"sources"`     // entries of source lists
	States      map[string]int  `json:"states"`      // flows by FlowState
	// What went past, by reason, of packets that are no service's.
	Reasons map[string]uint64 `json:"reasons"`
	Expired uint64            `json:"expired"`     // flows ended because they were idle
	Resets  uint64            `json:"resets"`      // sent from user space to clients of nodes that are gone
	Mended  uint64            `json:"mended"`      // flows that the kernel forgot for want of room, found by counting again
	Lost    uint64            `json:"events_lost"` // events that came faster than they were read
	Swaps   uint64            `json:"swaps"`       // of share tables
	Swap    time.Duration     `json:"swap"`        // how long the newest took to make
	Layout  int               `json:"layout"`      // version of the maps
	Taken   bool              `json:"taken_over"`  // the maps were another process's before
	Wrong   []string          `json:"wrong"`       // what keeps packets from flowing, and what to do
}

// Fill is how full a table is. Used is as of the last sweep, some seconds ago at most.
type Fill struct {
	Used int `json:"used"`
	Max  int `json:"max"`
}

// PortStatus is how one port stands.
type PortStatus struct {
	Name     string `json:"name"`
	Index    int    `json:"index"` // 0: there is no such port now
	Driver   string `json:"driver"`
	Mode     string `json:"mode"` // native, generic, or empty: not attached
	Why      string `json:"why"`  // why it is not attached, or generic though native was tried
	Up       bool   `json:"up"`
	Pinned   bool   `json:"pinned"`
	Forwards bool   `json:"forwards"` // the kernel's forwarding is on, without which there is no route to a node
	Program  uint32 `json:"program"`  // id of what is attached
}

// ServiceStatus is what one service has done.
type ServiceStatus struct {
	Service     string            `json:"service"`
	Dispatch    string            `json:"dispatch"`
	Schedule    string            `json:"schedule"` // empty: no table yet
	Packets     uint64            `json:"packets"`  // from clients
	Bytes       uint64            `json:"bytes"`
	Flows       uint64            `json:"flows"`       // whose second packet has come
	Unconfirmed uint64            `json:"unconfirmed"` // whose first packet has come
	Active      int64             `json:"active"`      // flows that are not closed
	Reasons     map[string]uint64 `json:"reasons"`     // packets that went nowhere, or elsewhere; those that occurred
	Nodes       []NodeStatus      `json:"nodes"`
}

// NodeStatus is what one node of a service has got.
type NodeStatus struct {
	Node         string `json:"node"`
	Address      string `json:"address"`
	Weight       uint32 `json:"weight"` // 0: no new flows
	Gone         bool   `json:"gone"`
	Local        bool   `json:"local"`   // this machine
	Retired      bool   `json:"retired"` // in the table no more, and kept for its flows
	Active       int64  `json:"active"`
	Packets      uint64 `json:"packets"`
	Bytes        uint64 `json:"bytes"`
	Flows        uint64 `json:"flows"`
	ReplyPackets uint64 `json:"reply_packets"` // nat: replies come back through the director
	ReplyBytes   uint64 `json:"reply_bytes"`
	Way          string `json:"way"` // where packets to it go: port, MAC address and MTU; empty: not asked for lately
}
