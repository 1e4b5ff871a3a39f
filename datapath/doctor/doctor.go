// Package doctor examines the way of a packet on one machine: what a director and a traffic node need of the kernel, of
// their ports, of their neighbours and of each other. It says what is wrong, what follows from that, and the command that
// mends it. It looks at the machine itself, so it needs no daemon that runs.
package doctor

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"muster/cluster"
	"muster/datapath/vip"
)

// A Patient is a machine as the cluster's file wants it. The zero Patient has nothing that could be wrong.
type Patient struct {
	Network vip.Want   // all that its roles want of its network
	Keep    vip.Config // where its daemon keeps what it has changed

	Director *Director // nil: it is none
	Traffic  *Traffic  // nil: it is none
}

// A Director is what else a director needs. Network says for which VIPs it answers.
type Director struct {
	Interfaces []string // the ports where packets come in; empty: those of Network
	Native     bool     // the program must run in the driver
	Pin        string   // the directory, below a bpffs, of what outlives its process
	Nodes      []Node   // where it sends packets
}

// A Node is a traffic node as a director reaches it.
type Node struct {
	Name     string
	Addr     netip.Addr
	Dispatch cluster.Dispatch
}

// A Traffic is what else a traffic node needs.
type Traffic struct {
	Listens []Listen // where its applications have to be reachable
}

// A Listen is where an application has to be reachable for a service.
type Listen struct {
	Service string
	At      netip.AddrPort
	UDP     bool
}

// A State says how bad a finding is.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, but not as well as it could, or it could not be seen whether it does
	Wrong   State = "wrong"   // packets do not get through
)

// A Finding is what one check has found.
type Finding struct {
	Part  string `json:"part"`  // machine, port, director, traffic node
	Check string `json:"check"` // what was looked at
	State State  `json:"state"`
	Found string `json:"found"`          // how it is
	Why   string `json:"why,omitempty"`  // what follows from that; empty if it is ok
	Mend  string `json:"mend,omitempty"` // the command that mends it, or what a human has to do

	Mended  bool   `json:"mended,omitempty"`  // Mend has done it
	Problem string `json:"problem,omitempty"` // why Mend could not

	mend func() error // nil: only a human can
}

// CanMend says whether Mend can do something about it.
func (f Finding) CanMend() bool { return f.mend != nil && f.State != OK }

// An examination is what all checks look at.
type examination struct {
	Patient
	log     *slog.Logger
	ports   []vip.Port
	missing error // which ports there are not
	running bool  // the daemon has the journal
	found   []Finding
}

// patience is how long other machines may take to answer.
const patience = 300 * time.Millisecond

// checks in the order in which what they find is shown.
var checks = []func(context.Context, *examination){
	kernel, rights, daemon, places,
	ports, offloads,
	settings,
	programs, claims, nodes,
	unpacking, returns, firewall, listening,
}

// Examine looks at everything and changes nothing. It takes about a second.
func Examine(ctx context.Context, p Patient, log *slog.Logger) []Finding {
	e := &examination{Patient: p, log: log}
	if !e.kernelDispatch() && len(p.Network.Answer) == 0 {
		return nil
	}
	e.ports, e.missing = p.Network.Ports()
	for _, check := range checks {
		if ctx.Err() != nil {
			break
		}
		check(ctx, e)
	}
	return e.found
}

// Mend mends what it can, and says so in the findings.
func Mend(ctx context.Context, found []Finding) []Finding {
	found = slices.Clone(found)
	for i := range found {
		f := &found[i]
		if !f.CanMend() || ctx.Err() != nil {
			continue
		}
		if err := f.mend(); err != nil {
			f.Problem = err.Error()
			continue
		}
		f.Mended = true
	}
	return found
}

// Worst is the worst state among findings.
func Worst(found []Finding) State {
	worst := OK
	for _, f := range found {
		if f.State == Wrong || f.State == Warning && worst == OK {
			worst = f.State
		}
	}
	return worst
}

func (e *examination) ok(part, check, found string) {
	e.found = append(e.found, Finding{Part: part, Check: check, State: OK, Found: found})
}

func (e *examination) warn(part, check, found, why, mend string, do func() error) {
	e.found = append(e.found, Finding{Part: part, Check: check, State: Warning, Found: found, Why: why, Mend: mend, mend: do})
}

func (e *examination) wrong(part, check, found, why, mend string, do func() error) {
	e.found = append(e.found, Finding{Part: part, Check: check, State: Wrong, Found: found, Why: why, Mend: mend, mend: do})
}

// tunnels says whether the machine unpacks tunnels.
func (e *examination) tunnels() bool {
	return slices.ContainsFunc(e.Network.Accept, func(a vip.Accept) bool { return a.Tunnel != vip.None })
}

// kernelDispatch says whether the machine dispatches, or is dispatched to, in the kernel.
func (e *examination) kernelDispatch() bool {
	return e.Director != nil || len(e.Network.Accept)+len(e.Network.Return) > 0
}

// in are the ports where packets come in to a director.
func (e *examination) in() []vip.Port {
	if e.Director == nil || len(e.Director.Interfaces) == 0 {
		return e.ports
	}
	var list []vip.Port
	for _, p := range e.ports {
		if slices.Contains(e.Director.Interfaces, p.Name) {
			list = append(list, p)
		}
	}
	return list
}
