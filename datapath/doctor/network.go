package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/datapath/vip"
	"muster/internal/netset"
)

// settings: what the daemon sets, and undoes at the end.
func settings(_ context.Context, e *examination) {
	part := "network"
	if e.running || e.Director == nil {
		list, err := e.Network.Settings(e.ports, e.Keep.Journal)
		if err != nil {
			e.warn(part, "journal", err.Error(), "it cannot be seen which tables are ours", "", nil)
		}
		e.look(part, list)
		return
	}
	// A VIP that nobody dispatches for is worse than none: without a daemon it is not wanted.
	w := e.Network
	w.Answer = nil
	list, _ := w.Settings(e.ports, e.Keep.Journal) // of its journal the daemon says itself what is wrong
	e.look(part, list)
}

func (e *examination) look(part string, list []netset.Setting) {
	good := 0
	for _, o := range netset.Look(list) {
		if o.Err == nil {
			good++
			continue
		}
		what, why := meaning(o.Setting)
		f := Finding{Part: part, Check: what, State: Wrong, Found: o.Err.Error(), Why: why, Mend: o.Setting.String(), mend: e.keep(list)}
		if e.running {
			f.Why += "; the daemon does it again within seconds, says in its log why it cannot, or was detached (muster reload)"
			f.mend = nil
		}
		e.found = append(e.found, f)
	}
	if good > 0 {
		e.ok(part, "settings", fmt.Sprintf("%d of %d are as they have to be", good, len(list)))
	}
}

// meaning says what a setting is, and what follows if it is not so.
func meaning(s netset.Setting) (what, why string) {
	switch s := s.(type) {
	case netset.Sysctl:
		name := s.Name[strings.LastIndex(s.Name, "/")+1:]
		return strings.TrimPrefix(s.Name, "net/"), map[string]string{
			"arp_ignore":       "the node answers for the VIP, and clients come to it past the director",
			"arp_announce":     "when the node looks for its neighbours in the VIP's name, they take it for the VIP's place",
			"rp_filter":        "clients' packets are dropped if the way back to them is by another port",
			"forwarding":       "the kernel tells the program that dispatches of no next hop",
			"accept_ra":        "the machine forgets its IPv6 routers, since it forwards",
			"force_forwarding": "what nodes send by way of the director, and is no answer to a client, is dropped",
		}[name]
	case netset.Address:
		if s.Link == "lo" {
			return fmt.Sprintf("VIP %s on lo", s.Addr), "the kernel drops clients' packets: they are not for this machine"
		}
		return fmt.Sprintf("VIP %s on %s", s.Addr, s.Link), "nobody answers for it: clients' packets do not come"
	case netset.Route:
		return fmt.Sprintf("way back through %s", s.Via), "clients get answers, past the director, from an address that they do not know"
	}
	_, rule, _ := strings.Cut(s.String(), " add ")
	return "rule for the way back, " + rule, "answers do not go through the director that clients' packets came through, or everything else does"
}

// keep makes all settings, and notes them where a daemon takes them over.
func (e *examination) keep(list []netset.Setting) func() error {
	return func() error {
		if err := e.makePlace(); err != nil {
			return err
		}
		j, err := netset.Open(e.Keep.Journal)
		if err != nil {
			return err
		}
		defer j.Close()
		out, err := j.Add(list)
		errs := []error{err}
		for _, o := range out {
			errs = append(errs, o.Err)
		}
		return errors.Join(errs...)
	}
}

