package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// What a packet costs here is nobody's promise; that each was dispatched as it should be, Packet has seen to.
func TestPacketsAreMeasured(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: the program that dispatches can neither be loaded nor have a network of its own")
	}
	r, err := Packet(t.Context(), PacketOptions{Options: Options{Rounds: 1}, Packets: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]map[string]any
	_ = json.Unmarshal(text, &said) // what is no object is not looked at
	for _, kind := range []string{"dr", "tunnel", "nat"} {
		for _, figure := range []string{"known_ns", "new_ns"} {
			if _, ok := said[kind][figure].(float64); !ok {
				t.Errorf("there is no %s of %s in %s", figure, kind, text)
			}
		}
	}
	var table bytes.Buffer
	if err := r.Table(&table); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", &table)
	if err := r.Plot(filepath.Join(t.TempDir(), "packet.svg")); err != nil {
		t.Error(err)
	}
}
