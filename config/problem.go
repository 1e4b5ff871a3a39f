package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"muster/internal/nearest"
)

// A Problem is one thing that is wrong with a file.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 when there is no place to point at
	Path         string // such as services.www.schedule; empty for the file as a whole
	Text         string // what is wrong
	Hint         string // what to write instead; may be empty
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are all that is wrong with a file, in its order. As an error they print one a line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// meant is the hint for a word that is none of the candidates.
func meant(word string, candidates []string, what string) string {
	if n := nearest.Word(word, candidates); n != "" {
		return "did you mean " + n + "?"
	}
	switch {
	case len(candidates) == 0:
		return "there are no " + what
	case len(candidates) > 20:
		return fmt.Sprintf("%s: %s, and %d more", what, strings.Join(candidates[:10], ", "), len(candidates)-10)
	}
	return what + ": " + strings.Join(candidates, ", ")
}
