package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
)

// decode reads a value of a map as the kernel has it.
func decode(b []byte, v any) error {
	return binary.Read(bytes.NewReader(b), binary.NativeEndian, v)
}

// A stage is a ground with services and nodes on it: what user space would have written.
type stage struct {
	*ground
	services []*directorService // by id less firstService
	names    map[string]uint32  // of nodes: their places in `nodes`
	nodes    []string           // the other way round, from firstNode
	members  map[uint32][]uint32
	fronts   uint32
	before   map[[2]uint32]uint64 // reasons, as they were when last looked at
	whole    map[directorFront]bool
}

// Places begin above 0, so that one which is read where nothing was written is seen.
const (
	firstService = 1
	firstNode    = 3
)

// newStage clears the ground of what an earlier one left.
func newStage(t testing.TB, g *ground) *stage {
	t.Helper()
	for _, m := range []*ebpf.Map{g.Services, g.Flows, g.Datagrams, g.Sources, g.Rates, g.Vlans, g.directorMaps.Ports} {
		wipe(t, m)
	}
	clear(g.firsts.buckets)
	for i := range uint32(64) {
		put(t, g.Nodes, i, directorNode{})
		put(t, g.NodeLive, i, directorNodeLive{})
		put(t, g.ServiceLive, i, directorServiceLive{})
		put(t, g.NodeCounts, i, make([]directorNodeCount, ebpf.MustPossibleCPU()))
		put(t, g.ServiceCounts, i, make([]directorServiceCount, ebpf.MustPossibleCPU()))
	}
	for id := range uint32(16) {
		if err := g.Tables.Delete(id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"me", "me2"} {
		put(t, g.directorMaps.Ports, g.ports[name], directorPort{Ifindex: g.ports[name], Mac: places[name].mac})
	}
	put(t, g.directorMaps.Ports, g.ports["me5"], directorPort{Ifindex: g.ports["me"], Vlan: vlan5, Mac: places["me5"].mac})
	put(t, g.Vlans, directorVlanKey{Ifindex: g.ports["me"], Vlan: vlan5}, g.ports["me5"])
	s := &stage{ground: g, names: map[string]uint32{}, members: map[uint32][]uint32{}, whole: map[directorFront]bool{}}
	g.epoch++ // no way that was found is known any more
	s.set(t, directorSetting{Events: 1<<31 - 1})
	g.drain(t)
	s.before = s.reasons(t)
	return s
}

// set writes the settings; the director's own addresses are those of its port on LAN A.
func (s *stage) set(t testing.TB, v directorSetting) {
	t.Helper()
	v.Epoch = s.epoch
	v.V4.W, v.V6.W = words(places["me"].four), words(places["me"].six)
	if err := s.Settings.Set(v); err != nil {
		t.Fatal(err)
	}
}

func wipe(t testing.TB, m *ebpf.Map) {
	t.Helper()
	var keys [][]byte
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	for it := m.Iterate(); it.Next(&key, &value); {
		keys = append(keys, bytes.Clone(key))
	}
	for _, k := range keys {
		if err := m.Delete(k); err != nil {
			t.Fatalf("clear %s: %v", m, err)
		}
	}
}

func put(t testing.TB, m *ebpf.Map, key, value any) {
	t.Helper()
	if err := m.Put(key, value); err != nil {
		t.Fatalf("write %s: %v", m, err)
	}
}

func get[V any](t testing.TB, m *ebpf.Map, key any) (v V) {
	t.Helper()
	if err := m.Lookup(key, &v); err != nil {
		t.Fatalf("read %s: %v", m, err)
	}
	return v
}

// words are an address as struct addr has it.
func words(a netip.Addr) (w [4]uint32) {
	b := a.As16() // an IPv4 address mapped
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return w
}

// swapped is a port as it stands in a packet.
func swapped(port uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, port))
}

// service adds one. Its first front comes with its first call of front.
func (s *stage) service(v directorService) uint32 {
	v.Id = firstService + uint32(len(s.services))
	v.GuePort = swapped(v.GuePort)
	s.services = append(s.services, &v)
	return v.Id
}

func (s *stage) front(t testing.TB, id uint32, vip netip.Addr, port uint16, proto Proto) {
	t.Helper()
	s.fronts++
	v := *s.services[id-firstService]
	v.Front = s.fronts
	key := directorFront{Port: swapped(port), Proto: uint8(proto)}
	key.Vip.W = words(vip)
	put(t, s.Fronts, v.Front, directorEntrance{Front: key, Service: v})
	if old, err := lookup[directorService](s.Services, key); err == nil && old != nil {
		put(t, s.Fronts, old.Front, directorEntrance{Front: key})
	}
	put(t, s.Services, key, v)
	if key.Port, key.Whole = 0, 1; !s.whole[key] {
		s.whole[key] = true
		put(t, s.Services, key, v)
	}
}

// node adds a node to a service's pool, of which it is one more member.
func (s *stage) node(t testing.TB, id uint32, label string, addr netip.Addr, n directorNode) {
	t.Helper()
	i := firstNode + uint32(len(s.nodes))
	n.Addr.W = words(addr)
	n.Port = swapped(n.Port)
	put(t, s.Nodes, i, n)
	s.names[label], s.nodes = i, append(s.nodes, label)
	s.members[id] = append(s.members[id], i)
}

