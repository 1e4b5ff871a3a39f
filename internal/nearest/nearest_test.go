package nearest

import "testing"

func TestTheWordThatWasMeant(t *testing.T) {
	candidates := []string{"rr", "wrr", "lc", "wlc", "random", "least-time", "has", "load"}
	for word, want := range map[string]string{
		"leasttime": "least-time", "ran": "random", "lod": "load", "hsa": "has", "wrrr": "wrr", "LOAD": "load",
		"maglev": "", "": "", "x": "", "rnadom": "random",
	} {
		if got := Word(word, candidates); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
