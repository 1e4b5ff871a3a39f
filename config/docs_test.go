package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever copies a sample out of the documents must get a file that is right.
func TestSamplesInDocuments(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	samples := 0
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
			sample, _, whole := strings.Cut(part, "```")
			if !whole {
				t.Errorf("%s: a sample has no end", page)
			}
			if !strings.Contains(sample, "cluster:") {
				continue
			}
			samples++
			if _, err := Parse("cluster.yaml", []byte(sample)); err != nil {
				t.Errorf("%s: this sample is wrong:\n%s\n%v", page, sample, err)
			}
		}
	}
	if samples == 0 {
		t.Error("no samples were found")
	}
}
