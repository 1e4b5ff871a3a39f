package packet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// smallMaps keeps the maps that are cleared often small.
func smallMaps(spec *ebpf.CollectionSpec) {
	for _, name := range []string{"flows", "unconfirmed", "datagrams", "rates"} {
		spec.Maps[name].MaxEntries = 4096
	}
}

// Ports of the services on stage for random traffic, by what is done with their packets.
const (
	drPort, ipipPort, guePort, natPort, noPort = 80, 81, 82, 83, 99
)

// everything is a stage with a service of each kind, in both families.
func everything(t testing.TB, g *ground) *oracle {
	o := newOracle(newStage(t, g))
	o.set(t, directorSetting{}) // nobody reads events here, and what is not heard is counted as a reason
	vip, vip2 := places["vip"], places["vip2"]
	add := func(kind string, pick string, port uint16, nodes ...string) {
		v := directorService{
			Dispatch: dispatches[kind], Pick: picks[pick], Syn: 10, Established: 900, Closing: 30, Udp: 60,
		}
		for _, six := range []bool{false, true} {
			if kind != "nat" && six {
				break // one service has fronts of both
			}
			f := o.offer(t, v, 6080)
			for _, proto := range []Proto{TCP, UDP} {
				if kind != "nat" || !six {
					o.front(t, f, vip.four, port, proto)
				}
				if kind != "nat" || six {
					o.front(t, f, vip.six, port, proto)
				}
			}
			var shares []share
			for i, n := range nodes {
				n, wide := strings.CutSuffix(n, "6")
				label := fmt.Sprintf("%s.%d.%d", n, f.id, i)
				behind := uint16(0)
				if kind == "nat" {
					wide, behind = six, 8000+port
				}
				o.node(t, f, label, n, wide, behind)
				shares = append(shares, share{label, uint32(1 + i)})
			}
			o.table(t, f.id, shares, nil)
		}
	}
	add("dr", "turn", drPort, "a", "b", "d", "e")
	add("ipip", "source", ipipPort, "a", "far", "d", "b6", "d6")
	add("gue", "two", guePort, "b", "far", "d6", "a6", "e")
	add("nat", "least", natPort, "a", "b", "d")
	f := o.offer(t, directorService{Dispatch: dispatches["dr"], Pick: picks["flow"], Flags: 4, Syn: 10, Established: 900, Closing: 30, Udp: 60}, 6080)
	for _, proto := range []Proto{TCP, UDP} {
		o.front(t, f, vip2.four, 0, proto)
		o.front(t, f, vip2.six, 0, proto)
	}
	o.node(t, f, "c.any", "c", false, 0)
	o.node(t, f, "f.any", "f", true, 0)
	o.table(t, f.id, []share{{"c.any", 1}, {"f.any", 1}}, nil)
	return o
}

// forget clears what flows there are, and what nodes are counted to have.
func (o *oracle) forget(t testing.TB) {
	for _, m := range []*ebpf.Map{o.Flows, o.Datagrams} {
		wipe(t, m)
	}
	clear(o.firsts.buckets)
	for _, i := range o.names {
		put(t, o.NodeLive, i, directorNodeLive{})
	}
	clear(o.parts)
}

// tally compares the nodes' counts of active flows with the flows that there are. A count may be too large by some: when two
// processors end and begin the same flow at once. User space mends that.
func (o *oracle) tally(t testing.TB, some int64) {
	t.Helper()
	counted := map[uint32]int64{}
	for _, f := range all[directorFlowKey, directorFlow](t, o.Flows) {
		if f.Flags&uint8(directorFlowFlagF_COUNTED) != 0 {
			counted[f.Node]++
		}
	}
	for label, i := range o.names {
		if got, want := o.active(t, label), counted[i]; got < want || got > want+some {
			t.Fatalf("%s has %d active flows by its count, and %d in the table", label, got, want)
		}
	}
}

// traffic makes up frames: what clients, nodes and routers send, and now and then what nobody should.
type traffic struct {
	*rand.Rand
	datagram []string // what is left of one in fragments
}

func choose[T any](r *traffic, of ...T) T { return of[r.IntN(len(of))] }

