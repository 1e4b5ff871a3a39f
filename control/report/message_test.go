package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"muster/cluster"
	"muster/internal/wire"
)

var allMessage = cmp.AllowUnexported(message{})

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9-]{1,8}`)
		want := message{
			load: cluster.Load{
				Index: cluster.Index(rapid.Uint64().Draw(t, "index")),
				Room:  cluster.Index(rapid.Uint64().Draw(t, "room")),
				Busy:  rapid.Uint16Range(0, 1000).Draw(t, "busy"),
				Apps: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cluster.App {
					return cluster.App{Pool: name.Draw(t, "pool"), Up: rapid.Bool().Draw(t, "up"), Reason: rapid.StringN(0, 5, 10).Draw(t, "reason")}
				}), 0, 16).Draw(t, "apps"),
				Hears: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cluster.Hearing {
					return cluster.Hearing{Director: name.Draw(t, "director"), LAN: rapid.Byte().Draw(t, "lan"), Silent: rapid.Uint32().Draw(t, "silent")}
				}), 0, 16).Draw(t, "hears"),
			},
			ram:     rapid.Uint64().Draw(t, "ram"),
			leaving: rapid.Bool().Draw(t, "leaving"),
		}
		b, err := want.append(nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeMessage(append(b, "a later field"...), &message{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, allMessage, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		for i := range b {
			if _, err := decodeMessage(b[:i], &got); err == nil {
				t.Errorf("the first %d of %d bytes: no error", i, len(b))
			}
		}
	})
}

func TestLongReasonsAreCutToFit(t *testing.T) {
	m := message{load: cluster.Load{Apps: []cluster.App{
		{Pool: "web", Reason: strings.Repeat("ü", 700)}, {Pool: "api", Up: true}, {Pool: "media", Reason: "short"},
	}}}
	const size = 120
	b, err := m.append(nil, size)
	if err != nil || len(b) > size {
		t.Fatalf("got %d bytes, %v, want at most %d", len(b), err, size)
	}
	got, err := decodeMessage(b, &message{})
	if err != nil {
		t.Fatal(err)
	}
	if r := got.load.Apps[0].Reason; len(r) < 20 || strings.Trim(r, "ü") != "" || got.load.Apps[2].Reason != "short" {
		t.Errorf("got %+v, want the first reason cut at a letter, the others whole", got.load.Apps)
	}
	if _, err := m.append(nil, 40); err == nil {
		t.Error("no room for the names: no error")
	}
}

func TestDecodingTheSameAgainAllocatesNoNames(t *testing.T) {
	m := message{load: cluster.Load{
		Apps:  []cluster.App{{Pool: "a pool with a name", Reason: "a reason that is long"}},
		Hears: []cluster.Hearing{{Director: "a director with a name"}},
	}}
	b, _ := m.append(nil, 1000)
	old, _ := decodeMessage(b, &message{})
	if n := testing.AllocsPerRun(100, func() { old, _ = decodeMessage(b, &old) }); n > 2 {
		t.Errorf("got %v allocations, want 2: the slices", n)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	m := message{ram: 5, load: cluster.Load{
		Index: 7, Apps: []cluster.App{{Pool: "web", Reason: "no"}}, Hears: []cluster.Hearing{{Director: "d1", LAN: 1, Silent: 9}},
	}}
	b, _ := m.append(nil, 1000)
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{format})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeMessage(b, &m)
		if err != nil {
			return
		}
		if len(got.load.Apps) > MaxApps || len(got.load.Hears) > MaxHearings || got.load.Busy > 1000 {
			t.Errorf("out of bounds: %+v", got)
		}
		again, err := got.append(nil, wire.MaxDatagram*100)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeMessage(again, &message{})
		if d := cmp.Diff(got, back, allMessage, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("%v, -decoded +decoded again:\n%s", err, d)
		}
	})
}

func FuzzDecodeBeacon(f *testing.F) {
	f.Add(beacon{1, 2}.append(nil))
	f.Add([]byte{format, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeBeacon(b)
		if err == nil && string(v.append(nil)) != string(b[:17]) {
			t.Errorf("%x: got %+v", b, v)
		}
	})
}
