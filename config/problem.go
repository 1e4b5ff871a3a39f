package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// nearest returns the candidate that the word was probably meant to be, or nothing.
func nearest(word string, candidates []string) string {
	// A slip for each three letters, and one for each short word. A long word is no slip of anything.
	best, most := "", max(1, len(word)/3)
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		if abs(len(c)-len(word)) > most {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d <= most && d < len(c) {
			if best == "" || d < most {
				best, most = c, d
			}
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance counts the letters to put in, take out, replace, or swap with their neighbour to make a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// meant is the hint for a word that is none of the candidates.
func meant(word string, candidates []string, what string) string {
	if n := nearest(word, candidates); n != "" {
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
