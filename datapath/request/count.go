package request

import (
	"sync/atomic"
	"time"
)

// A Cause says why a request or a connection ended other than well. It is a label of the metrics and a word of the log.
type Cause uint8

// The causes.
const (
	OK                 Cause = iota
	ClientGone               // the client went away before its answer was complete
	BadRequest               // what it sent is not HTTP, or forbidden
	BadProxyHeader           // it did not begin with the PROXY header that the service expects
	HeadTimeout              // it took too long over its head
	BodyTimeout              // it stopped in the middle of its body, or stopped reading
	TooManyConnections       // the service has as many clients as it takes
	TooManyFromSource        // the client's address has as many connections as it may
	NoNode                   // no node of the pool is active
	QueueFull                // all nodes are at their limit, and so is the queue
	QueueTimeout             // all nodes stayed at their limit
	ConnectFailed            // no node could be connected to
	NodeClosed               // the node closed the connection before it answered
	NodeTimeout              // the node did not answer in time
	BadResponse              // what the node answered is not HTTP
	Truncated                // the node went away in the middle of its response
	NodeStalled              // the node stopped in the middle of its response
	Shutdown                 // the director was told to stop, and the time to finish was up
	causes
)

var causeNames = [causes]string{
	"ok", "client-gone", "bad-request", "bad-proxy-header", "head-timeout", "body-timeout", "too-many-connections",
	"too-many-from-source", "no-node", "queue-full", "queue-timeout", "connect-failed", "node-closed", "node-timeout",
	"bad-response", "truncated", "node-stalled", "shutdown",
}

func (c Cause) String() string { return causeNames[c] }

// Buckets are the upper bounds of the histogram of request durations, in seconds; one more bucket holds the rest.
var Buckets = [...]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// counters are one worker's figures of one service. The worker alone writes them; anybody may read.
type counters struct {
	Connections, Requests         atomic.Uint64
	BytesIn, BytesOut             atomic.Uint64 // heads and bodies, as clients see them
	Retries, Resumes, BudgetSpent atomic.Uint64
	Queued                        atomic.Uint64
	Status                        [6]atomic.Uint64 // by class: 1xx to 5xx; 0 holds what had no status
	Ended                         [causes]atomic.Uint64
	Duration                      [len(Buckets) + 1]atomic.Uint64
	DurationSum                   atomic.Uint64 // nanoseconds
	_                             [64]byte
}

func (n *counters) refuse(c Cause) { n.Ended[c].Add(1) }

func (n *counters) observe(ns int64) {
	s, i := float64(ns)/1e9, 0
	for i < len(Buckets) && s > Buckets[i] {
		i++
	}
	n.Duration[i].Add(1)
	n.DurationSum.Add(uint64(ns))
}

// Status is what a service has done since the program began.
type Status struct {
	Service     string            `json:"service"`
	Clients     int64             `json:"clients"` // connections open now
	Waiting     int64             `json:"waiting"` // requests in queue now
	Connections uint64            `json:"connections"`
	Requests    uint64            `json:"requests"`
	BytesIn     uint64            `json:"bytes_in"`
	BytesOut    uint64            `json:"bytes_out"`
	Retries     uint64            `json:"retries"`
	Resumes     uint64            `json:"resumes"` // responses that one node began and another finished
	BudgetSpent uint64            `json:"retries_refused"`
	Queued      uint64            `json:"queued"`
	Codes       [6]uint64         `json:"codes"` // responses by class of status; the first is those without one
	Ended       map[string]uint64 `json:"ended"` // by Cause, those that occurred
	Duration    []uint64          `json:"-"`     // count of each of Buckets, and of the rest
	DurationSum time.Duration     `json:"-"`
	Nodes       []NodeStatus      `json:"nodes"`
}

// NodeStatus is what a node of the service's pool has done.
type NodeStatus struct {
	Node    string        `json:"node"`
	Address string        `json:"address"`
	State   string        `json:"state"`
	Weight  uint32        `json:"weight"` // in the share table; 0 gets no new work
	Active  int64         `json:"active"`
	Served  int64         `json:"served"`
	Failed  int64         `json:"failed"`
	Time    time.Duration `json:"time"` // average to the first byte
}

// LostLines is how many lines of access logs were left out because the disk did not keep up.
func (p *Proxy) LostLines() uint64 { return p.logs.lost.Load() }

// Status returns the figures of every service, in the order of their names.
func (p *Proxy) Status() []Status {
	services := *p.services.Load()
	all := make([]Status, 0, len(services))
	for _, name := range sortedKeys(services) {
		all = append(all, services[name].status())
	}
	return all
}

func (s *service) status() Status {
	st := Status{
		Service: s.name, Clients: s.clients.Load(), Waiting: s.waiting.Load(),
		Ended: map[string]uint64{}, Duration: make([]uint64, len(Buckets)+1),
	}
	for i := range s.count {
		n := &s.count[i]
		st.Connections += n.Connections.Load()
		st.Requests += n.Requests.Load()
		st.BytesIn += n.BytesIn.Load()
		st.BytesOut += n.BytesOut.Load()
		st.Retries += n.Retries.Load()
		st.Resumes += n.Resumes.Load()
		st.BudgetSpent += n.BudgetSpent.Load()
		st.Queued += n.Queued.Load()
		for j := range n.Status {
			st.Codes[j] += n.Status[j].Load()
		}
		for j := range n.Ended {
			if v := n.Ended[j].Load(); v > 0 {
				st.Ended[Cause(j).String()] += v
			}
		}
		for j := range n.Duration {
			st.Duration[j] += n.Duration[j].Load()
		}
		st.DurationSum += time.Duration(n.DurationSum.Load())
	}
	if t := s.table.Load(); t != nil {
		for i := range t.Shares {
			share := &t.Shares[i]
			st.Nodes = append(st.Nodes, NodeStatus{
				Node: share.Node, Address: share.Addr.String(), State: share.State.String(), Weight: share.Weight,
				Active: share.Live.Active.Load(), Served: share.Live.Served.Load(), Failed: share.Live.Failed.Load(),
				Time: time.Duration(share.Live.Time.Load()),
			})
		}
	}
	return st
}
