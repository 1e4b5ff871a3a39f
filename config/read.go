package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// MaxSize is the most that a file may have, in bytes.
const MaxSize = 4 << 20

// Read reads and checks a file. If the file can be read but is wrong, the error is of type Problems.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's file: %w", err)
	}
	return Parse(path, data)
}

// Parse checks the text of a file. The name stands in messages, and relative paths in the text are relative to its
// directory. It looks at nothing but the text; see File.CheckHost. An error is of type Problems.
func Parse(name string, data []byte) (*File, error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, Problems{{File: name, Text: "the directory that its paths are relative to is unknown: " + err.Error(), Hint: "give an absolute path"}}
	}
	d := &decoder{file: name, dir: dir, at: map[string]mark{}, bad: map[string]bool{}}
	f := &File{}
	if root := d.load(data); root != nil && d.decode(root, f) {
		d.fill(f)
		d.check(f)
	}
	if d.count > 0 {
		return nil, d.report()
	}
	return f, nil
}

// load makes nodes of the text; nil if it is not one YAML document with a mapping in it.
func (d *decoder) load(data []byte) *yaml.Node {
	if len(data) > MaxSize {
		d.note(mark{}, "", fmt.Sprintf("the file is larger than %s", Bytes(MaxSize)), "")
		return nil
	}
	if m, r := unreadable(data); m.line > 0 {
		d.note(m, "", fmt.Sprintf("there is a byte or character that text cannot have (%#x)", r), "the file must be UTF-8 text")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		d.note(mark{}, "", "cannot be read as YAML: "+err.Error(), "")
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		d.note(mark{1, 1}, "", "the file is empty", "begin with cluster: and its name")
		return nil
	case err != nil:
		d.broken(err, data)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		d.note(mark{second.Line, second.Column}, "", "a second document begins here", "a file has one; take out the line ---")
	case !errors.Is(err, io.EOF):
		d.broken(err, data)
	}
	if len(doc.Content) != 1 {
		d.note(mark{1, 1}, "", "the file is empty", "begin with cluster: and its name")
		return nil
	}
	return doc.Content[0]
}

// broken notes what the YAML parser says.
func (d *decoder) broken(err error, data []byte) {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		d.note(mark{1, 1}, "", "this is not YAML: "+err.Error(), "")
		return
	}
	m := mark{max(1, load.Mark.Line), max(1, load.Mark.Column)}
	if load.ContextMark.Line > 0 && strings.Contains(load.Message, "end of stream") {
		m = mark{load.ContextMark.Line, max(1, load.ContextMark.Column)} // what has no end is at fault, not the file's end
	}
	text := load.Message
	if load.ContextMsg != "" {
		text = load.ContextMsg + ": " + text
	}
	lines := bytes.Split(data, []byte("\n"))
	hint := ""
	switch line := string(lines[min(m.line, len(lines))-1]); {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		hint = "indent with spaces, not with tabs"
	case strings.Contains(text, "cannot start any token"):
		hint = "put the value in quotes"
	case strings.Contains(text, "mapping values"):
		hint = "put a value that has a colon in quotes, or begin a new line"
	case strings.Contains(text, "expected key"):
		hint = "keys that belong together begin in the same column"
	case strings.Contains(text, "quoted scalar"):
		hint = "a quote is not closed"
	case strings.Contains(text, "flow"):
		hint = "a [ or { is not closed, or a comma is missing"
	}
	d.note(m, "", "this is not YAML: "+text, hint)
}

// unreadable finds the first byte that is no text: not UTF-8, or a control character that YAML does not allow.
func unreadable(data []byte) (mark, rune) {
	line, column := 1, 1
	for i := 0; i < len(data); column++ {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return mark{line, column}, rune(data[i])
		case r == '\n':
			line, column = line+1, 0
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != 0x85:
			return mark{line, column}, r
		}
		i += n
	}
	return mark{}, 0
}