// makePlace makes the node's state directory, as its daemon would.
func (e *examination) makePlace() error {
	if err := os.MkdirAll(filepath.Dir(e.Keep.Journal), 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	return nil
}

// claims: who else answers for the VIPs. This machine does not hear itself.
func claims(_ context.Context, e *examination) {
	for _, p := range e.ports {
		mine := slices.DeleteFunc(slices.Clone(e.Network.Answer), func(v netip.Addr) bool {
			at, ok := vip.PortOf(e.ports, v)
			return !ok || at.Index != p.Index
		})
		if mine == nil || !p.Up {
			continue
		}
		others, err := vip.Who(p.Name, mine, patience)
		if err != nil {
			e.warn("director", "VIPs on "+p.Name, err.Error(), "it cannot be seen who answers for them", "sudo muster doctor", nil)
			continue
		}
		for _, v := range mine {
			if who := others[v]; who != nil {
				e.wrong("director", "VIP "+v.String(), fmt.Sprintf("the machine with MAC %s answers for it on %s", who, p.Name),
					"clients reach now one, now the other", "on that machine: muster doctor --fix, or ip addr del "+v.String()+" from its port", nil)
				continue
			}
			e.ok("director", "VIP "+v.String(), "no other machine answers for it on "+p.Name)
		}
	}
}

// nodes: whether the director's packets reach each node.
func nodes(_ context.Context, e *examination) {
	if e.Director == nil {
		return
	}
	asked := map[string][]netip.Addr{} // next hops, by port
	hop := map[Node]netip.Addr{}
	at := map[Node]string{}
	for _, n := range e.Director.Nodes {
		name := "way to node " + n.Name
		route, link, err := way(n.Addr, netip.Addr{})
		switch {
		case err != nil:
			e.wrong("director", name, fmt.Sprintf("there is no route to %s: %v", n.Addr, err), "it gets no packets",
				"ip route add "+n.Addr.String()+" via GATEWAY, or correct its addresses in the file", nil)
			continue
		case route.Type == unix.RTN_LOCAL || link.Name == "lo":
			e.ok("director", name, "it is this machine")
			continue
		}
		next := n.Addr
		if gw, ok := netip.AddrFromSlice(route.Gw); ok {
			next = gw.Unmap()
		}
		if next != n.Addr && n.Dispatch == cluster.DR {
			e.wrong("director", name, fmt.Sprintf("%s is behind %s", n.Addr, next), "with dispatch dr a node must be on a LAN of the director: the gateway would send its packets back to the VIP",
				"set dispatch: tunnel, or connect it to the LAN of "+link.Name, nil)
			continue
		}
		hop[n], at[n] = next, link.Name
		if !slices.Contains(asked[link.Name], next) {
			asked[link.Name] = append(asked[link.Name], next)
		}
	}
	found := map[string]map[netip.Addr]net.HardwareAddr{}
	for port, list := range asked {
		who, err := vip.Who(port, list, patience)
		if err != nil {
			e.warn("director", "neighbours on "+port, err.Error(), "it cannot be seen whether nodes can be reached", "sudo muster doctor", nil)
			delete(asked, port)
		}
		found[port] = who
	}
	for _, n := range e.Director.Nodes {
		next, port := hop[n], at[n]
		if asked[port] == nil {
			continue
		}
		name := "way to node " + n.Name
		if who := found[port][next]; who != nil {
			e.ok("director", name, fmt.Sprintf("%s on %s, by %s", next, port, who))
			continue
		}
		e.wrong("director", name, fmt.Sprintf("nobody answers for %s on %s", next, port), "packets for it are dropped",
			fmt.Sprintf("start it, and look at its cable and its address: ip addr show; here: ping -I %s %s", port, next), nil)
	}
}

// way asks the kernel for the way to an address, for packets from src if that is valid.
func way(to, src netip.Addr) (*netlink.Route, *netlink.LinkAttrs, error) {
	opts := &netlink.RouteGetOptions{}
	if src.IsValid() {
		opts.SrcAddr = src.AsSlice()
	}
	list, err := netlink.RouteGetWithOptions(to.AsSlice(), opts)
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, errors.New("the kernel names none")
	}
	link, err := netlink.LinkByIndex(list[0].LinkIndex)
	if err != nil {
		return nil, nil, err
	}
	return &list[0], link.Attrs(), nil
}

// somewhere are clients far away: addresses that only examples have (RFC 5737, RFC 3849).
func somewhere(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("2001:db8::1")
	}
	return netip.MustParseAddr("192.0.2.1")
}

// returns: whether what the node answers from its VIPs gets to clients, and not through the director.
func returns(_ context.Context, e *examination) {
	for _, a := range e.Network.Accept {
		name := "way from VIP " + a.VIP.String()
		if list, _ := e.Network.Settings(e.ports, e.Keep.Journal); !has(list, a.VIP) {
			continue // it is on a port: another check's
		}
		route, link, err := way(somewhere(a.VIP.Is6()), a.VIP)
		if err != nil {
			if isHere(a.VIP) {
				e.warn("traffic node", name, fmt.Sprintf("there is no route to clients far away: %v", err), "clients beyond this machine's own networks get no answers",
					"ip"+six(a.VIP)+" route add default via GATEWAY", nil)
			}
			continue
		}
		gw, _ := netip.AddrFromSlice(route.Gw)
		gw = gw.Unmap()
		found := fmt.Sprintf("by %s", link.Name)
		if gw.IsValid() {
			found += " and " + gw.String()
		}
		if slices.Contains(e.Network.Directors, gw) || gw == a.VIP {
			e.warn("traffic node", name, found, "answers go through a director, which is to be spared them", "ip"+six(a.VIP)+" route replace default via GATEWAY, the router of the LAN", nil)
			continue
		}
		e.ok("traffic node", name, found)
	}
}

func has(list []netset.Setting, v netip.Addr) bool {
	return slices.ContainsFunc(list, func(s netset.Setting) bool {
		a, is := s.(netset.Address)
		return is && a.Addr == v && a.Link == "lo"
	})
}

// isHere says whether the machine has the address.
func isHere(a netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(n net.Addr) bool { return strings.HasPrefix(n.String(), a.String()+"/") })
}

func six(a netip.Addr) string {
	if a.Is6() {
		return " -6"
	}
	return ""
}
