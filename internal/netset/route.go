package netset

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Route is the default route of a table of its own, which rules lead to.
type Route struct {
	Table int        `json:"table"`
	Via   netip.Addr `json:"via"` // a neighbour on the link, whatever its prefix
	Link  string     `json:"link"`
	Src   netip.Addr `json:"src"` // the source of what has none yet
}

func (r Route) String() string {
	return fmt.Sprintf("ip%s route replace default via %s dev %s onlink src %s table %d", six(r.Via), r.Via, r.Link, r.Src, r.Table)
}

// Undo is the command that takes it back.
func (r Route) Undo() string {
	return fmt.Sprintf("ip%s route del default via %s dev %s table %d", six(r.Via), r.Via, r.Link, r.Table)
}

// six is what makes ip(8) speak of IPv6 where no address says it.
func six(a netip.Addr) string {
	if a.Is6() {
		return " -6"
	}
	return ""
}

func (r Route) key() string  { return fmt.Sprintf("route%s %d", six(r.Via), r.Table) }
func (r Route) link() string { return r.Link }

func (r Route) valid() error {
	if !r.Via.IsValid() || !r.Src.IsValid() || r.Link == "" || r.Table <= unix.RT_TABLE_LOCAL {
		return errors.New("a route without next hop, source, interface or table of its own")
	}
	return nil
}

func (r Route) look() (was string, fine bool, err error) {
	list, err := netlink.RouteListFiltered(familyOf(r.Via), &netlink.Route{Table: r.Table}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", false, fmt.Errorf("list the routes of table %d: %w", r.Table, err)
	}
	n, there := index(r.Link)
	for _, one := range list {
		via, _ := netip.AddrFromSlice(one.Gw)
		if ones, _ := one.Dst.Mask.Size(); ones == 0 && there && one.LinkIndex == n && via.Unmap() == r.Via {
			return "", true, nil
		}
	}
	return "", false, nil
}

func (r Route) netlink() (*netlink.Route, error) {
	n, there := index(r.Link)
	if !there {
		return nil, fmt.Errorf("there is no interface %s", r.Link)
	}
	return &netlink.Route{
		Family: familyOf(r.Via), Table: r.Table, LinkIndex: n, Dst: everything(r.Via),
		Gw: r.Via.AsSlice(), Flags: int(netlink.FLAG_ONLINK), Src: r.Src.AsSlice(),
	}, nil
}

func everything(family netip.Addr) *net.IPNet {
	zero := net.IPv6zero
	if family.Is4() {
		zero = net.IPv4zero.To4()
	}
	return &net.IPNet{IP: zero, Mask: net.CIDRMask(0, family.BitLen())}
}

func (r Route) do() error {
	n, err := r.netlink()
	if err != nil {
		return err
	}
	return netlink.RouteReplace(n)
}

func (r Route) undo(string) error {
	if _, there, err := r.look(); err != nil || !there {
		return err
	}
	n, err := r.netlink()
	if err != nil {
		return err
	}
	n.Src = nil
	return netlink.RouteDel(n)
}

// A Rule sends what this machine says itself, from one port, to a table of routes.
type Rule struct {
	Priority int        `json:"priority"` // smaller ones are asked first
	Family   int        `json:"family"`   // 4 or 6
	From     netip.Addr `json:"from"`     // the source; invalid: any, also one that has not been chosen yet
	To       netip.Addr `json:"to"`       // the destination; invalid: any
	Proto    int        `json:"proto"`    // of IP; 0: every one
	Port     uint16     `json:"port"`     // the source's; 0: every one, and also what has none
	Last     uint16     `json:"last"`     // of several ports that begin with Port, at most 65534; 0: Port alone
	Table    int        `json:"table"`
}

func (r Rule) String() string { return "ip" + r.six() + " rule add " + r.words() }

// Undo is the command that takes it back.
func (r Rule) Undo() string { return "ip" + r.six() + " rule del " + r.words() }

func (r Rule) six() string {
	if r.Family == 6 {
		return " -6"
	}
	return ""
}

func (r Rule) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pref %d", r.Priority)
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %s", r.From)
	}
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %s", r.To)
	}
	switch r.Proto {
	case 0:
	case unix.IPPROTO_TCP:
		b.WriteString(" ipproto tcp")
	case unix.IPPROTO_UDP:
		b.WriteString(" ipproto udp")
	default:
		b.WriteString(" ipproto " + strconv.Itoa(r.Proto))
	}
	if r.Port != 0 {
		fmt.Fprintf(&b, " sport %d", r.Port)
	}
	if r.Last != 0 {
		fmt.Fprintf(&b, "-%d", r.Last)
	}
	fmt.Fprintf(&b, " lookup %d", r.Table)
	return b.String()
}

func (r Rule) key() string  { return r.String() }
func (r Rule) link() string { return "" }

func (r Rule) valid() error {
	if r.Family != 4 && r.Family != 6 || r.Priority <= 0 || r.Priority >= 32766 || r.Table <= 0 {
		return errors.New("a rule without family, table or place among others")
	}
	if r.Last != 0 && (r.Port == 0 || r.Last <= r.Port || r.Last > mostPort) {
		return errors.New("a rule for ports that do not follow each other")
	}
	return nil
}

// mostPort is the last port of several that the kernel takes in a rule.
const mostPort = 1<<16 - 2

// ports are the first and the last; 0 and 0 for all.
func (r Rule) ports() (first, last uint16) { return r.Port, max(r.Port, r.Last) }

func (r Rule) family() int {
	if r.Family == 6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (r Rule) netlink() *netlink.Rule {
	n := netlink.NewRule()
	n.Family, n.Priority, n.Table, n.IPProto = r.family(), r.Priority, r.Table, r.Proto
	if r.From.IsValid() {
		n.Src = host(r.From)
	}
	if r.To.IsValid() {
		n.Dst = host(r.To)
	}
	if first, last := r.ports(); first != 0 {
		n.Sport = netlink.NewRulePortRange(first, last)
	}
	return n
}

func (r Rule) look() (was string, fine bool, err error) {
	list, err := netlink.RuleList(r.family())
	if err != nil {
		return "", false, fmt.Errorf("list the rules: %w", err)
	}
	for _, one := range list {
		if r.is(one) {
			return "", true, nil
		}
	}
	return "", false, nil
}

func (r Rule) is(one netlink.Rule) bool {
	from, fromFits := single(one.Src)
	to, toFits := single(one.Dst)
	first, last := r.ports()
	var start, end uint16
	if one.Sport != nil {
		start, end = one.Sport.Start, one.Sport.End
	}
	return fromFits && toFits && from == r.From && to == r.To &&
		one.Priority == r.Priority && one.Table == r.Table && one.IPProto == r.Proto && start == first && end == last &&
		one.Dport == nil && one.Mark == 0 && one.IifName == "" && one.OifName == "" && !one.Invert
}

// single is the one address of a network, or none if there is no network.
func single(n *net.IPNet) (a netip.Addr, fits bool) {
	if n == nil {
		return a, true
	}
	ones, bits := n.Mask.Size()
	a, _ = netip.AddrFromSlice(n.IP)
	return a.Unmap(), ones == bits
}

func (r Rule) do() error {
	err := netlink.RuleAdd(r.netlink())
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func (r Rule) undo(string) error {
	err := netlink.RuleDel(r.netlink())
	if errors.Is(err, unix.ENOENT) {
		return nil // it is gone already
	}
	return err
}
