package packet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackets plays the conversations of testdata/packets: frames in, and what must come of each, to the byte. A case
// begins with == and what it shows.
func TestPackets(t *testing.T) {
	g := newGround(t, smallMaps)
	playConversations(t, g)
	for _, reason := range g.words {
		switch reason {
		case "full", "unheard": // what has no room: see xdp_pressure_test.go
			continue
		}
		if !g.counted[reason] {
			t.Errorf("no conversation shows %s", reason)
		}
	}
}

func playConversations(t *testing.T, g *ground) {
	files, err := filepath.Glob("testdata/packets/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, c := range strings.Split("\n"+string(text), "\n== ")[1:] {
				name, lines, _ := strings.Cut(c, "\n")
				t.Run(name, func(t *testing.T) { (&script{stage: newStage(t, g), came: map[string]int{}}).run(t, lines) })
			}
		})
	}
}
