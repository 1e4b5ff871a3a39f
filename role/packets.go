package role

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"muster/cluster"
	"muster/config"
	"muster/datapath/packet"
	"muster/internal/run"
)

// Pin is where the tables of a director's kernel outlive its process.
func Pin(cluster, node string) string { return "/sys/fs/bpf/muster/" + cluster + "/" + node }

// PinVIP is where the program that unpacks tunnels on a traffic node outlives its process.
func PinVIP(cluster, node string) string { return Pin(cluster, node) + ":vip" }

// Journal is where a node notes what it changes of its machine's network.
func Journal(state, node string) string { return filepath.Join(state, node, "network.json") }

// packets is dispatch in the kernel on a director, as far as this machine can do it. A service that it cannot dispatch is
// proxied, if the file allows that, and then stays so as long as the process lives: a change back would cut the connections
// that the proxy has. Otherwise it is not served, and tried again.
type packets struct {
	self     string
	cfg      packet.Config
	log      *slog.Logger
	happened happened
	running  run.Group // the forwarder's Run

	changing sync.Mutex // held by whoever makes, changes or gives up the forwarder

	mu        sync.Mutex
	forwarder *packet.Forwarder // nil: there is nothing to dispatch, or it cannot be
	runs      bool              // its Run has been started
	services  []packet.Service  // what it dispatches, or would
	proxied   map[string]error  // services that are proxied in its place, and why
	wrong     error             // why there is no forwarder though there are services
	tables    map[string]error  // by service, why its newest table was refused
	said      []string          // what was wrong when it was last asked
	detached  bool              // an operator has said so; until the next file
}

func newPackets(self string, cfg packet.Config, happened happened, log *slog.Logger) *packets {
	return &packets{self: self, cfg: cfg, log: log.With("part", "packets"), happened: happened, proxied: map[string]error{}, tables: map[string]error{}}
}

// proxies says whether the service is proxied because the kernel cannot dispatch it here.
func (p *packets) proxies(service string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proxied[service] != nil
}

// dispatches says whether there is a forwarder, which all services are dispatched by that are not proxied.
func (p *packets) dispatches() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forwarder != nil
}

func (p *packets) current() *packet.Forwarder {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forwarder
}

// apply has the kernel dispatch what the file says, but does not attach to a port yet; see attach. If that cannot be, and
// the file is not the first one, it is an error and nothing has changed, unless all that is concerned may be proxied.
func (p *packets) apply(f *config.File, first bool) (undo func(), err error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	old, fw := p.services, p.forwarder
	p.detached = false
	list := slices.DeleteFunc(kernelServices(f, p.self), func(s packet.Service) bool { return p.proxied[s.Name] != nil })
	p.mu.Unlock()
	switch {
	case len(list) == 0:
		p.set(nil)
		if first {
			p.clear()
		}
		return func() {}, p.giveUp(true)
	case fw == nil:
		err = p.open(list)
		if err != nil {
			err = p.cannot(f, list, err, first)
		} else {
			p.set(list)
		}
		return func() {
			p.changing.Lock()
			defer p.changing.Unlock()
			p.set(old)
			_ = p.giveUp(true) // it has not begun
		}, err
	}
	if err := fw.Apply(list); err != nil {
		return nil, err
	}
	p.set(list)
	return func() {
		if err := fw.Apply(old); err != nil {
			p.log.Error("services cannot go back to the file before", "error", err)
		}
		p.set(old)
	}, nil
}

func (p *packets) set(list []packet.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services = list
	if list == nil {
		p.wrong = nil
	}
	maps.DeleteFunc(p.tables, func(name string, _ error) bool {
		return !slices.ContainsFunc(list, func(s packet.Service) bool { return s.Name == name })
	})
}

// clear removes what an earlier process has left, when nothing is to be dispatched any more.
func (p *packets) clear() {
	if _, err := os.Stat(p.cfg.Pin); err != nil {
		return // nothing, or nothing that we may touch
	}
	if err := packet.Detach(p.cfg.Pin); err != nil {
		p.log.Error("what an earlier process has left in the kernel stays", "error", err)
	}
}

