package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"muster/cluster"
)

// A claim is one use of an address and port.
type claim struct {
	path     string // where the file says so
	what, of string // such as the API of d1
	director bool   // the use is on a director, and so meets a service that listens on every address
	pool     bool
	app      *Application // of a pool: two pools for which a node runs the same, or nothing, share a port
}

func (c claim) String() string { return c.what + " " + c.of }

func (c claim) shares(o claim) bool { return c.pool && o.pool && reflect.DeepEqual(c.app, o.app) }

// family is a port of all IPv4 or all IPv6 addresses.
type family struct {
	port uint16
	v4   bool
}

// A book holds who listens where.
type book struct {
	d      *decoder
	claims map[netip.AddrPort]claim
	some   map[family]claim // the first, on a director, that listens on a port of some address
	every  map[family]claim // who listens on a port of every address
}

func newBook(d *decoder) *book {
	return &book{d, map[netip.AddrPort]claim{}, map[family]claim{}, map[family]claim{}}
}

// take notes a problem when the address is in use. An unspecified address is every address of its family.
func (b *book) take(a netip.AddrPort, c claim) {
	f := family{a.Port(), a.Addr().Is4()}
	before, taken := b.claims[a]
	if !taken && c.director {
		before, taken = b.every[f]
	}
	if !taken && a.Addr().IsUnspecified() {
		before, taken = b.some[f]
	}
	if taken {
		if !c.shares(before) {
			where := a.String()
			if a.Port() == 0 {
				where = "every port of " + a.Addr().String()
			}
			b.d.say(c.path, fmt.Sprintf("%s is used twice: for %s and for %s", where, before, c), "change the address or the port of one of them")
		}
		return
	}
	b.claims[a] = c
	if _, ok := b.some[f]; !ok && c.director {
		b.some[f] = c
	}
	if a.Addr().IsUnspecified() {
		b.every[f] = c
	}
}

// checkAddresses finds addresses and ports that two parts of the cluster would both listen on.
func (d *decoder) checkAddresses(f *File, x index) {
	tcp, udp := newBook(d), newBook(d)
	own := map[netip.Addr]string{}
	every := map[[2]any]string{} // by VIP and whether it is UDP, the service that has all ports
	for i := range f.Services {
		if s := &f.Services[i]; s.Dispatch.Kernel() && slices.Contains(s.Ports, AllPorts) {
			every[[2]any{s.VIP, s.Kind == cluster.UDP}] = s.Name
		}
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		path := join("nodes", n.Name)
		director := n.Has(cluster.Director)
		for j, a := range n.Addresses {
			at := fmt.Sprintf("%s.addresses[%d]", path, j)
			own[a] = n.Name
			if d.sound(at, path+".ports.report", "ports.report") {
				udp.take(netip.AddrPortFrom(a, n.Ports.Report), claim{path: at, what: "the reports of", of: n.Name, director: director})
			}
			if d.sound(at, path+".ports.admin", "ports.admin") {
				tcp.take(netip.AddrPortFrom(a, n.Ports.Admin), claim{path: at, what: "the API of", of: n.Name, director: director})
			}
		}
		for _, p := range x.poolsOf[n.Name] {
			if at := "pools." + p.Name + ".port"; len(n.Addresses) > 0 && p.Port > 0 && d.sound(at) {
				tcp.take(p.Address(n), claim{path: at, what: "pool", of: p.Name, director: director, pool: true, app: x.application(n, p)})
			}
		}
	}
	for i := range f.Services {
		s := &f.Services[i]
		path := join("services", s.Name)
		if !d.sound(path, path+".vip", path+".listen", path+".ports") {
			continue
		}
		if name, ok := own[s.VIP]; ok {
			d.say(path+".vip", fmt.Sprintf("%s is the own address of node %s", s.VIP, name), "the cluster owns a VIP; take a free address, or use listen")
			continue
		}
		for j, a := range s.Addresses() {
			at := fmt.Sprintf("%s.ports[%d]", path, j)
			if !s.VIP.IsValid() {
				at = fmt.Sprintf("%s.listen[%d]", path, j)
			}
			book := tcp
			if s.Kind == cluster.UDP {
				book = udp
			}
			book.take(a, claim{path: at, what: "service", of: s.Name, director: true})
			// The kernel's program would not leave a proxy its port.
			all, ok := every[[2]any{s.VIP, s.Kind == cluster.UDP}]
			if ok && !s.Dispatch.Kernel() {
				d.say(at, fmt.Sprintf("service %s takes every port of %s", all, s.VIP), "dispatch this one in the kernel too, or list the ports of "+all)
			}
		}
	}
}
