package muster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lineLimit is how long a file may be. A longer one holds a package that wants out.
const lineLimit = 800

// floors of the house, from the ground. A package may import what stands on a lower floor; on its own floor it may import
// only what has the same top folder. Districts so meet in the words of cluster, and are joined in role.
var floors = [][]string{
	{"cluster", "internal"},
	{"datapath", "control", "ha", "config", "identity", "storage", "dns", "delivery", "provision", "watch", "console", "backup"},
	{"role"},
	{"lab"},
	{"cmd"},
}

type goPackage struct {
	ImportPath, Dir, Doc               string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// packages lists what go list finds in this module, but for the root, which holds nothing but this test.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("go list printed what cannot be read: %v", err)
		}
		if p.ImportPath != "muster" {
			list = append(list, p)
		}
	}
}

// place is where a package of ours stands: its path below the module, its top folder, and its floor, -1 for none.
func place(importPath string) (path, top string, floor int) {
	path, ours := strings.CutPrefix(importPath, "muster/")
	if !ours {
		return "", "", -1
	}
	top, _, _ = strings.Cut(path, "/")
	return path, top, slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, top) })
}

func TestNoImportRunsUp(t *testing.T) {
	for _, p := range packages(t) {
		path, top, floor := place(p.ImportPath)
		if floor < 0 {
			t.Errorf("%s stands on no floor: name its top folder in arch_test.go", p.ImportPath)
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			other, otherTop, otherFloor := place(i)
			switch {
			case otherFloor < 0 || other == path: // not ours, or a test in a package of its own
			case otherFloor > floor:
				t.Errorf("%s imports %s, which stands above it", path, other)
			case otherFloor == floor && otherTop != top:
				t.Errorf("%s imports %s: they may meet only in cluster, and be joined only in role", path, other)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no doc comment", p.ImportPath)
		}
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestNoFileIsTooLong(t *testing.T) {
	for _, p := range packages(t) {
		kernel, err := filepath.Glob(filepath.Join(p.Dir, "bpf", "*.[ch]"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range kernel {
			kernel[i] = filepath.Join("bpf", filepath.Base(kernel[i]))
		}
		for _, name := range slices.Concat(p.GoFiles, kernel) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(text, []byte("\n")); n > lineLimit && !generated.Match(text) {
				t.Errorf("%s/%s has %d lines, want at most %d", p.ImportPath, name, n, lineLimit)
			}
		}
	}
}
