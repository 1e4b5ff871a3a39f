package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// pair returns a node and a director that know each other.
func pair(t testing.TB, key Key) (node, director *Party) {
	t.Helper()
	return party(t, key, "t1", Report, Beacon, "d1"), party(t, key, "d1", Beacon, Report, "t1", "t2")
}

func party(t testing.TB, key Key, name string, send, take Purpose, peers ...string) *Party {
	t.Helper()
	y, err := NewParty(key, name, send, take)
	if err != nil {
		t.Fatal(err)
	}
	if err := y.SetPeers(peers); err != nil {
		t.Fatal(err)
	}
	return y
}

func seal(t testing.TB, from *Party, to, payload string) []byte {
	t.Helper()
	b, err := from.Peer(to).Seal(nil, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// meet lets the two exchange datagrams until each has accepted the other's session.
func meet(t testing.TB, node, director *Party) {
	t.Helper()
	for range 3 {
		director.Open(seal(t, node, director.name, ""))
		node.Open(seal(t, director, node.name, ""))
	}
	if !node.Peer(director.name).Known() || !director.Peer(node.name).Known() {
		t.Fatal("the two do not accept each other after three exchanges")
	}
}

func want(t *testing.T, o Opened, v Verdict, payload string) {
	t.Helper()
	if o.Verdict != v || string(o.Payload) != payload {
		t.Errorf("got %v %q, want %v %q", o.Verdict, o.Payload, v, payload)
	}
}

func TestTwoThatNeverMetNeedThreeDatagrams(t *testing.T) {
	node, director := pair(t, NewKey())
	want(t, director.Open(seal(t, node, "d1", "first")), Unproven, "")
	want(t, node.Open(seal(t, director, "t1", "answer")), Accepted, "answer")
	o := director.Open(seal(t, node, "d1", "second"))
	want(t, o, Accepted, "second")
	if !o.First || !o.Newest || o.Sequence != 2 || o.Peer.Name() != "t1" {
		t.Errorf("got %+v, want the first and newest of t1, sequence 2", o)
	}
	o = director.Open(seal(t, node, "d1", "third"))
	want(t, o, Accepted, "third")
	if o.First {
		t.Error("the third datagram is said to begin a session")
	}
}

func TestRecordedSessionIsWorthless(t *testing.T) {
	key := NewKey()
	node, director := pair(t, key)
	var recorded [][]byte
	for range 5 {
		b := seal(t, node, "d1", "index 0")
		recorded = append(recorded, b)
		director.Open(b)
		b = seal(t, director, "t1", "")
		recorded = append(recorded, b)
		node.Open(b)
	}
	t.Run("in the same session", func(t *testing.T) {
		for _, b := range recorded {
			if v := director.Open(b).Verdict; v == Accepted {
				t.Errorf("a copy was accepted")
			}
		}
	})
	again := party(t, key, "t1", Report, Beacon, "d1")
	meet(t, again, director)
	t.Run("after the node's restart", func(t *testing.T) {
		for _, b := range recorded {
			if v := director.Open(b).Verdict; v == Accepted {
				t.Errorf("a datagram of the node's past life was accepted")
			}
		}
	})
	director = party(t, key, "d1", Beacon, Report, "t1")
	t.Run("after the director's restart", func(t *testing.T) {
		for _, b := range recorded {
			if director.Open(b).Verdict == Accepted || again.Open(b).Verdict == Accepted {
				t.Errorf("a recording was accepted")
			}
		}
	})
	meet(t, again, director)
}

func TestRefusals(t *testing.T) {
	key := NewKey()
	node, director := pair(t, key)
	meet(t, node, director)
	good := seal(t, node, "d1", "hello")
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	renamed := bytes.Clone(good)
	renamed[header+1] = '2'
	resequenced := bytes.Clone(good)
	resequenced[19]++
	old := bytes.Clone(good)
	old[0] = 2
	nameless := bytes.Clone(good)
	nameless[3] = 255
	otherKey := NewKey()
	for otherKey.id() == key.id() {
		otherKey = NewKey()
	}
	sameID := NewKey()
	for sameID.id() != key.id() {
		sameID = NewKey()
	}
	toOther := seal(t, party(t, key, "t1", Report, Beacon, "d2"), "d2", "hello")
	tests := []struct {
		name string
		b    []byte
		want Verdict
	}{
		{"nothing", nil, Malformed},
		{"short", good[:header], Malformed},
		{"no room for the name", nameless, Malformed},
		{"another version", old, Malformed},
		{"long", make([]byte, MaxDatagram+1), Malformed},
		{"another key", seal(t, party(t, otherKey, "t1", Report, Beacon, "d1"), "d1", ""), WrongKey},
		{"another key of the same number", seal(t, party(t, sameID, "t1", Report, Beacon, "d1"), "d1", ""), Forged},
		{"our own", seal(t, director, "t1", ""), Misplaced},
		{"unknown name", seal(t, party(t, key, "x9", Report, Beacon, "d1"), "d1", ""), Stranger},
		{"another's name", renamed, Forged},
		{"another sequence", resequenced, Forged},
		{"damaged", damaged, Forged},
		{"sealed for another director", toOther, Forged},
		{"good", good, Accepted},
		{"good again", good, Replayed},
	}
	if o := director.Open(append([]byte{version, ^director.id, byte(Report), 255}, make([]byte, 60)...)); o.Verdict != WrongKey || o.Claimed != nil {
		t.Errorf("another key and no room for the name: got %+v, want a wrong key of nobody", o)
	}
	for _, tt := range tests {
		o := director.Open(tt.b)
		if o.Verdict != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, o.Verdict, tt.want)
		}
		if got, want := o.Claimed != nil, tt.want == WrongKey || tt.want == Forged; got != want {
			t.Errorf("%s: tells whom it names: %v, want %v", tt.name, got, want)
		}
	}
}

