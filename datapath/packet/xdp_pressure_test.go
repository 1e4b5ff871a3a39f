package packet

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// numbered is a frame from the client of that number: each has an address of its own.
func numbered(whole []byte, n int) []byte {
	b := bytes.Clone(whole)
	binary.BigEndian.PutUint32(b[26:], 0x0b000000+uint32(n)) // 11.0.0.0/8
	b[24], b[25] = 0, 0
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum(b[14:34])))
	return b
}

// TestAFloodPushesNoFlowOut floods the director with first packets from everywhere: what is established goes on.
func TestAFloodPushesNoFlowOut(t *testing.T) {
	const flows, room, flood = 300, 1024, 20000
	s := newChooser(t, newGround(t, func(spec *ebpf.CollectionSpec) {
		smallMaps(spec)
		spec.Maps["unconfirmed"].MaxEntries = bucketsFor(room)
	}), "turn", []share{{"a", 1}, {"b", 1}, {"c", 1}}, nil)
	syn, more := must(t, "eth router > me / ip4 client > vip / tcp 40000 > 80 S"), must(t, "eth router > me / ip4 client > vip / tcp 40000 > 80 A")
	home := map[int]string{}
	at := func(b []byte) string {
		t.Helper()
		v, out := s.run(t, "me", b)
		if v != sent {
			t.Fatalf("got %s (%v), want it sent", v, s.why(t))
		}
		return string(out[:6])
	}
	for i := range flows {
		home[i] = at(numbered(syn, i))
		if got := at(numbered(more, i)); got != home[i] {
			t.Fatalf("flow %d: its second packet goes to %x, its first went to %x", i, got, home[i])
		}
	}
	for i := range flood {
		at(numbered(syn, 1<<20+i))
	}
	for i := range flows {
		if got := at(numbered(more, i)); got != home[i] {
			t.Errorf("flow %d: it goes to %x, it went to %x", i, got, home[i])
		}
	}
	active := s.active(t, "a") + s.active(t, "b") + s.active(t, "c")
	if active != flows {
		t.Errorf("got %d active flows, want %d", active, flows)
	}
	from := 0
	if n, last := s.firsts.read(&from, make([]directorFlowKey, 2*room), make([]directorFlow, 2*room)); n > room || n < room/2 || !last {
		t.Errorf("%d first packets are known, there is room for %d", n, room)
	}
	// A client comes through the flood.
	first := at(numbered(syn, 1<<19))
	if got := at(numbered(more, 1<<19)); got != first {
		t.Errorf("a new flow: its second packet goes to %x, its first went to %x", got, first)
	}
}

// TestEventsThatNobodyReads are left out, and counted.
func TestEventsThatNobodyReads(t *testing.T) {
	s := newChooser(t, newGround(t, smallMaps), "turn", []share{{"a", 1}}, nil)
	room := int(s.Events.MaxEntries()) / (binary.Size(directorEvent{}) + 8) // each has a header (BPF_RINGBUF_HDR_SZ)
	for range room + 100 {
		s.next(t)
	}
	if why := s.why(t); len(why) != 1 || !strings.HasPrefix(why[0], "unheard") {
		t.Errorf("got reasons %v, want events that were not heard", why)
	}
	if told := len(s.drain(t)); told == 0 || told > room {
		t.Errorf("%d events came through, there is room for %d", told, room)
	}
	s.next(t)
	if told := s.drain(t); len(told) != 1 {
		t.Errorf("then %d events came for one flow", len(told))
	}
}

// TestATableOfFlowsThatIsFull forgets what was not heard of for longest.
func TestATableOfFlowsThatIsFull(t *testing.T) {
	const room, flows = 1024, 5000
	s := newChooser(t, newGround(t, func(spec *ebpf.CollectionSpec) {
		smallMaps(spec)
		spec.Maps["flows"].MaxEntries = room
	}), "turn", []share{{"a", 1}, {"b", 1}, {"c", 1}}, nil)
	syn, more := must(t, "eth router > me / ip4 client > vip / tcp 40000 > 80 S"), must(t, "eth router > me / ip4 client > vip / tcp 40000 > 80 A")
	var busy []byte
	for i := range flows {
		_, first := s.run(t, "me", numbered(syn, i))
		v, second := s.run(t, "me", numbered(more, i))
		if v != sent || !bytes.Equal(first[:6], second[:6]) {
			t.Fatalf("flow %d: %s to %x, its first packet went to %x", i, v, second[:6], first[:6])
		}
		if i == 0 {
			busy = bytes.Clone(first[:6])
		}
		if _, out := s.run(t, "me", numbered(more, 0)); !bytes.Equal(out[:6], busy) { // this one never rests
			t.Fatalf("after %d flows the busiest is forgotten", i)
		}
	}
	if n := len(all[directorFlowKey, directorFlow](t, s.Flows)); n > room || n < room/2 {
		t.Errorf("%d flows are known, there is room for %d", n, room)
	}
	// What was forgotten is told so.
	s.why(t)
	if v, _ := s.run(t, "me", numbered(more, 1)); v != sent || len(s.why(t)) != 1 {
		t.Errorf("a flow that was forgotten: got %s, want a reset", v)
	}
}
