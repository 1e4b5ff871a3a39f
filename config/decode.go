package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// mark is a place in the text, from 1; the zero mark is no place.
type mark struct{ line, column int }

// A decoder makes a File of nodes, and remembers where each value stood.
type decoder struct {
	file, dir string
	at        map[string]mark // of each path that the text gives, and of each table's name
	bad       map[string]bool // paths of which something is wrong, and nothing more need be said
	problems  Problems
	count     int
}

// maxProblems bounds the answer to a file that is nothing but faults.
const maxProblems = 500

// note takes a problem up; the value at the path is not to be relied on.
func (d *decoder) note(m mark, path, text, hint string) {
	if path != "" {
		d.bad[path] = true
	}
	d.remark(m, path, text, hint)
}

// remark takes a problem up that leaves the value at the path as good as it is.
func (d *decoder) remark(m mark, path, text, hint string) {
	if d.count++; d.count <= maxProblems {
		d.problems = append(d.problems, Problem{File: d.file, Line: m.line, Column: m.column, Path: path, Text: text, Hint: hint})
	}
}

func (d *decoder) report() Problems {
	d.problems.sort()
	if more := d.count - len(d.problems); more > 0 {
		d.problems = append(d.problems, Problem{File: d.file, Text: fmt.Sprintf("%d more problems are not shown", more)})
	}
	return d.problems
}

// decode reads the root; false if that is not what a file can be.
func (d *decoder) decode(n *yaml.Node, f *File) bool {
	if n.Kind != yaml.MappingNode {
		d.note(where(n), "", found(n)+" stands where the keys of the file must be", "begin with cluster: and its name")
		return false
	}
	d.at[""] = where(n)
	d.table(n, reflect.ValueOf(f).Elem(), "")
	return true
}

func where(n *yaml.Node) mark { return mark{n.Line, n.Column} }

// table decodes the keys of a struct.
func (d *decoder) table(n *yaml.Node, v reflect.Value, path string) {
	keys := keysOf(v.Type())
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].name
	}
	d.entries(n, path, 4096, func(name string, at, value *yaml.Node) {
		i := slices.Index(names, name)
		if i < 0 {
			hint := ""
			if d.count < maxProblems {
				hint = meant(name, names, "keys here")
			}
			d.note(where(at), join(path, shown(name)), "unknown key", hint)
			return
		}
		if isNull(value) && formOf(keys[i].typ) != scalarForm && !keys[i].required {
			return // a heading with nothing below it
		}
		p := join(path, name)
		d.at[p] = where(value)
		d.value(value, v.FieldByIndex(keys[i].index), &keys[i], p)
	})
}

// entries calls take for each entry of a mapping whose key can be one.
func (d *decoder) entries(n *yaml.Node, path string, most int, take func(name string, at, value *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge" || key.Kind == yaml.ScalarNode && key.Value == "<<":
			d.note(where(key), join(path, "<<"), "merge keys are not supported", "write the keys out")
		case key.Kind != yaml.ScalarNode || isNull(key) || key.Value == "":
			d.note(where(key), path, found(key)+" cannot be a key", "write a name")
		case first[key.Value] > 0:
			d.remark(where(key), join(path, shown(key.Value)), "is given twice", fmt.Sprintf("it is given on line %d already", first[key.Value]))
		case len(first) >= most:
			d.note(where(key), path, fmt.Sprintf("has more than %d entries", most), "")
			return
		default:
			first[key.Value] = key.Line
			take(key.Value, key, value)
		}
	}
}

