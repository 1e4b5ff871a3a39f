package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteDrawsBarsAndLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.svg")
	err := Write(file,
		Panel{Title: "CPU", Y: "µs", Groups: []string{"1 kB", "64 kB"}, Series: []Series{{Name: "muster", Y: []float64{1, 2}}, {Name: "nginx", Y: []float64{3, 4}}}},
		Panel{Title: "Ladder", X: "clients", Y: "requests/s", Series: []Series{{Name: "has", X: []float64{1, 4, 8}, Y: []float64{143, 567, 917}}}},
		Panel{Title: "Growth", X: "KiB", Y: "nodes", Log: true, Series: []Series{{Name: "dr", X: []float64{1, 1024}, Y: []float64{10, 5000}}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"muster", "nginx", "has", "Ladder", "64 kB", "Growth", "100"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s is not in the drawing", want)
		}
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	if err := Write(filepath.Join(t.TempDir(), "no", "x.svg")); err == nil {
		t.Error("no error for a directory that is not there")
	}
}
