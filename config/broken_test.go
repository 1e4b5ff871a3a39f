package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what Parse says into the files of testdata/broken")

// Every file of testdata/broken ends with the messages that it must give, each after "# want: " and without the file's
// name.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("got %d files (%v), want at least 60", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := strings.Cut(string(data), "# want: ")
			want := strings.TrimPrefix(string(data), text)
			_, err = Parse("/etc/muster/cluster.yaml", []byte(text))
			var got strings.Builder
			var problems Problems
			if errors.As(err, &problems) {
				for _, p := range problems {
					got.WriteString("# want: " + strings.TrimPrefix(p.String(), "/etc/muster/cluster.yaml:") + "\n")
				}
			}
			if *update {
				if err := os.WriteFile(path, []byte(text+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want == "" || want != got.String() {
				t.Errorf("messages differ (-want +got):\n%s", cmp.Diff(want, got.String()))
			}
		})
	}
}
