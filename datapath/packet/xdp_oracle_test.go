package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// An oracle says of each frame what may become of it. It shares no code with the program and knows nothing of how that
// works: only the services, the RFCs, and where each flow went before. It allows what is a matter of taste, such as which
// node takes a new flow, and nothing that would lose, damage or mislead a packet.
type oracle struct {
	*stage
	offers []*offer // by service less firstService
	fronts map[entrance]uint32
	vips   map[netip.Addr]bool
	gone   map[string]bool
	parts  map[partsOf]string // where a datagram's fragments went
}

type entrance struct {
	vip   netip.Addr
	port  uint16
	proto uint8
}

type partsOf struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8
}

// An offer is a service as the oracle sees it.
type offer struct {
	id       uint32
	dispatch uint8
	gue      uint16
	nodes    map[string]target
}

// A target is a node and the way to it.
type target struct {
	addr netip.Addr
	port uint16
	mac  [6]byte
	by   string // the port that sends
	tag  uint16
	mtu  int
}

func newOracle(s *stage) *oracle {
	return &oracle{
		stage: s, fronts: map[entrance]uint32{}, vips: map[netip.Addr]bool{},
		gone: map[string]bool{}, parts: map[partsOf]string{},
	}
}

// offer adds a service to the stage and to what the oracle knows.
func (o *oracle) offer(t testing.TB, v directorService, gue uint16) *offer {
	v.GuePort = gue
	f := &offer{id: o.stage.service(v), dispatch: v.Dispatch, gue: gue, nodes: map[string]target{}}
	o.offers = append(o.offers, f)
	return f
}

func (o *oracle) front(t testing.TB, f *offer, vip netip.Addr, port uint16, proto Proto) {
	o.stage.front(t, f.id, vip, port, proto)
	o.fronts[entrance{vip, port, uint8(proto)}] = f.id
	o.vips[vip] = true
}

// node adds a node, named by its place.
func (o *oracle) node(t testing.TB, f *offer, label, at string, six bool, port uint16) {
	addr, err := address(at, six)
	if err != nil {
		t.Fatal(err)
	}
	o.stage.node(t, f.id, label, addr, directorNode{Port: port})
	way := target{addr: addr, port: port, mac: places[at].mac, by: "me", mtu: 1500}
	switch at {
	case "d":
		way.by = "me2"
	case "e":
		way.tag = vlan5
	case "far":
		way.mtu = 1400
	}
	f.nodes[label] = way
}

// of finds a packet's service by its front.
func (o *oracle) of(vip netip.Addr, port uint16, proto uint8) *offer {
	for _, k := range []entrance{{vip, port, proto}, {vip, 0, proto}} {
		if id, ok := o.fronts[k]; ok {
			return o.offers[id-firstService]
		}
	}
	return nil
}

// run has the program see a frame and judges what it makes of it.
func (o *oracle) run(t testing.TB, port string, in []byte) (verdict, []byte, error) {
	t.Helper()
	r := read(in)
	var before *directorFlow
	if r.ports {
		before = o.flow(t, key(Proto(r.proto), netip.AddrPortFrom(r.src, r.sport), netip.AddrPortFrom(r.dst, r.dport)))
	}
	v, out := o.ground.run(t, port, in)
	why := o.why(t)
	if err := o.judge(port, in, r, before, v, out, why); err != nil {
		return v, out, fmt.Errorf("%w\nin:  %s\n     %x\nout: %s %s\n     %x\nreasons %v, read as %+v", err, show(in), in, v, show(out), out, why, r)
	}
	return v, out, nil
}

// flow is what is known of a flow, nil if nothing is.
func (o *oracle) flow(t testing.TB, k directorFlowKey) *directorFlow {
	t.Helper()
	for _, m := range []flowMap{o.Flows, o.firsts} {
		f, err := lookup[directorFlow](m, k)
		if err != nil {
			t.Fatal(err)
		}
		if f != nil {
			return f
		}
	}
	return nil
}

