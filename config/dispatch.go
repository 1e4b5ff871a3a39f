package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"muster/cluster"
)

// What the tables of the kernel's program have room for (datapath/packet).
const (
	mostFronts = 16384 // addresses and ports of services
	mostPlaces = 16384 // nodes of the pools of services
)

// guePort is the default of tunnel.port.
const guePort = 6080

// checkDispatch checks what a service asks of the kernel, or what only the kernel could do.
func (d *decoder) checkDispatch(f *File, x index, s *Service, path string) {
	kind, dispatch := path+".kind", path+".dispatch"
	every := slices.Index(s.Ports, AllPorts)
	switch {
	case !d.sound(kind, dispatch):
		return
	case !s.Dispatch.Kernel():
		if s.Kind == cluster.UDP {
			d.say(kind, "udp cannot be proxied", "set dispatch: dr, tunnel or nat")
		}
		if every >= 0 {
			d.say(fmt.Sprintf("%s.ports[%d]", path, every), "a proxy cannot listen on all ports", "list the ports, or set dispatch: dr, tunnel or nat")
		}
		return
	}
	if len(s.Listen) > 0 {
		d.say(path+".listen", fmt.Sprintf("dispatch %s needs a VIP", s.Dispatch), "write vip: ADDRESS and ports, or set dispatch: proxy")
		return
	}
	if every >= 0 && len(s.Ports) > 1 {
		d.say(fmt.Sprintf("%s.ports[%d]", path, every), "all is every port", "write ports: all, or take all out")
	}
	if a := s.VIP; a.IsLoopback() || a.Zone() != "" || a.IsLinkLocalUnicast() {
		d.say(path+".vip", a.String()+" is an address of one link or machine only", "take an address that clients have a route to")
	}
	if s.Schedule == "least-time" {
		d.say(path+".schedule", "least-time follows how fast nodes answer, which dispatch "+string(s.Dispatch)+" does not see", "set has, load, wlc or p2c")
	}
	d.checkSources(s, path+".sources")
	d.checkWithout(s, path)
	if s.Tunnel.Encapsulation == IPIP && s.Tunnel.Port != guePort {
		d.say(path+".tunnel.port", "ipip has no ports", "set encapsulation: gue, or take port out")
	}
	if p := x.pools[s.Pool]; p != nil && d.sound(path+".pool", path+".vip", join("pools", s.Pool)) {
		d.checkFamilies(x, s, p, path)
		d.checkPorts(x, s, p, path)
		d.checkDatagrams(x, s, p, path)
		d.checkBoth(f, x, s, p, path)
	}
}

func (d *decoder) checkSources(s *Service, path string) {
	if s.Sources.Burst > 0 && s.Sources.Rate == 0 && d.sound(path+".rate") {
		d.say(path+".burst", "there is no rate", "set rate too, or take burst out")
	}
	allowed := map[netip.Prefix]bool{}
	for _, p := range s.Sources.Allow {
		allowed[p] = true
	}
	for i, p := range s.Sources.Deny {
		if allowed[p] {
			d.say(fmt.Sprintf("%s.deny[%d]", path, i), p.String()+" is allowed as well", "take it out of one of the lists")
		}
	}
	check := func(list string, prefixes []netip.Prefix) {
		for i, p := range prefixes {
			if p.Addr().Is4() != s.VIP.Is4() && s.VIP.IsValid() {
				d.say(fmt.Sprintf("%s.%s[%d]", path, list, i), fmt.Sprintf("nobody in %s can reach %s", p, s.VIP), "a client has an address of the VIP's family; take it out")
			}
		}
	}
	check("allow", s.Sources.Allow)
	check("deny", s.Sources.Deny)
}

// checkFamilies: with dr and nat a packet stays of its family, so its node must have an address of it; with a tunnel the
// outer packet is of a family that director and node both have.
func (d *decoder) checkFamilies(x index, s *Service, p *Pool, path string) {
	v4 := s.VIP.Is4()
	if dir := x.without[v4]; dir != nil && s.Dispatch == cluster.NAT && d.sound("nodes."+dir.Name+".addresses") {
		d.say(path+".vip", fmt.Sprintf("director %s has no %s address", dir.Name, familyName(v4)),
			fmt.Sprintf("with nat replies come back to it: add one to nodes.%s.addresses", dir.Name))
	}
	for _, n := range x.nodesOf[p.Name] {
		at := join("nodes", n.Name) + ".addresses"
		if !d.sound(join("nodes", n.Name), at) {
			continue
		}
		if s.Dispatch != cluster.Tunnel {
			if !n.hasFamily(v4) {
				d.say(path+".vip", fmt.Sprintf("node %s of pool %s has no %s address", n.Name, p.Name, familyName(v4)),
					fmt.Sprintf("dispatch %s needs one of the VIP's family: add it to %s, or set dispatch: tunnel", s.Dispatch, at))
				return
			}
			continue
		}
		for _, one := range []bool{true, false} {
			if dir := x.without[one]; dir != nil && !n.hasFamily(!one) && d.sound("nodes."+dir.Name+".addresses") {
				d.say(path+".pool", fmt.Sprintf("director %s and node %s have no addresses of one family", dir.Name, n.Name),
					"a tunnel has two ends of one family: add an address to one of them")
				return
			}
		}
	}
}

// checkDatagrams: neither the built-in web server nor a check without a word of its own knows UDP.
func (d *decoder) checkDatagrams(x index, s *Service, p *Pool, path string) {
	if s.Kind != cluster.UDP || !d.sound(join("pools", p.Name)+".check") {
		return
	}
	for _, n := range x.nodesOf[p.Name] {
		switch a := x.application(n, p); {
		case a != nil && a.Serve != nil:
			d.say(path+".kind", fmt.Sprintf("the built-in web server, which node %s runs for pool %s, does not speak UDP", n.Name, p.Name), "name another pool, or set kind: tcp")
			return
		case a == nil && p.Check == "":
			d.say(path+".pool", fmt.Sprintf("pool %s has no check, so its application would be asked for a TCP connection", p.Name), "give the pool a check, of kind exec for one that speaks UDP only")
			return
		}
	}
}

