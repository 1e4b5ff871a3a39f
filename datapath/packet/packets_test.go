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
	playConversations(t, newGround(t, smallMaps))
}

// TestEveryReasonIsShown looks for a conversation about each reason that the program counts.
func TestEveryReasonIsShown(t *testing.T) {
	spec, err := loadDirector()
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := reasonWords(spec)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/packets/*.txt") // the pattern is right
	shown := map[string]bool{
		"full": true, "unheard": true, // what has no room: see xdp_pressure_test.go
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if why, ok := strings.CutPrefix(line, "why "); ok {
				for _, w := range strings.Fields(why) {
					w, _, _ = strings.Cut(w, "*")
					shown[w[strings.IndexByte(w, ':')+1:]] = true
				}
			}
		}
	}
	for _, reason := range reasons {
		if !shown[reason] {
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