func (o *oracle) judge(port string, in []byte, r reading, before *directorFlow, v verdict, out []byte, why []string) error {
	ours := r.wrong == nil && o.vips[r.dst]
	if r.fragment && !r.later && (v == dropped || v == sent && read(out).dst == r.src) {
		delete(o.parts, partsOf{r.src, r.dst, r.id, r.proto}) // it went nowhere; who knows what it has told the program
	}
	switch v {
	case passed:
		if !bytes.Equal(in, out) {
			return errors.New("the kernel gets something else than what came")
		}
		if ours && o.must(in, r) {
			return errors.New("the kernel gets what is a service's")
		}
		return nil
	case dropped:
		if len(why) == 0 {
			return errors.New("it is dropped silently")
		}
		if !errors.Is(r.wrong, errNotIP) && !o.vips[r.dst] && !o.fromNode(r) && !r.failed(in) {
			return errors.New("it is dropped, and no service's")
		}
		if ours && o.must(in, r) {
			return errors.New("it is dropped, and nothing is wrong with it")
		}
		return nil
	case sent, redirected:
		if r.wrong != nil {
			return fmt.Errorf("it is sent on though %w", r.wrong)
		}
		return o.judgeSent(port, in, r, before, v, out, why)
	}
	return errors.New("the program has ended by itself")
}

// machine says whether an address can be one machine's other than this one (RFC 6890).
func machine(a netip.Addr) bool {
	for _, none := range []string{"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/96", "ff00::/8"} {
		if netip.MustParsePrefix(none).Contains(a) {
			return false
		}
	}
	return true
}

// must says whether a packet has to reach a node: it is whole, opens a flow or is a datagram, and nothing speaks against.
func (o *oracle) must(in []byte, r reading) bool {
	if r.fragment || !r.ports || r.hops < 2 || r.extended > 1 || r.routed || !machine(r.src) || o.vips[r.src] {
		return false
	}
	f, me, router := o.of(r.dst, r.dport, r.proto), places["me"].mac, places["router"].mac
	if f == nil || len(r.tags) > 0 || !bytes.Equal(in[:12], append(me[:], router[:]...)) || r.end-r.network > 1300 || r.headResidue(in) != 0 {
		return false
	}
	there := false
	for label, n := range f.nodes {
		there = there || !o.gone[label] && (f.dispatch != dispatches["nat"] || n.addr.Is6() == r.six)
	}
	return there && (r.proto == uint8(UDP) || r.flags&(syn|ack|fin|rst) == syn)
}

// fromNode says whether a packet may be a reply of a nat service's node.
func (o *oracle) fromNode(r reading) bool {
	for _, f := range o.offers {
		for _, n := range f.nodes {
			if f.dispatch == dispatches["nat"] && n.addr == r.src && (r.later || !r.ports || n.port == r.sport || n.port == 0) {
				return true
			}
		}
	}
	return false
}

func (o *oracle) judgeSent(port string, in []byte, r reading, before *directorFlow, v verdict, out []byte, why []string) error {
	q := read(out)
	if q.wrong != nil {
		return fmt.Errorf("what is sent cannot be read: %w", q.wrong)
	}
	if q.dst == r.src && (o.vips[r.dst] && o.vips[q.src] || !o.vips[r.dst] && own(q.src)) {
		return o.judgeAnswer(port, in, r, v, out, q)
	}
	if !o.vips[r.dst] {
		return o.judgeReply(port, in, r, v, out, q)
	}
	failed := r.failed(in)
	var problems []error
	for _, f := range o.offers {
		if !failed && !r.later && f != o.of(r.dst, r.dport, r.proto) {
			continue
		}
		for label, n := range f.nodes {
			if !bytes.Equal(out[:6], n.mac[:]) || f.dispatch != dispatches["dr"] && !carries(f, q, n) {
				continue
			}
			if err := o.judgeForwarded(port, in, r, v, out, q, f, n); err != nil {
				problems = append(problems, fmt.Errorf("to %s of service %d: %w", label, f.id, err))
				continue
			}
			return o.judgeHome(r, before, label, why, failed)
		}
	}
	return errors.Join(append(problems, errors.New("it goes to no node of its service, or not as it should"))...)
}

// own says whether an address is the director's.
func own(a netip.Addr) bool {
	for _, name := range []string{"me", "me2", "me5"} {
		if p := places[name]; a == p.four || a == p.six {
			return true
		}
	}
	return false
}