// checkPorts: packets of dr and tunnel keep their port, so the application must listen where clients ask.
func (d *decoder) checkPorts(x index, s *Service, p *Pool, path string) {
	if !s.Dispatch.Direct() || len(s.Ports) == 0 || !d.sound(path+".ports", join("pools", p.Name)+".port") ||
		slices.Contains(s.Ports, AllPorts) || slices.Contains(s.Ports, Port(p.Port)) {
		return
	}
	if x.everyServes(p) && s.Kind != cluster.UDP {
		return // the built-in server listens on the ports of the VIP as well
	}
	d.say(path+".ports", fmt.Sprintf("with dispatch %s packets keep their port, and the application of pool %s listens on %d", s.Dispatch, p.Name, p.Port),
		fmt.Sprintf("have it listen on %d and set pools.%s.port to that, or set dispatch: nat", s.Ports[0], p.Name))
}

// checkBoth: what a machine that is director and node of the service's pool at once cannot do.
func (d *decoder) checkBoth(f *File, x index, s *Service, p *Pool, path string) {
	for _, n := range x.nodesOf[p.Name] {
		name := n.Name
		switch {
		case !n.Has(cluster.Director) || !d.sound(join("nodes", name), join("nodes", name)+".roles"):
		case s.Dispatch == cluster.NAT:
			d.say(path+".dispatch", fmt.Sprintf("%s is a director and a node of pool %s: its own replies do not come back to it to be given the VIP", name, p.Name), "set dispatch: dr, or take it out of the pool")
			return
		case f.VIPs == VIPsLeave && len(f.Directors()) > 1:
			d.say(path+".dispatch", fmt.Sprintf("%s is a director and a node of pool %s, and with vips: leave no director knows who has the VIP: %s would dispatch again what another has sent to it", name, p.Name, name),
				"set vips: hold, or take it out of the pool")
			return
		case s.WithoutXDP == WithoutProxy:
			d.say(path+".without-xdp", fmt.Sprintf("%s is a director and a node of pool %s: its application and a proxy would both listen on %s", name, p.Name, strings.Join(s.Entrances(), " and ")),
				"take without-xdp out, or take "+name+" out of the pool")
			return
		}
	}
}

// checkWithout: what a proxy could not do in the kernel's place.
func (d *decoder) checkWithout(s *Service, path string) {
	if s.WithoutXDP != WithoutProxy {
		return
	}
	at := path + ".without-xdp"
	switch {
	case s.Kind == cluster.UDP:
		d.say(at, "udp cannot be proxied", "set without-xdp: refuse")
	case slices.Contains(s.Ports, AllPorts):
		d.say(at, "a proxy cannot listen on all ports", "list the ports, or set without-xdp: refuse")
	case len(s.Sources.Allow)+len(s.Sources.Deny)+s.Sources.Rate > 0:
		d.say(at, "a proxy lets everybody in, for it does not know sources", "take sources out, or set without-xdp: refuse")
	}
}

// checkReturns: with nat a node sends its replies to the VIP, as the one address that is always a director's, so it cannot
// have that VIP itself.
func (d *decoder) checkReturns(f *File, x index) {
	direct, nat := map[netip.Addr][]*Service{}, map[netip.Addr][]*Service{}
	for i := range f.Services {
		switch s := &f.Services[i]; {
		case !d.sound(join("services", s.Name), join("services", s.Name)+".vip"):
		case s.Dispatch.Direct():
			direct[s.VIP] = append(direct[s.VIP], s)
		case s.Dispatch == cluster.NAT:
			nat[s.VIP] = append(nat[s.VIP], s)
		}
	}
	for vip, list := range nat {
		has := map[*Node]*Service{}
		for _, s := range direct[vip] {
			for _, n := range x.nodesOf[s.Pool] {
				has[n] = s
			}
		}
		for _, s := range list {
			for _, n := range x.nodesOf[s.Pool] {
				if o := has[n]; o != nil {
					d.say(join("services", s.Name)+".dispatch", fmt.Sprintf("node %s has %s itself for service %s (%s), and with nat it would send its replies there", n.Name, vip, o.Name, o.Dispatch),
						"take another VIP, or the same dispatch for both")
					break
				}
			}
		}
	}
}

// checkRoom: the tables of the kernel have a bound.
func (d *decoder) checkRoom(f *File, x index) {
	fronts, places, sources := 0, 0, 0
	for i := range f.Services {
		s := &f.Services[i]
		if !s.Dispatch.Kernel() {
			continue
		}
		fronts += len(s.Ports)
		sources += len(s.Sources.Allow) + len(s.Sources.Deny)
		places += len(x.nodesOf[s.Pool])
	}
	for _, r := range []struct {
		has, most int
		what      string
	}{
		{fronts, mostFronts, "ports"},
		{places, mostPlaces, "nodes in their pools"},
		{sources, f.Packets.Sources, "networks in sources"},
	} {
		if r.has > r.most {
			d.say("services", fmt.Sprintf("services with dispatch in the kernel have %d %s", r.has, r.what), fmt.Sprintf("there is room for %d", r.most))
		}
	}
}

func (n *Node) hasFamily(v4 bool) bool {
	return slices.ContainsFunc(n.Addresses, func(a netip.Addr) bool { return a.Is4() == v4 })
}

func familyName(v4 bool) string {
	if v4 {
		return "IPv4"
	}
	return "IPv6"
}
