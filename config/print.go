package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Show prints the file as it is in effect, with every default written out. What it prints parses to the same File.
func (f *File) Show() []byte {
	p := printer{}
	p.table(reflect.ValueOf(f).Elem(), scope{}, 0, never)
	return []byte(p.b.String())
}

// Defaults prints a file in which every key stands with what it means and its default. What has no default and may be
// left out is a comment with an example; what must be there has the example as its value.
func Defaults() []byte {
	f := reflect.New(reflect.TypeFor[File]()).Elem()
	specimen(f)
	p := printer{notes: true}
	p.b.WriteString("# Every key of cluster.yaml with its default. A key that may be left out and has no default is a comment.\n")
	p.table(f, scope{}, 0, never)
	return []byte(p.b.String())
}

// specimen gives every key its default or its example.
func specimen(v reflect.Value) {
	for _, k := range keysOf(v.Type()) {
		f := v.FieldByIndex(k.index)
		switch formOf(k.typ) {
		case tableForm:
			if f.Kind() == reflect.Pointer {
				f.Set(reflect.New(f.Type().Elem()))
				f = f.Elem()
			}
			specimen(f)
		case namedForm:
			one := reflect.New(f.Type().Elem()).Elem()
			one.FieldByName("Name").SetString(k.eg)
			specimen(one)
			f.Set(reflect.Append(f, one))
		default:
			if text := k.def + k.eg; text != "" {
				f.Set(k.parsed(text))
			}
		}
	}
}

// A printer writes YAML by the same keys that read it.
type printer struct {
	b     strings.Builder
	notes bool // what each key means, and keys that have no value
}

// never is an indentation that no line has.
const never = 1 << 10

// line writes one line; from the indentation off on, it is a comment.
func (p *printer) line(text string, indent, off int) {
	if indent >= off {
		text = strings.Repeat(" ", off) + "# " + strings.Repeat(" ", indent-off) + text
	} else {
		text = strings.Repeat(" ", indent) + text
	}
	p.b.WriteString(text + "\n")
}

func (p *printer) table(v reflect.Value, in scope, indent, off int) {
	in = scopeOf(v, in)
	for i, k := range keysOf(v.Type()) {
		f := v.FieldByIndex(k.index)
		if !p.notes && (!k.suits(in) || k.silent(f)) {
			continue
		}
		below := off
		if p.notes {
			if k.optional() || !k.suits(in) {
				below = min(off, indent)
			}
			if indent == 0 && i > 0 {
				p.b.WriteString("\n")
			}
			for _, l := range wrap(k.says(), 110-indent) {
				p.line("# "+l, indent, off)
			}
		}
		p.value(&k, f, in, indent, below)
	}
}

// optional says whether a key has neither a default nor a need to be there.
func (k *key) optional() bool {
	if k.required || k.shown || k.hasDefault || k.from != "" {
		return false
	}
	switch formOf(k.typ) {
	case tableForm:
		return k.typ.Kind() == reflect.Pointer
	case namedForm:
		return k.ref != ""
	}
	return true
}

func (p *printer) value(k *key, f reflect.Value, in scope, indent, off int) {
	switch formOf(k.typ) {
	case tableForm:
		t, _ := tableOf(f)
		p.line(k.name+":", indent, off)
		p.table(t, in, indent+2, off)
	case namedForm:
		p.line(k.name+":", indent, off)
		for j := range f.Len() {
			p.line(quoted(nameOf(f.Index(j)))+":", indent+2, off)
			p.table(f.Index(j), scope{}, indent+4, off)
		}
	default:
		p.line(k.name+": "+k.inline(f), indent, off)
	}
}

// silent says whether a key can be left out, for its absence means the same.
func (k *key) silent(f reflect.Value) bool {
	switch formOf(k.typ) {
	case listForm:
		return f.Len() == 0 && !k.hasDefault
	case tableForm:
		_, ok := tableOf(f)
		return !ok
	case textsForm, namedForm:
		return f.Len() == 0
	}
	return !k.hasDefault && k.from == "" && f.IsZero()
}

// inline writes a scalar, a list or a mapping of texts in one line.
func (k *key) inline(f reflect.Value) string {
	var parts []string
	switch formOf(f.Type()) {
	case listForm:
		for i := range f.Len() {
			parts = append(parts, k.inline(f.Index(i)))
		}
		if len(parts) == 1 && parts[0] == k.alone {
			return k.alone
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case textsForm:
		m := f.Interface().(map[string]string)
		for _, name := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, quoted(name)+": "+quoted(m[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	s := scalars[f.Type()]
	if s.plain {
		return s.format(f)
	}
	return quoted(s.format(f))
}

// plainText needs no quotes anywhere in YAML: nothing else begins or looks like it.
var plainText = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_./%+-]*(:[A-Za-z0-9_./%+-]+)*$`)

// quoted writes a text so that YAML reads the same one back. All that Go escapes, YAML escapes alike.
func quoted(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "y", "n":
		return strconv.Quote(s)
	}
	if plainText.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// says is a key's meaning and what it may be, as sentences.
func (k *key) says() string {
	text := k.doc
	if more := k.allows(); more != "" {
		text += " " + strings.ToUpper(more[:1]) + more[1:] + "."
	}
	if only := k.onlyFor(); only != "" {
		text += " Only for " + only + "."
	}
	if k.from != "" {
		text += fmt.Sprintf(" Default: that of `%s` at the top.", k.from)
	}
	if k.required {
		text += " Required."
	}
	return text
}

// allows says which values a key may have, where its type does not say it.
func (k *key) allows() string {
	t := k.typ
	if formOf(t) == listForm {
		t = t.Elem()
	}
	s, ok := scalars[t]
	switch {
	case !ok:
		return ""
	case s.words != nil:
		return "one of: " + strings.Join(s.words, ", ")
	}
	return k.span(t)
}

// wrap breaks a text into lines of up to width letters.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(line)+1+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}