// value decodes one value of any form.
func (d *decoder) value(n *yaml.Node, v reflect.Value, k *key, path string) {
	f := formOf(v.Type())
	wanted := map[form]yaml.Kind{scalarForm: yaml.ScalarNode, listForm: yaml.SequenceNode}[f]
	if wanted == 0 {
		wanted = yaml.MappingNode
	}
	if k.alone != "" && f == listForm && n.Kind == yaml.ScalarNode && n.Value == k.alone {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
	}
	switch {
	case n.Kind == yaml.AliasNode:
		d.note(where(n), path, "an alias (*"+n.Value+") is not supported", "write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		d.note(where(n), path, "a tag ("+n.Tag+") is not supported", "write the value alone")
	case n.Kind != wanted || isNull(n):
		d.note(where(n), path, found(n)+" is given", k.wants(f))
	case f == scalarForm:
		if got, ok := d.scalar(n, v.Type(), k, path); ok {
			v.Set(got)
		}
	case f == listForm:
		d.list(n, v, k, path)
	case f == textsForm:
		d.texts(n, v, k, path)
	case f == namedForm:
		d.named(n, v, k, path)
	default:
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		d.table(n, v, path)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, k *key, path string) {
	if !d.counted(n, len(n.Content), k, path, "elements") {
		return
	}
	seen := map[any]string{}
	for i, e := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.at[p] = where(e)
		one := reflect.New(v.Type().Elem()).Elem()
		d.value(e, one, k, p)
		if d.bad[p] {
			d.bad[path] = true
			continue
		}
		if before, ok := seen[one.Interface()]; ok && !k.repeat {
			d.remark(where(e), p, quote(e.Value)+" is given twice", "it is "+before+" already")
			continue
		}
		seen[one.Interface()] = p
		v.Set(reflect.Append(v, one))
	}
}

func (d *decoder) texts(n *yaml.Node, v reflect.Value, k *key, path string) {
	if !d.counted(n, len(n.Content)/2, k, path, "entries") {
		return
	}
	d.entries(n, path, k.most, func(name string, at, value *yaml.Node) {
		p := join(path, shown(name))
		d.at[p] = where(value)
		if strings.ContainsFunc(name, unicode.IsControl) || len(name) > maxText {
			d.note(where(at), p, "is no name that can be used here", "")
			return
		}
		one := reflect.New(v.Type().Elem()).Elem()
		d.value(value, one, k, p)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(name), one)
	})
}

// A name may stand in a path, in a metric's label and in a host name.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)

const nameHint = "a name has up to 63 letters, digits, - and _, and begins and ends with a letter or digit"

func (d *decoder) named(n *yaml.Node, v reflect.Value, k *key, path string) {
	if !d.counted(n, len(n.Content)/2, k, path, "entries") {
		return
	}
	d.entries(n, path, k.most, func(name string, at, value *yaml.Node) {
		p := join(path, name)
		if !nameForm.MatchString(name) {
			d.note(where(at), join(path, shown(name)), quote(name)+" is no name", nameHint)
			return
		}
		d.at[p] = where(at)
		one := reflect.New(v.Type().Elem()).Elem()
		one.FieldByName("Name").SetString(name)
		if !isNull(value) {
			d.value(value, one, &key{typ: one.Type()}, p)
		}
		v.Set(reflect.Append(v, one))
	})
}

func (d *decoder) counted(n *yaml.Node, count int, k *key, path, what string) bool {
	switch {
	case count < k.least && count == 0:
		d.note(where(n), path, "is empty", k.wants(formOf(k.typ)))
	case count < k.least || count > k.most:
		d.note(where(n), path, fmt.Sprintf("has %d %s", count, what), fmt.Sprintf("%d to %d are allowed", k.least, k.most))
	default:
		return true
	}
	return false
}

// maxText is the most bytes that one text may have.
const maxText = 4096

// scalar decodes one word, number or text; ok is false when it is none that is allowed.
func (d *decoder) scalar(n *yaml.Node, t reflect.Type, k *key, path string) (got reflect.Value, ok bool) {
	s := scalars[t]
	text := n.Value
	if s.plain && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		d.note(where(n), path, "a text is given, for it is in quotes", "write "+s.a+" without quotes, like "+s.like)
		return got, false
	}
	if t.Kind() == reflect.String && s.words == nil {
		return d.text(n, text, k, path)
	}
	got, err := s.parse(text)
	if err != nil {
		hint := err.Error()
		if hint == "" {
			hint = "write " + s.a + ", like " + s.like
		}
		d.note(where(n), path, quote(text)+" is not "+s.a, hint)
		return got, false
	}
	if !k.within(got) {
		d.note(where(n), path, quote(text)+" is out of range", "allowed: "+k.span(t))
		return got, false
	}
	return got, true
}

func (d *decoder) text(n *yaml.Node, text string, k *key, path string) (got reflect.Value, ok bool) {
	control := func(r rune) bool { return unicode.IsControl(r) && (k.as != "text" || r != '\n' && r != '\t') }
	switch {
	case len(text) > maxText:
		d.note(where(n), path, fmt.Sprintf("has %d bytes of text", len(text)), fmt.Sprintf("at most %d are allowed", maxText))
	case strings.ContainsFunc(text, control) || !utf8.ValidString(text):
		d.note(where(n), path, "has a control character", "write it in one line of plain text")
	case text == "" && k.as != "text":
		d.note(where(n), path, "an empty text is given", "write a value, or take the key out")
	case k.as == "name" && !nameForm.MatchString(text):
		d.note(where(n), path, quote(text)+" is no name", nameHint)
	case k.as == "path" || k.as == "output" && text != "-":
		if filepath.IsAbs(text) {
			return reflect.ValueOf(filepath.Clean(text)), true
		}
		return reflect.ValueOf(filepath.Join(d.dir, text)), true
	default:
		return reflect.ValueOf(text), true
	}
	return got, false
}
