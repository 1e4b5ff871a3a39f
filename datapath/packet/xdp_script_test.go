package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var dispatches = map[string]uint8{"dr": 1, "ipip": 2, "gue": 3, "nat": 4}

var picks = map[string]uint8{"turn": 1, "source": 2, "flow": 3, "chance": 4, "two": 5, "least": 6}

var eventNames = []string{"none", "new", "established", "closed", "no_neighbour"}

var states = []string{"none", "syn", "established", "closing", "closed"}

// A script is a conversation with the program, a line each:
//
//	service DISPATCH [pick=turn lost=reset list deny hashed rate= burst= syn= established= closing= udp= gue=]
//	front[6] PLACE PORT tcp|udp     of the service named last, as all that follow
//	node[6] PLACE [as=LABEL port= limit= mtu= gone local]    with nat its replies are known too
//	table LABEL[=WEIGHT]... [: LABEL...]   shares, and after the colon the slots
//	allow PREFIX   deny PREFIX
//	mark LABEL [gone] [local] [limit=]     the node is so from now on
//	busy LABEL N                           the node has so many flows
//	age N                                  everything known is N seconds older
//	rest N                                 N milliseconds of what limits sources pass
//	events                                 forget those so far
//	port NAME mtu=                         the port's interface has that MTU
//	hear EVENT...                          only those are wanted from now on
//	forget ways                            the kernel is asked again
//
//	in[:PORT] FRAME     a frame comes in by port me (or me2); without eth it is from the router
//	again               the same once more
//	flood N FRAME       the frame N times; came VERDICT>=N VERDICT<N...: how often what came of it
//	tx FRAME, redirect PORT FRAME, pass, drop: what became of it, to the byte. In frames that go out, `in` is what came in,
//	and ? stands for what an outer header is free to have: flow=? of ip6, udp ? of gue
//	why REASON...       what was counted with it; without this line nothing must have been
//
//	flow[6] PROTO A PORT > B PORT : LABEL STATE [reply counted fin node_fin ack=]   it is in `flows`
//	first[6] ... : LABEL                          it is in `unconfirmed`
//	none[6] PROTO A PORT > B PORT                 it is in neither
//	mtu LABEL N         so much the path to the node carries, as far as is known
//	active LABEL N      count LABEL packets= bytes= flows= rpackets= rbytes=     service packets= ...
//	told EVENT...       new established closed no_neighbour: all since they were last asked for
type script struct {
	*stage
	id    uint32 // of the service named last
	frame []byte // the newest that went in
	port  string
	line  string
	came  map[string]int // verdicts of a flood
}

func (s *script) run(t *testing.T, text string) {
	pending := "" // what the newest frame has still to be counted as
	checked := true
	settle := func() {
		if !checked {
			if got, want := s.why(t), strings.Fields(pending); !slices.Equal(got, want) {
				t.Errorf("%s: got reasons %v, want %v", s.line, got, want)
			}
		}
		checked, pending = true, ""
	}
	var v verdict
	var out []byte
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if name, port, ok := strings.Cut(word, ":"); ok && name == "in" {
			word, s.port = name, port
		} else if word == "in" {
			s.port = "me"
		}
		if word == "in" || word == "again" {
			settle()
			s.line = line
			if word == "in" {
				if !strings.HasPrefix(rest, "eth ") {
					rest = "eth router > me / " + rest
				}
				s.frame = s.made(t, rest)
			}
			v, out = s.ground.run(t, s.port, s.frame)
			checked = false
			continue
		}
		switch word {
		case "flood":
			settle()
			s.line, checked = line, false
			n, text, _ := strings.Cut(rest, " ")
			s.frame, s.port = s.made(t, "eth router > me / "+text), "me"
			clear(s.came)
			for range number(n) {
				v, out = s.ground.run(t, s.port, s.frame)
				s.came[v.String()]++
			}
		case "why":
			pending = rest
		case "tx", "redirect", "pass", "drop":
			if word == "redirect" { // which port is in the source address
				_, rest, _ = strings.Cut(rest, " ")
			}
			s.verify(t, word, rest, v, out)
		default:
			if err := s.do(t, word, rest); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		if t.Failed() {
			t.Fatalf("that was at: %s\nafter: %s", line, s.line)
		}
	}
	settle()
}