// change writes a node anew.
func (s *stage) change(t testing.TB, label string, f func(*directorNode)) {
	t.Helper()
	n := get[directorNode](t, s.Nodes, s.names[label])
	f(&n)
	put(t, s.Nodes, s.names[label], n)
}

// share is one node's part of a table.
type share struct {
	node   string
	weight uint32
}

// table swaps in a share table. Without slots there is one for each node that has weight.
func (s *stage) table(t testing.TB, id uint32, shares []share, slots []string) {
	t.Helper()
	var v directorTable
	at := map[string]uint16{}
	for i, m := range shares {
		v.Member[i] = directorMember{Node: s.names[m.node], Weight: m.weight}
		at[m.node] = uint16(i)
		if len(slots) == 0 && m.weight > 0 {
			v.Slot[v.Slots] = uint16(i)
			v.Slots++
		}
	}
	v.Members = uint32(len(shares))
	for _, name := range slots {
		v.Slot[v.Slots] = at[name]
		v.Slots++
	}
	inner, err := ebpf.NewMap(s.inner())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	put(t, inner, uint32(0), &v)
	put(t, s.Tables, id, inner)
}

func (s *stage) inner() *ebpf.MapSpec {
	return &ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: uint32(binary.Size(directorTable{})), MaxEntries: 1, Flags: 1 << 10, // BPF_F_MMAPABLE
	}
}

// source puts a prefix on a service's list: 1 allow, 2 deny.
func (s *stage) source(t testing.TB, id uint32, p netip.Prefix, what uint32) {
	t.Helper()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	key := directorSourceKey{Prefixlen: 32 + uint32(bits), Service: id}
	key.Addr.W = words(p.Masked().Addr())
	put(t, s.Sources, key, what)
}

// watched is how many services' reasons are looked at.
const watched = 8

// reasons are the counters by service and reason, those that are not 0.
func (s *stage) reasons(t testing.TB) map[[2]uint32]uint64 {
	t.Helper()
	cpus := ebpf.MustPossibleCPU()
	places := watched * len(s.words)
	keys, values := make([]uint32, places), make([]uint64, places*cpus)
	if n, err := s.Reasons.BatchLookup(new(ebpf.MapBatchCursor), keys, values, nil); err != nil || n != places {
		t.Fatalf("read %d of %d reasons: %v", n, places, err)
	}
	found := map[[2]uint32]uint64{}
	for i, v := range values {
		if v > 0 {
			place := keys[i/cpus]
			found[[2]uint32{place / uint32(len(s.words)), place % uint32(len(s.words))}] += v
		}
	}
	return found
}

// why says which reasons have been counted since it was last asked, as "denied 2" for the first service, with the
// service's id ahead for others.
func (s *stage) why(t testing.TB) (list []string) {
	t.Helper()
	now := s.reasons(t)
	for service := range uint32(watched) {
		for reason := range uint32(len(s.words)) {
			at := [2]uint32{service, reason}
			n := now[at] - s.before[at]
			if n == 0 {
				continue
			}
			text := s.words[reason]
			if service != firstService {
				text = fmt.Sprintf("%d:%s", service, text)
			}
			if n != 1 {
				text = fmt.Sprintf("%s*%d", text, n)
			}
			list = append(list, text)
		}
	}
	s.before = now
	return list
}

// key is a flow's, as packets from `from` have it.
func key(proto Proto, from, to netip.AddrPort) (k directorFlowKey) {
	k.Src.W, k.Dst.W = words(from.Addr()), words(to.Addr())
	k.Sport, k.Dport, k.Proto = swapped(from.Port()), swapped(to.Port()), uint8(proto)
	return k
}

// find looks for a flow in one of the maps.
func find(t testing.TB, m flowMap, k directorFlowKey) (directorFlow, bool) {
	t.Helper()
	v, err := lookup[directorFlow](m, k)
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return directorFlow{}, false
	}
	return *v, true
}

// active is how many flows a node is counted to have.
func (s *stage) active(t testing.TB, label string) int64 {
	t.Helper()
	return get[directorNodeLive](t, s.NodeLive, s.names[label]).Active
}

// age makes all flows, first packets and datagrams older by that many seconds.
func (s *stage) age(t testing.TB, seconds uint64) {
	t.Helper()
	for k, v := range all[directorFlowKey, directorFlow](t, s.Flows) {
		v.Seen -= seconds * 1e9
		put(t, s.Flows, k, v)
	}
	for i := range s.firsts.buckets {
		for j := range s.firsts.buckets[i].First {
			s.firsts.buckets[i].First[j].Seen -= seconds * 1e9
		}
	}
	for k, v := range all[directorDatagramKey, directorDatagram](t, s.Datagrams) {
		v.Seen -= seconds * 1e9
		put(t, s.Datagrams, k, v)
	}
}

// all is what a map holds.
func all[K comparable, V any](t testing.TB, m *ebpf.Map) map[K]V {
	t.Helper()
	found := map[K]V{}
	var k K
	var v V
	it := m.Iterate()
	for it.Next(&k, &v) {
		found[k] = v
	}
	if err := it.Err(); err != nil {
		t.Fatalf("read %s: %v", m, err)
	}
	return found
}
