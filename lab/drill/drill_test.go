package drill

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"muster/lab/load"
	"muster/lab/site"
)

func TestAResultHasTheAgreedForm(t *testing.T) {
	r := &Result{Steps: []Step{}}
	r.add(Step{Name: "one", Requests: 100, LongestGap: 12.5})
	r.add(Step{Name: "two", Requests: 50, Failed: 3, Broken: 1, Errors: map[string]int64{"closed": 2, "reset": 1}})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	steps := got["steps"].([]any)
	delete(got, "steps")
	if diff := cmp.Diff(map[string]any{"requests": 150.0, "failed": 3.0, "broken": 1.0}, got); diff != "" {
		t.Error(diff)
	}
	one := steps[0].(map[string]any)
	if one["name"] != "one" || one["requests"] != 100.0 || one["failed"] != 0.0 || one["longest_gap_ms"] != 12.5 {
		t.Errorf("step: %v", one)
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "two (closed 2, reset 1)\n") || strings.Count(table.String(), "\n") != 4 {
		t.Errorf("table:\n%s", &table)
	}
}

func TestBrokenIsWhatACutOrAWrongAnswerIs(t *testing.T) {
	for kind, want := range map[load.Kind]bool{
		load.Truncated: true, load.Reset: true, load.WrongBody: true, load.WrongLength: true, load.Malformed: true,
		load.BadStatus: false, load.Refused: false, load.Timeout: false, load.Closed: false,
	} {
		if got := broken(kind); got != want {
			t.Errorf("%v: got %v, want %v", kind, got, want)
		}
	}
}

func TestDocumentsAreCopiedBesideAnArchive(t *testing.T) {
	from := t.TempDir()
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"index.html": "hello", "sub/a.txt": strings.Repeat("a", 1<<20)} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := site.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	got, large, err := documents(filepath.Join(t.TempDir(), "documents"), tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(tree.Files, large) {
		b, err := os.ReadFile(filepath.Join(got.Root, f.Path))
		if err != nil || int64(len(b)) != f.Size || xxhash.Sum64(b) != f.Sum {
			t.Errorf("%s: %d bytes, want %d; %v", f.Path, len(b), f.Size, err)
		}
	}
	if large.Size < archiveSize {
		t.Errorf("the archive has %d bytes, want at least %d", large.Size, archiveSize)
	}
}

func TestADrillTakesThreeNodes(t *testing.T) {
	_, err := Run(t.Context(), Config{Program: "/nonexistent", Nodes: 2})
	if err == nil || !strings.Contains(err.Error(), "give it more than 2") {
		t.Errorf("got %v", err)
	}
}