// made is a frame that must be right.
func (s *script) made(t *testing.T, text string) []byte {
	t.Helper()
	b, err := frame(text, s.frame)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verify compares what the program said and left with what was wanted.
func (s *script) verify(t *testing.T, want, text string, v verdict, out []byte) {
	t.Helper()
	if v.String() != want {
		t.Errorf("got %s, want %s", v, want)
		if v == sent || v == redirected {
			t.Errorf("it sent %s", show(out))
		}
		return
	}
	var whole []byte
	switch want {
	case "drop":
		return
	case "pass":
		whole = s.frame
	default:
		whole = s.made(t, free(text, out))
	}
	if !bytes.Equal(whole, out) {
		at := 0
		for at < min(len(whole), len(out)) && whole[at] == out[at] {
			at++
		}
		t.Errorf("got %d bytes, want %d, different from byte %d on\ngot  %s\n%s\nwant %s\n%s", len(out), len(whole), at,
			show(out), hex.Dump(out), show(whole), hex.Dump(whole))
	}
}

// free fills in what a frame is free to have, written as ?: the flow label of an outer IPv6 header, the source port of GUE.
func free(text string, out []byte) string {
	r := read(out)
	if r.wrong == nil && r.six {
		text = strings.ReplaceAll(text, "flow=?", fmt.Sprintf("flow=%#x", binary.BigEndian.Uint32(out[r.network:])&0xfffff))
	}
	return strings.ReplaceAll(text, "udp ?", fmt.Sprintf("udp %d", r.sport))
}

// show describes a frame in one line.
func show(b []byte) string {
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	var names []string
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			names = append(names, fmt.Sprintf("eth %s > %s", l.SrcMAC, l.DstMAC))
		case *layers.IPv4:
			names = append(names, fmt.Sprintf("ip4 %s > %s ttl=%d id=%d len=%d sum=%#x", l.SrcIP, l.DstIP, l.TTL, l.Id, l.Length, l.Checksum))
		case *layers.IPv6:
			names = append(names, fmt.Sprintf("ip6 %s > %s hop=%d len=%d", l.SrcIP, l.DstIP, l.HopLimit, l.Length))
		case *layers.TCP:
			names = append(names, fmt.Sprintf("tcp %d > %d seq=%d ack=%d sum=%#x", l.SrcPort, l.DstPort, l.Seq, l.Ack, l.Checksum))
		case *layers.UDP:
			names = append(names, fmt.Sprintf("udp %d > %d sum=%#x", l.SrcPort, l.DstPort, l.Checksum))
		default:
			names = append(names, fmt.Sprintf("%s (%d)", l.LayerType(), len(l.LayerContents())))
		}
	}
	return strings.Join(names, " / ")
}

