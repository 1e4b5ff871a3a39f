package live

import (
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
)

// A cell is one entry of a table.
type cell struct {
	text  string
	style lipgloss.Style
}

// A column is one of a table.
type column struct {
	name  string
	right bool // its entries are figures
	least int  // above 0: it is cut down to this where the table is too wide
	spare int  // above 0: then it is left out, those with the least number first
}

// gap stands between columns.
const gap = "  "

var (
	faint  = lipgloss.NewStyle().Faint(true)
	strong = lipgloss.NewStyle().Bold(true)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	turns  = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	bad    = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
)

// layout writes a table in at most width columns, if that can be; width 0 is any. Without colours it is plain text. A
// column in which no row has anything is left out.
func layout(columns []column, rows [][]cell, width int, colours bool) string {
	wide := make([]int, len(columns))
	for i := range columns {
		for _, r := range rows {
			wide[i] = max(wide[i], lipgloss.Width(r[i].text))
		}
		if wide[i] > 0 {
			wide[i] = max(wide[i], len(columns[i].name))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	shrink(columns, wide, width)
	var b strings.Builder
	head := make([]cell, len(columns))
	for i, c := range columns {
		head[i] = cell{c.name, faint}
	}
	for _, r := range append([][]cell{head}, rows...) {
		line := ""
		for i, c := range r {
			if wide[i] == 0 {
				continue
			}
			text := cut(c.text, wide[i])
			pad := strings.Repeat(" ", wide[i]-lipgloss.Width(text))
			if colours {
				text = c.style.Render(text)
			}
			if columns[i].right {
				text = pad + text
			} else {
				text += pad
			}
			line += text + gap
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// shrink leaves out columns until the others fit, those that can be cut at their least, and gives these what is left.
func shrink(columns []column, wide []int, width int) {
	if width == 0 {
		return
	}
	natural := slices.Clone(wide)
	for i, c := range columns {
		if c.least > 0 {
			wide[i] = min(wide[i], c.least)
		}
	}
	room := func() int {
		all := -len(gap)
		for _, w := range wide {
			if w > 0 {
				all += w + len(gap)
			}
		}
		return width - all
	}
	for room() < 0 {
		out := -1
		for i, c := range columns {
			if c.spare > 0 && wide[i] > 0 && (out < 0 || c.spare < columns[out].spare) {
				out = i
			}
		}
		if out < 0 {
			return
		}
		wide[out] = 0
	}
	for i, c := range columns {
		if c.least > 0 && wide[i] > 0 {
			wide[i] = min(natural[i], wide[i]+room())
		}
	}
}

// cut shortens a text to so many columns.
func cut(s string, width int) string {
	if lipgloss.Width(s) <= width {
		return s
	}
	out := ""
	for _, r := range s {
		if lipgloss.Width(out)+lipgloss.Width(string(r)) > width-1 {
			break
		}
		out += string(r)
	}
	return out + "…"
}
