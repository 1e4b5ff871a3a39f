package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/lab/peer"
	"muster/lab/site"
	"muster/lab/testbed"
	"muster/lab/usage"
)

// A field is the lab in which the ways of dispatch are measured: clients behind a router, and on the LAN behind it two
// traffic nodes and four machines that dispatch to them, each its own way. So nobody's packets pass a program or a rule
// that is another's.
type field struct {
	contest *contest
	stops   []func() // in reverse
}

// What is where. The machines that the lab calls monitors are bare ones.
const (
	onPeers    = "m1" // HAProxy, nginx
	onNFTables = "m2"
	onProxy    = "m3" // Muster's proxy

	clear   = 80   // where nodes serve
	natted  = 8080 // the same, for nat: what is sent from there goes through the director
	ruled   = 8081 // for nftables, likewise
	control = 7950 // reports and API of the cluster that has Muster's proxy
)

// vips are those of the ways that the cluster's director has.
var vips = map[string]netip.Addr{wayDR: testbed.VIP(0), wayTunnel: testbed.VIP(1), wayNAT: testbed.VIP(2)}

func newField(ctx context.Context, opt DispatchOptions, program string) (_ *field, err error) {
	dir, err := site.Directory()
	if err != nil {
		return nil, err
	}
	tree, err := site.Make(dir, site.Config{Sizes: opt.Sizes})
	if err != nil {
		return nil, err
	}
	f := &field{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	counting, err := usage.CountPrograms()
	if err != nil {
		return nil, fmt.Errorf("bench dispatch: %w: run it as root", err)
	}
	f.stops = append(f.stops, func() { _ = counting.Close() }) // it was only held
	lab, err := testbed.Up(ctx, testbed.Plan{
		Program: program, Traffic: 2, Monitors: 3,
		File: func(l *testbed.Layout, p testbed.Paths) string { return dispatchFile(l, p, tree.Root, opt.ways()) },
	})
	if err != nil {
		return nil, err
	}
	f.stops = append(f.stops, lab.Close)
	f.contest = &contest{Options: opt.Options, clients: lab.Machine("client1").Do, trials: sizeTrials(tree, opt.Connections)}
	for _, way := range opt.ways() {
		one, err := f.begin(ctx, lab, way, program)
		if err != nil {
			return nil, fmt.Errorf("begin %s: %w", way, err)
		}
		f.contest.contenders = append(f.contest.contenders, one)
	}
	return f, nil
}

// close ends all that was begun.
func (f *field) close() {
	for i := len(f.stops) - 1; i >= 0; i-- {
		f.stops[i]()
	}
}

// begin has a way of dispatch ready.
func (f *field) begin(ctx context.Context, lab *testbed.Lab, way, program string) (contender, error) {
	nodes := []*testbed.Machine{lab.Machine("t1"), lab.Machine("t2")}
	var webs []netip.AddrPort
	for _, n := range nodes {
		webs = append(webs, netip.AddrPortFrom(n.Addr(), clear))
	}
	var out contender
	var on *testbed.Machine
	var err error
	switch way {
	case wayDirect:
		out = contender{server: none{}, targets: webs}
	case wayDR, wayTunnel, wayNAT:
		on = lab.Machine("d1")
		out = one("", netip.AddrPortFrom(vips[way], 80), on.Node())
	case wayProxy:
		on = lab.Machine(onProxy)
		at := Stage{
			Under: on.Host(), Listen: netip.AddrPortFrom(on.Addr(), 80), Back: on.Addr(), Nodes: webs, Control: control,
			Beside: []peer.Host{nodes[0].Host(), nodes[1].Host()},
		}
		var server Server
		if server, err = Muster(program)(ctx, at); err == nil {
			out = one("", at.Listen, server)
			f.stops = append(f.stops, server.Stop)
		}
	case wayHAProxy, wayNginx:
		on = lab.Machine(onPeers)
		makePeer, port := peer.HAProxy, uint16(8000) // they run as nobody
		if way == wayNginx {
			makePeer, port = peer.NginxProxy, 8001
		}
		if out, err = start(ctx, on.Host(), makePeer(netip.AddrPortFrom(on.Addr(), port), webs)); err == nil {
			f.stops = append(f.stops, out.server.Stop)
		}
	case wayNFTables:
		on = lab.Machine(onNFTables)
		out = one("", netip.AddrPortFrom(on.Addr(), 80), none{})
		err = natByRules(on, nodes, out.targets[0])
	}
	if err == nil {
		out.name = way
		out.account, err = newAccount(on, nodes)
	}
	if err == nil {
		f.stops = append(f.stops, out.account.programs.Close)
	}
	return out, err
}

// newAccount has the machine that dispatches, if there is one, and the nodes accounted for.
func newAccount(director *testbed.Machine, nodes []*testbed.Machine) (*account, error) {
	a := &account{}
	for _, n := range nodes {
		c, err := charge(n)
		if err != nil {
			return nil, err
		}
		a.nodes = append(a.nodes, c)
	}
	if director == nil {
		return a, nil
	}
	d, err := charge(director)
	if err != nil {
		return nil, err
	}
	a.director = &d
	err = director.Do(func() (err error) {
		a.programs, err = usage.Attached()
		return err
	})
	return a, err
}

// none is a server without processes.
type none struct{}

func (none) PIDs() ([]int, error) { return nil, nil }
func (none) Stop()                {}

// natByRules has the kernel of a machine balance by nftables. For this the nodes answer through that machine, and it
// forwards.
func natByRules(on *testbed.Machine, nodes []*testbed.Machine, front netip.AddrPort) error {
	var behind []netip.AddrPort
	for _, n := range nodes {
		behind = append(behind, netip.AddrPortFrom(n.Addr(), ruled))
		if err := n.Do(func() error { return answerThrough(n.Jack(testbed.LANA).Name, on.Addr()) }); err != nil {
			return err
		}
	}
	err := on.Do(func() error {
		// It sends out of the port that a packet came in by. The other end must not be told that there is a shorter way.
		for _, set := range [][2]string{{"ip_forward", "1"}, {"conf/all/send_redirects", "0"}, {"conf/" + on.Jack(testbed.LANA).Name + "/send_redirects", "0"}} {
			if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv4", set[0]), []byte(set[1]), 0); err != nil {
				return fmt.Errorf("have %s forward: %w", on.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return peer.NFTables(on.Host(), front, behind)
}

// answerThrough has this network send what comes from where it serves for nftables by way of the gateway.
func answerThrough(port string, gateway netip.Addr) error {
	const table, priority = 7100, 100
	link, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find %s: %w", port, err)
	}
	rule := netlink.NewRule()
	rule.Priority, rule.Table, rule.IPProto, rule.Sport = priority, table, unix.IPPROTO_TCP, netlink.NewRulePortRange(ruled, ruled)
	err = errors.Join(
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(), Table: table}),
		netlink.RuleAdd(rule),
	)
	if err != nil {
		return fmt.Errorf("have a node answer by way of %s: %w", gateway, err)
	}
	return nil
}

// dispatchFile describes a cluster of two nodes behind a director that dispatches in the kernel.
func dispatchFile(l *testbed.Layout, p testbed.Paths, root string, ways []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: bench\nkey: %s\nnodes:\n", p.Key)
	for _, s := range append(l.With(testbed.Director), l.With(testbed.Traffic)...) {
		fmt.Fprintf(&b, "  %s: {addresses: [%s], interfaces: [%s], roles: [%s]}\n", s.Name, s.Addr(), s.Jacks[0].Name, s.Role)
	}
	fmt.Fprintf(&b, "checks:\n  alive: {kind: tcp}\npools:\n")
	for _, pool := range []struct {
		name string
		port int
	}{{"web", clear}, {"natted", natted}, {"ruled", ruled}} {
		fmt.Fprintf(&b, "  %s: {nodes: [t1, t2], port: %d, check: alive, application: {serve: {root: %q}}}\n", pool.name, pool.port, root)
	}
	fmt.Fprintf(&b, "services:\n")
	for _, way := range ways {
		if !vips[way].IsValid() {
			continue
		}
		pool := "web"
		if way == wayNAT {
			pool = "natted"
		}
		fmt.Fprintf(&b, "  %s: {vip: %s, ports: [80], dispatch: %s, schedule: rr, pool: %s}\n", way, vips[way], way, pool)
	}
	fmt.Fprintf(&b, "log: {level: warn}\n")
	return b.String()
}