// next is the text of the next frame.
func (r *traffic) next() string {
	if len(r.datagram) > 0 && r.IntN(3) > 0 {
		at := r.IntN(len(r.datagram))
		text := r.datagram[at]
		r.datagram = append(r.datagram[:at:at], r.datagram[at+1:]...)
		return text
	}
	family := choose(r, "ip4", "ip6")
	vip := choose(r, "vip", "vip", "vip", "vip2")
	port := choose(r, drPort, ipipPort, guePort, natPort, noPort)
	if vip == "vip2" {
		port = choose(r, 1, 22, 50000)
	}
	client, sport := choose(r, "client", "other"), 40000+r.IntN(6)
	hops := choose(r, 64, 64, 64, 2, 1, 255)
	size := choose(r, 0, 1, 10, 499, 500, 1200, 1330, 1400, 1420)
	head := fmt.Sprintf("eth router > me / %s %s > %s %s=%d", family, client, vip, map[string]string{"ip4": "ttl", "ip6": "hop"}[family], hops)
	if family == "ip4" {
		head += choose(r, "", " df", " tos=0x5c", " id=0", " opts=94040000")
	} else {
		head += choose(r, "", " tc=0x5c", " flow=0xabcde", " / hbh", " / dst 1", " / frag id=9")
	}
	flags := choose(r, "S", "S", "A", "A", "PA", "FA", "R", "RA", "SA", "-", "SF")
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4:
		return fmt.Sprintf("%s / tcp %d > %d %s seq=%d ack=%d / data %d", head, sport, port, flags, r.Uint32(), r.Uint32(), size)
	case 5:
		return fmt.Sprintf("%s / udp %d > %d%s / data %d", head, sport, port, choose(r, "", "", " sum=0"), size)
	case 6:
		r.divide(family, client, vip, sport, port)
		return r.next()
	case 7:
		return r.failure(family, client, vip, sport, port)
	case 8: // what a nat node sends
		node := choose(r, "a", "b", "d")
		proto := choose(r, "tcp %d > %d SA", "tcp %d > %d PA", "tcp %d > %d FA", "tcp %d > %d R", "udp %d > %d")
		return fmt.Sprintf("eth %s > me / %s %s > %s / %s / data %d", node, family, node, client, fmt.Sprintf(proto, choose(r, 8000+natPort, 22), sport), size)
	}
	return fmt.Sprintf("%s / tcp %d > %d S / pad %d", head, sport, port, r.IntN(7))
}

// divide makes a datagram in three fragments, which come in any order.
func (r *traffic) divide(family, client, vip string, sport, port int) {
	id := r.IntN(1 << 16)
	for i := range 3 {
		more := choose(r, "mf", "mf")
		if i == 2 {
			more = ""
		}
		what := fmt.Sprintf("udp %d > %d len=608 sum=%d / data 192", sport, port, 0x1234)
		if i > 0 {
			what = "data 200"
		}
		if family == "ip4" {
			r.datagram = append(r.datagram, fmt.Sprintf("eth router > me / ip4 %s > %s id=%d off=%d %s proto=17 / %s", client, vip, id, i*200, more, what))
		} else {
			r.datagram = append(r.datagram, fmt.Sprintf("eth router > me / ip6 %s > %s / frag id=%d off=%d %s next=17 / %s", client, vip, id, i*200, more, what))
		}
	}
}

// failure is an ICMP error: about a reply from the VIP, or about what the director sent to a nat node.
func (r *traffic) failure(family, client, vip string, sport, port int) string {
	kind := choose(r, "icmp 3/4 rest=1300", "icmp 3/1", "icmp 11/0")
	if family == "ip6" {
		kind = choose(r, "icmp6 2/0 rest=1300", "icmp6 1/0", "icmp6 3/0")
	}
	proto := choose(r, "tcp %d > %d A", "udp %d > %d")
	end := choose(r, ":28", ":48", ":60", "")
	if family == "ip6" {
		end = choose(r, ":48", ":60", ":68", "")
	}
	if r.IntN(2) == 0 {
		node := choose(r, "a", "b", "d")
		return fmt.Sprintf("eth %s > me / %s %s > %s / %s / [ %s %s > %s / %s / data 60 ]%s",
			node, family, choose(r, node, "hop"), client, kind, family, client, node, fmt.Sprintf(proto, sport, 8000+natPort), end)
	}
	return fmt.Sprintf("eth router > me / %s %s > %s / %s / [ %s %s > %s / %s / data 60 ]%s",
		family, choose(r, "hop", client), vip, kind, family, vip, client, fmt.Sprintf(proto, port, sport), end)
}

// spoil changes some bytes, or the length, of one frame in four.
func (r *traffic) spoil(b []byte) []byte {
	switch r.IntN(12) {
	case 0:
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
	case 1:
		b[12+r.IntN(min(60, len(b)-12))] ^= 1 << r.IntN(8)
	case 2:
		return b[:14+r.IntN(len(b)-13)]
	}
	return b
}

// mark has the oracle know that nodes are gone, or are back.
func (o *oracle) mark(t testing.TB, label string, gone bool) {
	o.gone[label] = gone
	o.change(t, label, func(n *directorNode) {
		n.Flags = 0
		if gone {
			n.Flags = uint16(directorNodeFlagN_GONE)
		}
	})
}