func TestLateDatagramIsAcceptedOnceButIsNotNewest(t *testing.T) {
	node, director := pair(t, NewKey())
	meet(t, node, director)
	a, b := seal(t, node, "d1", "a"), seal(t, node, "d1", "b")
	if o := director.Open(b); o.Verdict != Accepted || !o.Newest {
		t.Errorf("got %+v, want it accepted as the newest", o)
	}
	if o := director.Open(a); o.Verdict != Accepted || o.Newest {
		t.Errorf("got %+v, want it accepted as a late one", o)
	}
	want(t, director.Open(a), Replayed, "")
}

func TestPeersThatStayKeepTheirSessions(t *testing.T) {
	node, director := pair(t, NewKey())
	meet(t, node, director)
	if err := director.SetPeers([]string{"t3", "t1"}); err != nil {
		t.Fatal(err)
	}
	want(t, director.Open(seal(t, node, "d1", "still here")), Accepted, "still here")
	if director.Peer("t2") != nil {
		t.Error("t2 is still a peer")
	}
	if err := director.SetPeers(make([]string, MaxPeers+1)); err == nil {
		t.Error("too many peers: no error")
	}
}

func TestPayloadHasABound(t *testing.T) {
	node, _ := pair(t, NewKey())
	b, err := node.Peer("d1").Seal(nil, make([]byte, MaxPayload("t1")))
	if err != nil || len(b) != MaxDatagram {
		t.Errorf("got %d bytes, %v, want %d bytes", len(b), err, MaxDatagram)
	}
	if _, err := node.Peer("d1").Seal(nil, make([]byte, MaxPayload("t1")+1)); err == nil {
		t.Error("one byte more: no error")
	}
}

// The window must agree with a set that forgets nothing.
func TestWindowProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		start := rapid.Uint64Range(1, 1<<40).Draw(t, "start")
		w.start(start)
		newest, seen := start, map[uint64]bool{}
		for _, d := range rapid.SliceOfN(rapid.Int64Range(-1500, 1500), 1, 200).Draw(t, "steps") {
			seq := uint64(int64(newest) + d)
			if int64(newest)+d < 0 {
				continue
			}
			fresh := seq > start && !seen[seq] && (seq > newest || newest-seq < Window)
			if got := w.fresh(seq); got != fresh {
				t.Fatalf("fresh(%d) with newest %d: got %v, want %v", seq, newest, got, fresh)
			}
			if fresh {
				w.note(seq)
				seen[seq] = true
				newest = max(newest, seq)
			}
		}
	})
}

// Whatever is done to a datagram, only the very bytes that the peer sealed are accepted.
func FuzzOpen(f *testing.F) {
	node, director := pair(f, Key{1})
	meet(f, node, director)
	good := seal(f, node, "d1", "payload")
	f.Add([]byte(nil))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(seal(f, director, "t1", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := director.Open(b); o.Verdict == Accepted && !bytes.Equal(b, good) {
			t.Errorf("accepted %x", b)
		}
	})
}

func TestOpenAndSealDoNotAllocate(t *testing.T) {
	node, director := pair(t, NewKey())
	meet(t, node, director)
	payload, b := make([]byte, 200), make([]byte, 0, MaxDatagram)
	copied := seal(t, node, "d1", "x")
	director.Open(copied)
	if n := testing.AllocsPerRun(100, func() {
		b, _ = node.Peer("d1").Seal(b[:0], payload)
		if o := director.Open(b); o.Verdict != Accepted {
			t.Fatal(o.Verdict)
		}
		director.Open(copied)
		b[len(b)-1]++
		b[19]++
		director.Open(b)
	}); n != 0 {
		t.Errorf("got %v allocations a round, want 0", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, bb := range []struct {
		name string
		size int
	}{{"200", 200}, {"1300", 1300}} {
		b.Run(bb.name, func(b *testing.B) {
			node, director := pair(b, NewKey())
			meet(b, node, director)
			d := seal(b, node, "d1", string(make([]byte, bb.size)))
			p := director.Peer("t1")
			b.ReportAllocs()
			for b.Loop() {
				p.window = window{} // so that the same bytes are new each time
				if o := director.Open(d); o.Verdict != Accepted {
					b.Fatal(o.Verdict)
				}
			}
		})
	}
	b.Run("forged", func(b *testing.B) {
		node, director := pair(b, NewKey())
		d := seal(b, node, "d1", string(make([]byte, 200)))
		d[len(d)-1] ^= 1
		b.ReportAllocs()
		for b.Loop() {
			director.Open(d)
		}
	})
}

func BenchmarkSeal200(b *testing.B) {
	node, _ := pair(b, NewKey())
	p, payload, buf := node.Peer("d1"), make([]byte, 200), make([]byte, 0, MaxDatagram)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = p.Seal(buf[:0], payload)
	}
}