// carries says whether what is sent goes to the node's address, for dispatches that name it in the packet.
func carries(f *offer, q reading, n target) bool { return q.dst == n.addr }

// judgeHome compares the node with the one that the flow, or the datagram, went to before.
func (o *oracle) judgeHome(r reading, before *directorFlow, label string, why []string, failed bool) error {
	if failed {
		return nil
	}
	if r.fragment {
		k := partsOf{r.src, r.dst, r.id, r.proto}
		// A first fragment of a flow that is known goes to the flow's node, whatever overtook it; and those that overtake one
		// of another service than the VIP's first have gone to that.
		home, ok := o.parts[k]
		if f := o.of(r.dst, r.dport, r.proto); ok && r.ports && f != nil {
			_, ok = f.nodes[home]
		}
		if ok && home != label && !o.gone[home] && before == nil {
			return fmt.Errorf("one fragment of a datagram went to %s, another goes to %s", home, label)
		}
		o.parts[k] = label
	}
	if o.gone[label] {
		return fmt.Errorf("it goes to %s, which is gone", label)
	}
	if before == nil || before.State == uint8(directorFlowStateCLOSED) {
		return nil
	}
	home := o.nodes[before.Node-firstNode]
	reopened := r.proto == uint8(TCP) && r.flags&(syn|ack) == syn && before.State == uint8(directorFlowStateCLOSING)
	if reopened {
		return nil
	}
	if home != label && !o.gone[home] {
		return fmt.Errorf("its flow is at %s, it goes to %s", home, label)
	}
	if o.gone[home] && !slices.Contains(why, "gone_moved") && !slices.ContainsFunc(why, func(w string) bool { return len(w) > 2 && w[1] == ':' }) {
		return fmt.Errorf("its flow was at %s, which is gone, and that is not counted: %v", home, why)
	}
	return nil
}

// judgeForwarded compares what is sent with what the node has to get.
func (o *oracle) judgeForwarded(port string, in []byte, r reading, v verdict, out []byte, q reading, f *offer, n target) error {
	if err := o.judgeFrame(port, v, out, q, n.mac, n.by, n.tag); err != nil {
		return err
	}
	if len(out)-q.network > n.mtu && f.dispatch != dispatches["dr"] {
		return fmt.Errorf("%d bytes, where %d are the most", len(out)-q.network, n.mtu)
	}
	given, got := in[r.network:], out[q.network:]
	switch f.dispatch {
	case dispatches["dr"]:
		if !bytes.Equal(given, got) {
			return errors.New("it is not what came")
		}
		return nil
	case dispatches["nat"]:
		return same(got, rewritten(in, r, f, n))
	}
	inner, err := o.judgeOuter(in, r, out, q, f, n)
	if err != nil {
		return err
	}
	return same(out[inner:q.end], hopped(in[:r.end], r))
}

func same(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("it is not what it should be:\nwant %x\ngot  %x", want, got)
	}
	return nil
}

// judgeFrame looks at the Ethernet header.
func (o *oracle) judgeFrame(port string, v verdict, out []byte, q reading, mac [6]byte, by string, tag uint16) error {
	want := sent
	if by != port {
		want = redirected
	}
	var tags []uint16
	if tag != 0 {
		tags = []uint16{tag}
	}
	from := places[by].mac
	switch {
	case v != want:
		return fmt.Errorf("got %s, want %s", v, want)
	case !bytes.Equal(out[:6], mac[:]) || !bytes.Equal(out[6:12], from[:]):
		return fmt.Errorf("the frame goes from %x to %x, want from %x to %x", out[6:12], out[:6], from, mac)
	case !slices.Equal(q.tags, tags):
		return fmt.Errorf("it has tags %v, want %v", q.tags, tags)
	}
	return nil
}

