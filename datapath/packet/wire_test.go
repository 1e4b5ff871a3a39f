package packet

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// What the Go side knows of bpf/types.h by heart.
func TestWhatTheProgramSays(t *testing.T) {
	text, err := os.ReadFile("bpf/types.h")
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+) +(\d+)`).FindAllSubmatch(text, -1) {
		defined[string(m[1])], _ = strconv.Atoi(string(m[2]))
	}
	for name, got := range map[string]int{
		"LAYOUT": layout, "SERVICES": mostServices + 2, "FRONTS": mostFronts, "NODES": mostNodes, "MEMBERS": mostMembers, "SLOTS": mostSlots,
	} {
		if got != defined[name] {
			t.Errorf("%s: got %d, want %d", name, got, defined[name])
		}
	}
	var names []string
	_, enum, _ := strings.Cut(string(text), "enum reason {")
	enum, _, _ = strings.Cut(enum, "REASONS")
	for _, m := range regexp.MustCompile(`(?m)^\tR_(\w+)`).FindAllStringSubmatch(enum, -1) {
		names = append(names, strings.ReplaceAll(strings.ToLower(m[1]), "_", "-"))
	}
	if diff := cmp.Diff(names, Reasons()); diff != "" {
		t.Errorf("reasons: %s", diff)
	}
	if n := unsafe.Sizeof(bookEntry{}); n != uintptr(bookSpec.ValueSize) {
		t.Errorf("an entry of the book has %d bytes, want %d", n, bookSpec.ValueSize)
	}
	for _, pick := range pickOf {
		if pick < directorPickBY_TURN || pick > directorPickLEAST {
			t.Errorf("got pick %d", pick)
		}
	}
}
