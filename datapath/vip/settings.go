package vip

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"muster/cluster"
	"muster/internal/netset"
)

// Places of our rules among others, and the first table that they may lead to.
const (
	prefVIP   = 5200 // what a VIP says goes as if there were no rules
	prefPeer  = 5201 // so does what is said to a director
	prefFrom  = 5202 // an application's answers go back through the director
	prefAny   = 5203 // also those whose source is not chosen yet
	prefRest  = 5204 // what other ports say goes as if there were no rules
	prefNone  = 5205 // what has no port yet, or none any more, goes back, too: see returns
	tableBase = 5200
)

// settings are all that a machine with these ports needs, in the order in which they are to be made: what keeps the
// machine silent about a VIP comes before the VIP.
func (w Want) settings(list []Port, tables *tables) []netset.Setting {
	var out []netset.Setting
	add := func(s ...netset.Setting) {
		for _, s := range s {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	if len(w.Accept) > 0 {
		add(quiet("all")...)
		for _, p := range list {
			add(quiet(p.Name)...)
		}
	}
	if len(w.Accept)+len(w.Return) > 0 {
		for _, p := range list {
			// What comes from a director has a client's source, whose way out may be another port.
			add(netset.Conf("ipv4", p.Name, "rp_filter", 2, netset.IfOneAll))
		}
	}
	if w.Forward {
		for _, p := range list {
			add(w.forward(p)...)
		}
	}
	for _, a := range w.Accept {
		if !slices.Contains(w.Answer, a.VIP) {
			add(netset.Address{Link: "lo", Addr: a.VIP, Local: a.VIP.Is4()})
		}
	}
	for _, v := range w.Answer {
		if p, ok := PortOf(list, v); ok {
			add(netset.Address{Link: p.Name, Addr: v})
		}
	}
	add(w.returns(list, tables)...)
	return out
}

// quiet has the machine say nothing of addresses that other interfaces have, and use none of them to ask for others.
func quiet(link string) []netset.Setting {
	return []netset.Setting{
		netset.Conf("ipv4", link, "arp_ignore", 1, netset.AtLeast),
		netset.Conf("ipv4", link, "arp_announce", 2, netset.AtLeast),
	}
}

// forward has a port let packets through. IPv6 would have it forget its routers with that, unless accept_ra is 2 by then.
func (w Want) forward(p Port) []netset.Setting {
	var out []netset.Setting
	if w.speaks(false) && p.has(false) {
		out = append(out, netset.Conf("ipv4", p.Name, "forwarding", 1, netset.Always))
	}
	if w.speaks(true) && p.has(true) {
		out = append(out,
			netset.Conf("ipv6", p.Name, "accept_ra", 2, netset.IfOne),
			netset.Conf("ipv6", p.Name, "forwarding", 1, netset.Always))
		// Linux 6.17 forwards what comes in by one port, as for IPv4; before, all ports would have to be told. It is for what
		// nodes of nat say that is no answer to a client.
		if s := netset.Conf("ipv6", p.Name, "force_forwarding", 1, netset.Always); s.Exists() {
			out = append(out, s)
		}
	}
	return out
}

// speaks says whether the node or its VIPs have addresses of the family.
func (w Want) speaks(v6 bool) bool {
	is := func(a netip.Addr) bool { return a.Is6() == v6 }
	return slices.ContainsFunc(w.Addresses, is) || slices.ContainsFunc(w.Answer, is)
}

// returns are the rules that have answers go back through directors.
//
// When an ICMP error says how large packets on the path may be, Linux notes that with the route that it finds without asking
// for ports (ip_rt_update_pmtu). A rule for a port alone would have it note that where the answers do not go, and the path's
// MTU would never be learned. So the rule for the port is followed by one that takes all other ports back to the main table,
// and one for what has no port.
func (w Want) returns(list []Port, tables *tables) []netset.Setting {
	var routes, rules []netset.Setting
	for _, r := range w.Return {
		i := slices.IndexFunc(list, func(p Port) bool { return slices.Contains(p.Addrs, r.Addr.Addr()) })
		if i < 0 || slices.Contains(w.Addresses, r.Via) || slices.Contains(w.Answer, r.Via) {
			continue // the port is missing, which is said elsewhere; or this machine is the director
		}
		route := netset.Route{Via: w.gateway(r, list[i]), Link: list[i].Name, Src: r.Addr.Addr()}
		route.Table = tables.of(route)
		routes = append(routes, route)

		rule := netset.Rule{Family: 4, Proto: unix.IPPROTO_TCP, Port: r.Addr.Port()}
		if r.Via.Is6() {
			rule.Family = 6
		}
		if r.Proto == cluster.UDP {
			rule.Proto = unix.IPPROTO_UDP
		}
		main := rule
		main.Table = unix.RT_TABLE_MAIN
		for _, d := range w.Directors {
			if d.Is6() == r.Via.Is6() {
				main.Priority, main.To, main.Port = prefPeer, d, 0
				rules = append(rules, main)
			}
		}
		rule.Table = route.Table
		rule.Priority, rule.From = prefFrom, r.Addr.Addr()
		rules = append(rules, rule)
		if rule.Port != 0 {
			rest := rule
			rest.Priority, rest.Port, rest.Last, rest.Table = prefRest, 1, 1<<16-2, unix.RT_TABLE_MAIN
			none := rule
			none.Priority, none.Port = prefNone, 0
			rules = append(rules, rest, none)
		}
		if r.Proto != cluster.UDP {
			continue
		}
		// A UDP server that is bound to no address says something before a source is chosen.
		rule.Priority, rule.From = prefAny, netip.Addr{}
		rules = append(rules, rule)
		for _, a := range w.Accept {
			if a.VIP.Is6() == r.Via.Is6() {
				rules = append(rules, netset.Rule{Priority: prefVIP, Family: rule.Family, From: a.VIP, Table: unix.RT_TABLE_MAIN})
			}
		}
	}
	// What leads past the director comes first, so that nothing is led astray in between.
	slices.SortStableFunc(rules, func(a, b netset.Setting) int {
		return a.(netset.Rule).Priority - b.(netset.Rule).Priority
	})
	return append(routes, rules...)
}

// gateway is what an application's answers go back through: the VIP, which moves with the director's role, if the port is in
// its network, and else the director's address there. The kernel takes no gateway that it knows at another port.
func (w Want) gateway(r Return, p Port) netip.Addr {
	for _, a := range append([]netip.Addr{r.Via}, w.Directors...) {
		if a.Is6() == r.Via.Is6() && slices.ContainsFunc(p.Nets, func(n netip.Prefix) bool { return n.Contains(a) }) {
			return a
		}
	}
	return r.Via
}

// tables gives each route a table, the one that it had before if it is in the journal.
type tables struct {
	had   []netset.Setting
	taken func(table int) bool // for other routes
	given []netset.Route
}

func (t *tables) of(r netset.Route) int {
	same := func(other netset.Route) bool {
		return other.Via == r.Via && other.Link == r.Link && other.Src == r.Src
	}
	used := map[int]bool{}
	for _, s := range t.had {
		if h, is := s.(netset.Route); is {
			if same(h) {
				return h.Table
			}
			used[h.Table] = true
		}
	}
	for _, g := range t.given {
		if same(g) {
			return g.Table
		}
		used[g.Table] = true
	}
	r.Table = tableBase
	for used[r.Table] || t.taken(r.Table) {
		r.Table++
	}
	t.given = append(t.given, r)
	return r.Table
}

// Overhead is what a tunnel puts around a packet, in bytes, if the outer addresses are of that family.
func (t Tunnel) Overhead(v6 bool) int {
	n := 20
	if v6 {
		n = 40
	}
	switch t {
	case None:
		return 0
	case GUE:
		n += 8 + 4
	}
	return n
}

// mss is the most that a client's segment may carry to a VIP so that it fits the ports with the tunnel around it.
func (w Want) mss(a Accept, list []Port) uint16 {
	mtu, v6 := 1<<16-1, false
	for _, p := range list {
		mtu = min(mtu, p.MTU)
	}
	for _, own := range w.Addresses {
		v6 = v6 || own.Is6()
	}
	heads := 20 + 20 // IP's and TCP's
	if a.VIP.Is6() {
		heads = 40 + 20
	}
	return uint16(max(mtu-a.Tunnel.Overhead(v6)-heads, 1)) // 0 would be no limit
}
