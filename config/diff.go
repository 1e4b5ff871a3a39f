package config

import (
	"fmt"
	"reflect"
	"strings"
)

// A Change is one difference between two files.
type Change struct {
	Path     string // such as services.www.floor
	Old, New string // empty: it was not there, or is there no more
}

func (c Change) String() string {
	switch {
	case c.Old == "":
		return c.Path + ": added " + c.New
	case c.New == "":
		return c.Path + ": removed " + c.Old
	}
	return c.Path + ": " + c.Old + " -> " + c.New
}

// Diff lists what the new file changes of the old one, in the order of the file's keys. Defaults count as if they were
// written out.
func Diff(old, new *File) []Change {
	return diffTable(nil, reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), "", scope{}, scope{})
}

// what a key says where it has no meaning is nothing.
func diffTable(list []Change, old, new reflect.Value, path string, before, after scope) []Change {
	before, after = scopeOf(old, before), scopeOf(new, after)
	for _, k := range keysOf(old.Type()) {
		a, b, p := old.FieldByIndex(k.index), new.FieldByIndex(k.index), join(path, k.name)
		if reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		if in, out := k.suits(after), k.suits(before); in != out {
			c := Change{Path: p}
			if in && !k.silent(b) {
				c.New = k.brief(b, after)
			} else if out && !k.silent(a) {
				c.Old = k.brief(a, before)
			}
			if said := c.Old + c.New; said != "" && said != "{}" {
				list = append(list, c)
			}
			continue
		}
		switch formOf(k.typ) {
		case tableForm:
			was, is := a, b
			if a.Kind() == reflect.Pointer {
				was, is = a.Elem(), b.Elem()
			}
			switch {
			case !was.IsValid():
				list = append(list, Change{p, "", brief(is, after)})
			case !is.IsValid():
				list = append(list, Change{p, brief(was, before), ""})
			default:
				list = diffTable(list, was, is, p, before, after)
			}
		case namedForm:
			list = diffNamed(list, a, b, p)
		default:
			list = append(list, Change{p, k.inline(a), k.inline(b)})
		}
	}
	return list
}

func diffNamed(list []Change, old, new reflect.Value, path string) []Change {
	was, is := entriesOf(old), entriesOf(new)
	var before, after []string // the names that stay, in either order
	for i := range old.Len() {
		name := nameOf(old.Index(i))
		if n, ok := is[name]; ok {
			before = append(before, name)
			list = diffTable(list, old.Index(i), n, join(path, name), scope{}, scope{})
		} else {
			list = append(list, Change{join(path, name), brief(old.Index(i), scope{}), ""})
		}
	}
	for i := range new.Len() {
		name := nameOf(new.Index(i))
		if _, ok := was[name]; ok {
			after = append(after, name)
		} else {
			list = append(list, Change{join(path, name), "", brief(new.Index(i), scope{})})
		}
	}
	if a, b := strings.Join(before, ", "), strings.Join(after, ", "); a != b {
		list = append(list, Change{path, "order " + a, "order " + b})
	}
	return list
}

func entriesOf(list reflect.Value) map[string]reflect.Value {
	m := make(map[string]reflect.Value, list.Len())
	for i := range list.Len() {
		m[nameOf(list.Index(i))] = list.Index(i)
	}
	return m
}

// brief writes the value of a key in one line.
func (k *key) brief(v reflect.Value, in scope) string {
	if formOf(k.typ) != tableForm {
		return k.inline(v)
	}
	t, _ := tableOf(v)
	return brief(t, in)
}

// brief writes a table in one line, without what is the default anyway.
func brief(v reflect.Value, in scope) string {
	in = scopeOf(v, in)
	var parts []string
	for _, k := range keysOf(v.Type()) {
		f := v.FieldByIndex(k.index)
		if !k.suits(in) || k.silent(f) || k.hasDefault && reflect.DeepEqual(f.Interface(), k.parsed(k.def).Interface()) {
			continue
		}
		switch formOf(k.typ) {
		case tableForm:
			t, _ := tableOf(f)
			if text := brief(t, in); text != "{}" || f.Kind() == reflect.Pointer {
				parts = append(parts, k.name+": "+text)
			}
		case namedForm:
			for i := range f.Len() {
				parts = append(parts, fmt.Sprintf("%s.%s: %s", k.name, nameOf(f.Index(i)), brief(f.Index(i), scope{})))
			}
		default:
			parts = append(parts, k.name+": "+k.inline(f))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