// do carries out a line that is about no frame.
func (s *script) do(t *testing.T, word, rest string) error {
	t.Helper()
	set, plain := map[string]string{}, []string{}
	for _, w := range strings.Fields(rest) {
		if k, v, ok := strings.Cut(w, "="); ok {
			set[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	n := func(key string, otherwise uint64) uint64 {
		if v, ok := set[key]; ok {
			return number(v)
		}
		return otherwise
	}
	has := func(w string) bool { return slices.Contains(plain, w) }
	name, six := strings.CutSuffix(word, "6")
	switch name {
	case "service":
		return s.newService(plain, set, n, has)
	case "front":
		vip, err := address(plain[0], six)
		if err == nil {
			s.front(t, s.id, vip, uint16(number(plain[1])), protoOf(plain[2]))
		}
		return err
	case "node":
		addr, err := address(plain[0], six)
		if err != nil {
			return err
		}
		label := plain[0]
		if v, ok := set["as"]; ok {
			label = v
		}
		s.node(t, s.id, label, addr, directorNode{
			Port: uint16(n("port", 0)), Limit: uint32(n("limit", 0)), Mtu: uint32(n("mtu", 0)), Flags: nodeFlags(has),
		})
		return nil
	case "table":
		return s.newTable(t, rest)
	case "allow", "deny":
		p, err := netip.ParsePrefix(plain[0])
		if err == nil {
			s.source(t, s.id, p, map[string]uint32{"allow": 1, "deny": 2}[word])
		}
		return err
	case "mark":
		s.change(t, plain[0], func(v *directorNode) {
			v.Flags = nodeFlags(has)
			v.Limit = uint32(n("limit", uint64(v.Limit)))
		})
	case "busy":
		put(t, s.NodeLive, s.names[plain[0]], directorNodeLive{Active: int64(number(plain[1]))})
	case "age":
		s.age(t, number(plain[0]))
	case "rest":
		for k, v := range all[directorRateKey, directorRate](t, s.Rates) {
			v.Full -= number(plain[0]) * 1e6
			put(t, s.Rates, k, v)
		}
	case "came":
		for _, w := range strings.Fields(rest) {
			if v, least, ok := strings.Cut(w, ">="); ok && s.came[v] < int(number(least)) {
				t.Errorf("got %v, want %s", s.came, w)
			} else if v, most, ok := strings.Cut(w, "<"); ok && s.came[v] >= int(number(most)) {
				t.Errorf("got %v, want %s", s.came, w)
			}
		}
	case "events":
		s.drain(t)
	case "hear":
		var events uint32
		for i, name := range eventNames {
			if has(name) {
				events |= 1 << i
			}
		}
		s.set(t, directorSetting{Events: events})
	case "port":
		p := get[directorPort](t, s.directorMaps.Ports, s.ports[plain[0]])
		p.Mtu = uint16(n("mtu", 0))
		put(t, s.directorMaps.Ports, s.ports[plain[0]], p)
	case "forget":
		s.epoch++
		s.set(t, directorSetting{Events: 1<<31 - 1})
	case "mtu":
		if got, want := get[directorNode](t, s.Nodes, s.names[plain[0]]).Mtu, uint32(number(plain[1])); got != want {
			t.Errorf("MTU: got %d, want %d", got, want)
		}
	case "flow", "first", "none":
		return s.known(t, name, plain, six, n)
	case "active":
		if got, want := s.active(t, plain[0]), int64(number(plain[1])); got != want {
			t.Errorf("got %d active flows, want %d", got, want)
		}
	case "count":
		return s.figures(t, plain[0], set)
	case "told":
		var got []string
		for _, e := range s.drain(t) {
			got = append(got, eventNames[e.Kind])
		}
		if !slices.Equal(got, plain) {
			t.Errorf("got events %v, want %v", got, plain)
		}
	default:
		return fmt.Errorf("there is no such line as %q", word)
	}
	return nil
}

func protoOf(name string) Proto { return map[string]Proto{"tcp": TCP, "udp": UDP}[name] }

func nodeFlags(has func(string) bool) (flags uint16) {
	if has("gone") {
		flags |= 1
	}
	if has("local") {
		flags |= 2
	}
	return flags
}

func (s *script) newService(plain []string, set map[string]string, n func(string, uint64) uint64, has func(string) bool) error {
	v := directorService{
		Dispatch: dispatches[plain[0]], Pick: picks["turn"], GuePort: uint16(n("gue", 6080)),
		Syn: uint32(n("syn", 10)), Established: uint32(n("established", 900)), Closing: uint32(n("closing", 30)), Udp: uint32(n("udp", 60)),
		Rate: uint32(n("rate", 0)), Burst: uint32(n("burst", 0)),
	}
	if v.Dispatch == 0 {
		return fmt.Errorf("there is no dispatch %q", plain[0])
	}
	if p, ok := set["pick"]; ok {
		v.Pick = picks[p]
	}
	if set["lost"] == "reset" {
		v.Lost = 1
	}
	for i, flag := range []string{"list", "deny", "hashed"} {
		if has(flag) {
			v.Flags |= 1 << i
		}
	}
	s.id = s.service(v)
	return nil
}

func (s *script) newTable(t *testing.T, text string) error {
	given, slots, _ := strings.Cut(text, ":")
	var shares []share
	for _, w := range strings.Fields(given) {
		name, weight, ok := strings.Cut(w, "=")
		if !ok {
			weight = "100"
		}
		if _, there := s.names[name]; !there {
			return fmt.Errorf("there is no node %q", name)
		}
		shares = append(shares, share{name, uint32(number(weight))})
	}
	s.table(t, s.id, shares, strings.Fields(slots))
	return nil
}

// known looks for a flow: PROTO A PORT > B PORT : LABEL STATE FLAG...
func (s *script) known(t *testing.T, where string, w []string, six bool, n func(string, uint64) uint64) error {
	t.Helper()
	if len(w) < 6 || where != "none" && len(w) < 8 {
		return errors.New("words are missing")
	}
	from, err := address(w[1], six)
	if err != nil {
		return err
	}
	to, err := address(w[4], six)
	if err != nil {
		return err
	}
	k := key(protoOf(w[0]), netip.AddrPortFrom(from, uint16(number(w[2]))), netip.AddrPortFrom(to, uint16(number(w[5]))))
	in := map[string]flowMap{"flow": s.Flows, "first": s.firsts}
	for name, m := range in {
		f, there := find(t, m, k)
		if there != (where == name) {
			t.Errorf("in %s: got %v (%+v), want %v", m, there, f, !there)
		}
		if !there || where != name {
			continue
		}
		if got := s.nodes[f.Node-firstNode]; got != w[7] {
			t.Errorf("its node: got %s, want %s", got, w[7])
		}
		if where == "flow" && states[f.State] != w[8] {
			t.Errorf("its state: got %s, want %s", states[f.State], w[8])
		}
		for i, flag := range []string{"reply", "counted", "fin", "node_fin"} {
			if where == "flow" && slices.Contains(w[8:], flag) != (f.Flags&(1<<i) != 0) {
				t.Errorf("its flag %s: got %v", flag, f.Flags&(1<<i) != 0)
			}
		}
		if got, want := f.Ack, uint32(n("ack", uint64(f.Ack))); got != want {
			t.Errorf("the client expects %d next, want %d", got, want)
		}
		if now := monotonic(t); f.Seen > now || now-f.Seen > 5e9 {
			t.Errorf("it was seen %d ns ago", int64(now-f.Seen))
		}
	}
	return nil
}

// figures compares counters of a node, or of the service.
func (s *script) figures(t *testing.T, who string, want map[string]string) error {
	t.Helper()
	got := map[string]uint64{}
	if who == "service" {
		for _, c := range get[[]directorServiceCount](t, s.ServiceCounts, s.id) {
			got["packets"] += c.Packets
			got["bytes"] += c.Bytes
			got["flows"] += c.Flows
			got["first"] += c.Unconfirmed
		}
	} else {
		i, ok := s.names[who]
		if !ok {
			return fmt.Errorf("there is no node %q", who)
		}
		for _, c := range get[[]directorNodeCount](t, s.NodeCounts, i) {
			got["packets"] += c.Packets
			got["bytes"] += c.Bytes
			got["flows"] += c.Flows
			got["rpackets"] += c.ReplyPackets
			got["rbytes"] += c.ReplyBytes
		}
	}
	for name, v := range want {
		if got[name] != number(v) {
			t.Errorf("%s of %s: got %d, want %s", name, who, got[name], v)
		}
	}
	return nil
}

// lookup reads a value that may not be there.
func lookup[V any](m interface{ Lookup(key, value any) error }, key any) (*V, error) {
	v := new(V)
	err := m.Lookup(key, v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	return v, err
}