// open makes the forwarder, with the services, and attaches nothing.
func (p *packets) open(list []packet.Service) error {
	fw, err := packet.New(p.cfg, p.log)
	if err != nil {
		return err
	}
	if err := fw.Apply(list); err != nil {
		return errors.Join(err, fw.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forwarder, p.runs, p.wrong = fw, false, nil
	return nil
}

// cannot draws the consequences of the kernel's not dispatching the services of the list.
func (p *packets) cannot(f *config.File, list []packet.Service, why error, first bool) error {
	var proxied, refused []string
	for _, s := range list {
		if f.Service(s.Name).WithoutXDP == config.WithoutProxy {
			proxied = append(proxied, s.Name)
		} else {
			refused = append(refused, s.Name)
		}
	}
	p.mu.Lock()
	before := p.wrong
	if len(refused) > 0 && !first && before == nil {
		p.mu.Unlock()
		return fmt.Errorf("service %s cannot be dispatched in the kernel: %w", refused[0], why)
	}
	for _, name := range proxied {
		p.proxied[name] = why
	}
	p.services = slices.DeleteFunc(list, func(s packet.Service) bool { return p.proxied[s.Name] != nil })
	if p.wrong = why; len(p.services) == 0 {
		p.wrong = nil
	}
	p.mu.Unlock()
	for _, name := range proxied {
		p.log.Warn("service is proxied: the kernel cannot dispatch it", "service", name, "why", why)
		p.happened("service", name, "kernel -> proxy", why.Error())
	}
	if before == nil || before.Error() != why.Error() {
		for _, name := range refused {
			p.log.Error("service is not served: the kernel cannot dispatch it", "service", name, "why", why)
			p.happened("service", name, "not served", why.Error())
		}
	}
	return nil
}

// attach has the forwarder work, whose tables are set: it attaches to the ports, and runs. What cannot be is as in apply.
func (p *packets) attach(f *config.File, first bool) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	fw, runs, list := p.forwarder, p.runs, p.services
	p.mu.Unlock()
	if fw == nil || runs {
		return nil
	}
	err := fw.Attach()
	s := fw.Status()
	if err != nil && !slices.ContainsFunc(s.Ports, func(port packet.PortStatus) bool { return port.Mode != "" }) {
		if e := p.giveUp(!s.Taken); e != nil { // what an earlier process has left goes on
			p.log.Error("the kernel's tables", "error", e)
		}
		return p.cannot(f, list, err, first)
	}
	p.mu.Lock()
	p.runs = true
	p.mu.Unlock()
	p.running.Start(run.Task{Name: forwarderTask, Run: func(ctx context.Context) error { return p.run(ctx, fw) }})
	p.happened("packets", "kernel", "dispatches", "")
	return nil
}

const forwarderTask = "forwarder"

// run runs a forwarder. One that ends by itself is no reason to end the node: it is made again.
func (p *packets) run(ctx context.Context, fw *packet.Forwarder) error {
	err := fw.Run(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	p.mu.Lock()
	if p.forwarder == fw {
		p.forwarder, p.runs, p.wrong = nil, false, err
	}
	p.mu.Unlock()
	p.log.Error("dispatch in the kernel has ended, and is begun again", "error", err)
	p.happened("packets", "kernel", "ended", err.Error())
	<-ctx.Done()
	return nil
}

// giveUp ends the forwarder, and removes from the kernel what it had there, if it is told to. The caller holds changing.
func (p *packets) giveUp(remove bool) error {
	p.mu.Lock()
	fw, runs := p.forwarder, p.runs
	p.forwarder, p.runs = nil, false
	p.mu.Unlock()
	switch {
	case fw == nil:
		return nil
	case runs && remove: // Detach after Run has let go of it, but with its pins
		defer p.happened("packets", "kernel", "removed", "")
		return errors.Join(p.running.Stop(forwarderTask), packet.Detach(p.cfg.Pin))
	case runs:
		return p.running.Stop(forwarderTask)
	case remove:
		return fw.Detach()
	}
	return fw.Close()
}

// detach removes everything from the kernel, until a file is read again.
func (p *packets) detach() error {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	p.detached = true
	if p.wrong = nil; len(p.services) > 0 {
		p.wrong = errDetached
	}
	p.mu.Unlock()
	return p.giveUp(true)
}

var errDetached = errors.New("an operator has detached this director: `muster reload` has it dispatch again")

// retry makes the forwarder again where it could not be made, and says whether it did.
func (p *packets) retry(f *config.File) bool {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	list, idle := p.services, p.forwarder == nil && len(p.services) > 0 && !p.detached
	p.mu.Unlock()
	if !idle {
		return false
	}
	if err := p.running.Stop(forwarderTask); err != nil { // one that ended by itself
		p.log.Error("dispatch in the kernel", "error", err)
	}
	if err := p.open(list); err != nil {
		_ = p.cannot(f, list, err, true) // it never refuses a first one
		return false
	}
	return true
}

// setTable has new flows of a service follow the table, if there is a forwarder; otherwise it will get one later.
func (p *packets) setTable(service string, t *cluster.Table) error {
	p.mu.Lock()
	fw := p.forwarder
	has := slices.ContainsFunc(p.services, func(s packet.Service) bool { return s.Name == service })
	p.mu.Unlock()
	if fw == nil || !has {
		return nil
	}
	err := fw.SetTable(service, t)
	p.mu.Lock()
	before := p.tables[service]
	if p.tables[service] = err; err == nil {
		delete(p.tables, service)
	}
	p.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		p.log.Error("the kernel goes on by the table before", "service", service, "error", err)
		p.happened("service", service, "keeps its table", err.Error())
	case err == nil && before != nil:
		p.log.Info("the kernel follows the newest table again", "service", service)
	}
	return err
}

// notice tells of what has begun to keep packets from flowing, and of what no longer does.
func (p *packets) notice() {
	fw := p.current()
	if fw == nil {
		return
	}
	now := fw.Status().Wrong
	p.mu.Lock()
	before := p.said
	p.said = now
	p.mu.Unlock()
	for _, w := range now {
		if !slices.Contains(before, w) {
			p.log.Warn("packets do not flow", "why", w)
			p.happened("packets", "kernel", "trouble", w)
		}
	}
	for _, w := range before {
		if !slices.Contains(now, w) {
			p.log.Info("packets flow again", "what was", w)
			p.happened("packets", "kernel", "mended", w)
		}
	}
}

// retryEvery is how often it is tried again to dispatch what could not be.
const retryEvery = 5 * time.Second

// kernelServices are the services of the file that a director dispatches in its kernel. A director that does not answer for
// the VIPs, but is a traffic node, gets a service's packets as such, from the director that does: it must not dispatch them
// once more.
func kernelServices(f *config.File, director string) []packet.Service {
	var list []packet.Service
	for i := range f.Services {
		s := &f.Services[i]
		if s.Dispatch.Kernel() && (holds(f, director) || f.VIPs == config.VIPsLeave || !f.Serves(director, f.Pool(s.Pool))) {
			list = append(list, kernelService(s))
		}
	}
	return list
}

func kernelService(s *config.Service) packet.Service {
	to := packet.Service{
		Name: s.Name, Dispatch: s.Dispatch,
		Tunnel: packet.Encapsulation{GUE: s.Tunnel.Encapsulation == config.GUE, Port: s.Tunnel.Port},
		Timeouts: packet.Timeouts{
			SYN: s.Flows.SYN, Established: s.Flows.Established, Closing: s.Flows.Closing, UDP: s.Flows.UDP,
		},
		Allow: s.Sources.Allow, Deny: s.Sources.Deny, Rate: s.Sources.Rate, Burst: s.Sources.Burst,
	}
	if s.Flows.Lost == config.LostReset {
		to.Lost = packet.Reset
	}
	proto := packet.TCP
	if s.Kind == cluster.UDP {
		proto = packet.UDP
	}
	for _, a := range s.Addresses() {
		to.Fronts = append(to.Fronts, packet.Front{VIP: a.Addr(), Port: a.Port(), Proto: proto})
	}
	return to
}
