package testbed

import "time"

// A Plan says what lab to build. Program must be given, unless no node is to run.
type Plan struct {
	Program string // muster, which the nodes run

	Clients   int // 0 means 1
	Directors int // 0 means 1
	Traffic   int // 0 means 4
	Storage   int
	Monitors  int

	Cores map[string]float64 // machines that may use only so much of the processors' time: 0.05 is a twentieth of one core
	MTU   int                // of all networks; 0 means 1500

	Cluster Cluster                     // what the cluster's file says
	File    func(*Layout, Paths) string `json:"-"` // writes it instead; nil means Cluster.Text

	Site string // the directory that is served; empty means documents of the lab's own: /bytes/1024 and so on

	Keep     bool         // leave the lab's directory with file and logs when it ends
	Progress func(string) `json:"-"` // is told what is being done, from several goroutines; nil means nobody
}

// A Cluster is what the lab's cluster.yaml says beside the machines.
type Cluster struct {
	Dispatch string // of the services; empty means proxy
	Schedule string // empty means has
	App      App    // what traffic nodes run; empty means BuiltIn
	XDP      string // packets.mode: auto, native, generic; empty leaves it out
	IPv6     bool   // there is no IPv4 in the file: the nodes' addresses and the VIP are IPv6 alone

	Timings string // what is in timings, such as "report: 100ms, timeout: 400ms"; empty means "slow-start: 0s, drain: 5s"
	Service string // further keys of the services www and www6, one a line, such as "flows: {lost: reset}"
	Pool    string // further keys of the pool web, likewise
	Extra   string // further services, with two blanks before their names
}

// An App is what serves the documents on a traffic node.
type App string

// The applications.
const (
	BuiltIn App = "builtin" // Muster's own web server
	Nginx   App = "nginx"
	Mixed   App = "mixed" // nginx on every second node, beginning with t1
)

// Paths are where things of the lab are, the same on this machine and on those of the lab.
type Paths struct {
	Dir  string // all of it
	Key  string // the cluster's key
	Site string // the documents, the same for all traffic nodes
}

// A Fault is what a link does to frames. The zero Fault is a sound link.
type Fault struct {
	Way   Way           // which frames; empty means Both
	Delay time.Duration // of each frame
	Loss  float64       // part of the frames that is lost, at random: 1 is all, though the link seems up
	Rate  int           // bits a second; 0 means as they come
	Queue int           // bytes that wait for Rate, the rest is lost; 0 means 128 KiB
	MTU   int           // of both ends of the cable; 0 means what it was
}

// A Way is a direction on a link, as its machine sees it.
type Way string

// The ways.
const (
	Both Way = ""
	Out  Way = "out" // what the machine sends
	In   Way = "in"  // what it is sent
)

func (p Plan) filled() Plan {
	if p.Clients == 0 {
		p.Clients = 1
	}
	if p.Directors == 0 {
		p.Directors = 1
	}
	if p.Traffic == 0 {
		p.Traffic = 4
	}
	if p.MTU == 0 {
		p.MTU = 1500
	}
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	return p
}
