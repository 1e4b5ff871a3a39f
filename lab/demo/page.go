package demo

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// NodeFile is the page of the demo's own site that only says who answers.
const NodeFile = "node.txt"

// makeSite writes a node's copy of the demo's own site: the pages say which node has answered.
//
// As they differ from node to node, so must their dates: pages of one length and one date would have one ETag, which says
// that they are the same.
func makeSite(root, node string, number int) error {
	var b strings.Builder
	if err := page.Execute(&b, map[string]string{"Node": node, "NodeFile": NodeFile}); err != nil {
		return fmt.Errorf("make the demo's page: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("make the demo's site: %w", err)
	}
	date := time.Now().Add(-time.Duration(number) * time.Hour)
	for name, text := range map[string]string{"index.html": b.String(), NodeFile: node + "\n"} {
		path := filepath.Join(root, name)
		err := os.WriteFile(path, []byte(text), 0o644)
		if err == nil {
			err = os.Chtimes(path, date, date)
		}
		if err != nil {
			return fmt.Errorf("make the demo's site: %w", err)
		}
	}
	return nil
}