// judgeOuter looks at what a tunnel adds, and says where the packet in it begins.
func (o *oracle) judgeOuter(in []byte, r reading, out []byte, q reading, f *offer, n target) (int, error) {
	me := places[n.by]
	if n.tag != 0 {
		me = places["me5"]
	}
	from, inside := me.four, uint8(4)
	if n.addr.Is6() {
		from = me.six
	}
	if r.six {
		inside = 41
	}
	at, proto := q.above, q.proto
	if f.dispatch == dispatches["gue"] {
		u := out[q.above:q.end]
		if q.proto != uint8(UDP) || len(u) < 12 {
			return 0, fmt.Errorf("protocol %d is not UDP", q.proto)
		}
		if !(be16(u[6:]) == 0) && q.residue(out) != 0 {
			return 0, errors.New("the outer UDP checksum is wrong")
		}
		if be16(u[2:]) != f.gue || int(be16(u[4:])) != len(u) || u[8] != 0 || be16(u[10:]) != 0 {
			return 0, fmt.Errorf("the UDP or GUE header is wrong: %x", u[:12])
		}
		at, proto = at+12, u[9]
	}
	switch {
	case q.src != from || q.dst != n.addr:
		return 0, fmt.Errorf("the tunnel goes from %s to %s, want from %s to %s", q.src, q.dst, from, n.addr)
	case q.hops != 64:
		return 0, fmt.Errorf("the outer packet has %d hops", q.hops)
	case q.headResidue(out) != 0:
		return 0, errors.New("the outer header's checksum is wrong")
	case q.end != len(out) && !bytes.Equal(out[q.end:], in[r.end:]): // what pads a frame may go with it
		return 0, fmt.Errorf("the outer header counts %d bytes, there are %d", q.end, len(out))
	case proto != inside:
		return 0, fmt.Errorf("the outer header says that protocol %d is inside, want %d", proto, inside)
	}
	return at, nil
}

// replace writes over some bytes and mends the checksum at sumAt as RFC 1624 has it, unless that is -1.
func replace(b []byte, at int, with []byte, sumAt int, udp bool) {
	old := bytes.Clone(b[at : at+len(with)])
	copy(b[at:], with)
	if sumAt < 0 {
		return
	}
	total := uint32(^be16(b[sumAt:]))
	for i := 0; i < len(with); i += 2 {
		total += uint32(^be16(old[i:])) + uint32(be16(with[i:]))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	s := ^uint16(total)
	if udp && s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(b[sumAt:], s)
}

// hopped is the packet one hop on.
func hopped(b []byte, r reading) []byte {
	p := bytes.Clone(b[r.network:])
	if r.six {
		p[7]--
	} else {
		replace(p, 8, []byte{p[8] - 1, p[9]}, 10, false)
	}
	return p
}

// rewritten is what nat makes of a packet for a node.
func rewritten(in []byte, r reading, f *offer, n target) []byte {
	p := hopped(in, r)
	if r.failed(in) {
		return turned(p, r, true, true, n.addr, n.port)
	}
	renamed(p, r, true, n.addr, n.port)
	return p
}

// sums says where the checksum of the layer above is, -1 if there is none to mend.
func (r *reading) sums(p []byte) int {
	at := r.above - r.network
	switch {
	case r.later || !r.ports:
		return -1
	case r.proto == uint8(TCP):
		return at + 16
	case be16(p[at+6:]) == 0: // there is none (RFC 768)
		return -1
	}
	return at + 6
}

// renamed gives a packet another destination, or another source.
func renamed(p []byte, r reading, to bool, addr netip.Addr, port uint16) {
	udp := r.proto == uint8(UDP)
	above := r.sums(p)
	at, old := 12, 0
	if to {
		at, old = 16, 2
	}
	if r.six {
		at = 8
		if to {
			at = 24
		}
	}
	was := bytes.Clone(p[at : at+len(addr.AsSlice())])
	if r.six {
		copy(p[at:], addr.AsSlice())
	} else {
		replace(p, at, addr.AsSlice(), 10, false)
	}
	if above >= 0 { // the address is in its pseudo header
		patched := append(append([]byte(nil), was...), p[above], p[above+1])
		replace(patched, 0, addr.AsSlice(), len(was), udp)
		copy(p[above:], patched[len(was):])
	}
	if r.ports && port != 0 {
		replace(p, r.above-r.network+old, binary.BigEndian.AppendUint16(nil, port), above, udp)
	}
}
