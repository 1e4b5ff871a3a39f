package packet

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPacket has the program see two frames, each twice, and an oracle that shares nothing with it judge what it makes of
// them: the verifier sees to it that the program harms no memory, not that it harms no packet.
func FuzzPacket(f *testing.F) {
	for _, b := range conversationFrames(f) {
		f.Add(b, b)
	}
	made := &traffic{Rand: rand.New(rand.NewPCG(1, 2))}
	for range 200 {
		f.Add(must(f, made.next()), must(f, made.next()))
	}
	o := everything(f, newGround(f, smallMaps))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		o.forget(t)
		for _, b := range [][]byte{first, second, second, first} {
			if len(b) < 14 || len(b) > 1514 { // the kernel shows the program no other
				return
			}
			if _, _, err := o.run(t, "me", b); err != nil {
				t.Fatal(err)
			}
		}
		o.tally(t, 0)
	})
}

// TestRandomTraffic is the same with frames that are made up, some spoilt, one after the other, while nodes go and come
// back.
func TestRandomTraffic(t *testing.T) {
	randomTraffic(t, newGround(t, smallMaps), 20000)
}

func randomTraffic(t *testing.T, g *ground, frames int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	made := &traffic{Rand: rand.New(rand.NewPCG(seed, 0))}
	o := everything(t, g)
	for i := range frames {
		switch {
		case i%5000 == 4999:
			o.forget(t)
		case i%500 == 499:
			for label := range o.names {
				o.mark(t, label, made.IntN(8) == 0)
			}
			o.tally(t, 0)
		}
		text := made.next()
		b := made.spoil(must(t, text))
		if _, _, err := o.run(t, "me", b); err != nil {
			t.Fatalf("frame %d, %s: %v", i, text, err)
		}
	}
	o.tally(t, 0)
}

// must makes a frame that is right.
func must(t testing.TB, text string) []byte {
	t.Helper()
	b, err := frame(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// conversationFrames are the frames that go in in the conversations of testdata.
func conversationFrames(t testing.TB) (list [][]byte) {
	files, err := filepath.Glob("testdata/packets/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if in, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "in "); ok {
				if !strings.HasPrefix(in, "eth ") {
					in = "eth router > me / " + in
				}
				list = append(list, must(t, in))
			}
		}
	}
	return list
}
