package console

import (
	"time"

	"muster/cluster"
)

// Status is all that a node shows of itself and of its cluster.
type Status struct {
	Cluster  string         `json:"cluster"`
	Node     string         `json:"node"` // who says all this
	Roles    []cluster.Role `json:"roles"`
	Version  string         `json:"version"`
	Since    time.Time      `json:"since"` // when its process began
	File     File           `json:"file"`
	Director *Director      `json:"director,omitempty"` // of a node that has the role
	Traffic  *Traffic       `json:"traffic,omitempty"`
	Network  *Network       `json:"network,omitempty"` // of its machine, where VIPs need something of it
	Detached *Detached      `json:"detached,omitempty"`
}

// Detached says how far a node is that an operator has told to detach: to take everything of its own out of the kernel and
// off its machine's network.
type Detached struct {
	State   string `json:"state"`
	Problem string `json:"problem,omitempty"` // what stays, and why
}

// The states of a node that was told to detach.
const (
	Detaching  = "detaching"
	IsDetached = "detached"
)

// A File is the cluster.yaml that the node works by.
type File struct {
	Path     string    `json:"path"`
	Hash     string    `json:"hash"`              // of its content: nodes that show the same work by the same file
	Revision int       `json:"revision"`          // 1 for the one that the node began with, one more at each reload
	Loaded   time.Time `json:"loaded"`            // when it took effect
	Problem  string    `json:"problem,omitempty"` // why the newest was refused; empty when it was not
}

// A Director shows the cluster's nodes and services as it sees them.
type Director struct {
	Nodes     []Node            `json:"nodes"`
	Services  []Service         `json:"services"`
	Datagrams map[string]uint64 `json:"datagrams,omitempty"` // load reports received, by what became of them
	LostLines uint64            `json:"lost_lines"`          // of access logs, because the disk did not keep up
	Packets   *Packets          `json:"packets,omitempty"`   // of dispatch in the kernel
}

// A Node is what a director makes of one node.
type Node struct {
	Name        string         `json:"name"`
	Roles       []cluster.Role `json:"roles"`
	Addresses   []string       `json:"addresses"`
	State       cluster.State  `json:"state"`
	Reason      string         `json:"reason,omitempty"` // of the state
	Since       time.Time      `json:"since"`
	Wish        cluster.Wish   `json:"wish"`
	WishReason  string         `json:"wish_reason,omitempty"`
	Index       cluster.Index  `json:"index"` // HAS 3.22.6
	Room        cluster.Index  `json:"room"`
	Busy        uint16         `json:"busy"`        // per mille
	Connections int64          `json:"connections"` // requests and connections under way, of all services
	Pools       []string       `json:"pools,omitempty"`
}

// A Service is what a director has done for one service since its process began.
type Service struct {
	Name      string           `json:"name"`
	Kind      cluster.Kind     `json:"kind"`
	Dispatch  cluster.Dispatch `json:"dispatch"`
	Schedule  string           `json:"schedule"`
	Pool      string           `json:"pool"`
	Addresses []string         `json:"addresses"`
	Problem   string           `json:"problem,omitempty"` // why it is not served as the file says

	Clients     int64             `json:"clients"` // connections open now; of a service that is dispatched in the kernel, flows
	Waiting     int64             `json:"waiting"` // requests in queue now
	Connections uint64            `json:"connections"`
	Requests    uint64            `json:"requests"`
	Rate        float64           `json:"rate"`            // requests (http) or connections (tcp, and all that is dispatched in the kernel) in the last second; filled in by the console
	BytesIn     uint64            `json:"bytes_in"`        // from clients
	BytesOut    uint64            `json:"bytes_out"`       // to clients
	Retries     uint64            `json:"retries"`         // requests that were given to another node
	Refused     uint64            `json:"retries_refused"` // retries that the budget did not allow
	Resumes     uint64            `json:"resumes"`         // answers that one node began and another finished
	Codes       map[string]uint64 `json:"codes,omitempty"` // responses by class: "2xx"
	Ended       map[string]uint64 `json:"ended,omitempty"` // requests and connections by how they ended; "ok" is well
	Duration    *Histogram        `json:"-"`               // of requests, for /metrics
	Members     []Member          `json:"members"`
	Packets     *ServicePackets   `json:"packets,omitempty"` // of one that is dispatched in the kernel
}

// A Histogram counts durations.
type Histogram struct {
	Bounds []float64 // upper bounds in seconds, ascending
	Counts []uint64  // one for each bound, not cumulative, and one for the rest
	Sum    time.Duration
}

// A Member is a node in a service's share table.
type Member struct {
	Node    string        `json:"node"`
	Address string        `json:"address"`
	State   cluster.State `json:"state"`
	Weight  uint32        `json:"weight"` // 0: no new work
	Active  int64         `json:"active"` // requests or connections under way, of all services of the pool, as the next two
	Served  int64         `json:"served"`
	Failed  int64         `json:"failed"`
	Rate    float64       `json:"rate"`    // served in the last second; filled in by the console
	TimeMS  float64       `json:"time_ms"` // average to the first byte of a response

	Packets *MemberPackets `json:"packets,omitempty"` // where the service is dispatched in the kernel
}

// Traffic is what a traffic node shows of itself.
type Traffic struct {
	Index        cluster.Index `json:"index"`
	Room         cluster.Index `json:"room"`
	Busy         uint16        `json:"busy"`  // per mille
	Terms        []Term        `json:"terms"` // what the indexes were computed from
	Muted        bool          `json:"muted"` // it sends no reports
	Applications []Application `json:"applications"`
	Directors    []Hearing     `json:"directors"`

	Datagrams map[string]uint64 `json:"datagrams,omitempty"` // beacons received, by what became of them
}

// A Term is one figure of a load index.
type Term struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// An Application is what a traffic node runs for a pool.
type Application struct {
	Pool    string   `json:"pool"`
	Address string   `json:"address"`
	Check   Check    `json:"check"`
	Process *Process `json:"process,omitempty"` // of one that the node runs itself
}

// A Check is the verdict on an application.
type Check struct {
	Up     bool      `json:"up"`
	Reason string    `json:"reason,omitempty"` // why it is not
	Since  time.Time `json:"since,omitzero"`   // zero before the first probe
	TookMS float64   `json:"took_ms"`
}

// A Process is a supervised process.
type Process struct {
	State    string    `json:"state"`
	Since    time.Time `json:"since"`
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Exit     string    `json:"exit,omitempty"`  // how the last one ended
	Lines    []string  `json:"lines,omitempty"` // the last that it printed; for who may change something
}

// A Hearing says whether a traffic node and a director hear each other on one LAN.
type Hearing struct {
	Director string `json:"director"`
	LAN      int    `json:"lan"`
	Heard    bool   `json:"heard"`
	SilentMS int64  `json:"silent_ms"` // since it was last heard; negative: never
}
