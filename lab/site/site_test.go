package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTreeHasTheDistributionItClaims(t *testing.T) {
	tree, _ := Config{}.list(t.TempDir())
	if len(tree.Files) != 6200 || !tree.Index {
		t.Fatalf("got %d files, index %v", len(tree.Files), tree.Index)
	}
	var below1k, below10k, below100k int
	for _, f := range tree.Files {
		switch {
		case f.Size < 1000:
			below1k++
		case f.Size < 10_000:
			below10k++
		case f.Size < 100_000:
			below100k++
		}
	}
	for _, part := range []struct {
		name     string
		n        int
		from, to float64
	}{{"below 1 kB", below1k, 0.34, 0.38}, {"1 to 10 kB", below10k, 0.48, 0.52}, {"10 to 100 kB", below100k, 0.12, 0.15}} {
		if got := float64(part.n) / 6200; got < part.from || got > part.to {
			t.Errorf("%s: %.3f of the files, want %.2f to %.2f", part.name, got, part.from, part.to)
		}
	}
	// HAS Table 12: 5,773 bytes an answer, of which a tenth is generated pages.
	if mean := tree.Bytes() / 6200; mean < 5500 || mean > 6000 {
		t.Errorf("mean size %d", mean)
	}
}

func TestATreeIsWrittenOnceAndRepaired(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Count: 50, Seed: 7}
	first, err := Make(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := Open(first.Root)
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]File{}
	for _, f := range listed.Files {
		byPath[f.Path] = f
	}
	for _, f := range first.Files {
		if byPath[f.Path] != f {
			t.Errorf("on disk %+v, want %+v", byPath[f.Path], f)
		}
	}
	before, err := os.Stat(first.Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Make(dir, cfg); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(first.Root); err != nil || !os.SameFile(before, after) {
		t.Errorf("written again though it was whole: %v", err)
	}
	if err := os.Remove(filepath.Join(first.Root, first.Files[3].Path)); err != nil {
		t.Fatal(err)
	}
	again, err := Make(dir, cfg)
	if err != nil || !again.whole() {
		t.Errorf("not repaired: %v", err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
}

func TestSizesAreExact(t *testing.T) {
	tree, err := Make(t.TempDir(), Config{Sizes: []int{1024, 65536}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{1024, 65536} {
		info, err := os.Stat(filepath.Join(tree.Root, tree.Files[i].Path))
		if err != nil || info.Size() != want || tree.Files[i].Size != want {
			t.Errorf("%+v: %v", tree.Files[i], err)
		}
	}
}

func TestPage(t *testing.T) {
	b, ok := Page("/page/42")
	if !ok || strings.Count(string(b), "42") < 20 || strings.ContainsAny(string(b), "\"'\\$") || len(b) < 2000 || len(b) > 4000 {
		t.Errorf("%v, %d bytes: %s", ok, len(b), b)
	}
	if string(b) != PageTemplate("42") {
		t.Error("the page is not its template")
	}
	for _, path := range []string{"/page/", "/page/x", "/page/1/2", "/pages/1", "/page/1234567"} {
		if _, ok := Page(path); ok {
			t.Errorf("%s has a page", path)
		}
	}
}

func TestOpenLeavesOutWhatCannotBeAskedFor(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"index.html", "a b.html", ".hidden", "x.txt", "x.txt.gz", "only.gz", "sub/y.html", "empty"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := name
		if name == "empty" {
			text = ""
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "out.html")); err != nil {
		t.Fatal(err)
	}
	tree, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Files {
		got = append(got, f.Path)
	}
	if diff := cmp.Diff(got, []string{"/index.html", "/only.gz", "/sub/y.html", "/x.txt"}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("no error for an empty directory")
	}
}

func TestDocs(t *testing.T) {
	tree, err := Docs()
	if err != nil {
		t.Skip(err)
	}
	if !tree.Index || len(tree.Files) < 5 {
		t.Errorf("%s: index %v, %d files", tree.Root, tree.Index, len(tree.Files))
	}
	t.Logf("%s: %d files, %d bytes", tree.Root, len(tree.Files), tree.Bytes())
}
