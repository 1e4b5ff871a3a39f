package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Whatever the text is, Parse ends with a file that can be shown and read again, or with problems that have a text.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../examples/*.yaml", "testdata/broken/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("/etc/muster/cluster.yaml", data)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("got %T, want problems", err)
			}
			for _, p := range problems {
				if p.Text == "" || p.Line < 0 {
					t.Fatalf("got a problem that says nothing: %+v", p)
				}
			}
			return
		}
		again, err := Parse("/etc/muster/cluster.yaml", file.Show())
		if err != nil {
			t.Fatalf("the shown file is refused: %v\n%s", err, file.Show())
		}
		if !reflect.DeepEqual(file, again) {
			t.Fatalf("the shown file is another:\n%s\nand\n%s", file.Show(), again.Show())
		}
	})
}
