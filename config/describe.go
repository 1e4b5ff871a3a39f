package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// A key is what the tags of one field say.
type key struct {
	name            string
	index           []int
	typ             reflect.Type
	required, shown bool
	def, eg         string
	hasDefault      bool
	low, high       string // empty: no range
	least, most     int    // elements
	zero            string
	as              string
	only            []string
	ref, from       string
	repeat          bool
	doc             string
}

// for which kinds: all when the kind is not known.
func (k *key) suits(kind string) bool {
	if kind == "" || len(k.only) == 0 {
		return true
	}
	for _, o := range k.only {
		if o == kind {
			return true
		}
	}
	return false
}

// A form is the way in which a type is written.
type form uint8

const (
	scalarForm form = iota
	listForm        // a list of scalars
	textsForm       // a mapping of any names to text
	tableForm       // a mapping of known keys: a struct, or a pointer to one that may be absent
	namedForm       // a mapping of names to tables: a slice of structs whose field Name has no key
)

func formOf(t reflect.Type) form {
	if _, ok := scalars[t]; ok {
		return scalarForm
	}
	switch t.Kind() {
	case reflect.Map:
		return textsForm
	case reflect.Struct, reflect.Pointer:
		return tableForm
	case reflect.Slice:
		if _, ok := scalars[t.Elem()]; ok {
			return listForm
		}
		return namedForm
	}
	panic(fmt.Sprintf("config: no way to write a %s", t))
}

var described sync.Map // reflect.Type to []key

// keysOf returns the keys of a struct, in the order of its fields.
func keysOf(t reflect.Type) []key {
	if k, ok := described.Load(t); ok {
		return k.([]key)
	}
	var keys []key
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("key")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		k := key{
			name: name, index: f.Index, typ: f.Type,
			required: option == "required", shown: option == "shown",
			eg: f.Tag.Get("eg"), zero: f.Tag.Get("zero"), as: f.Tag.Get("as"), ref: f.Tag.Get("ref"), from: f.Tag.Get("from"),
			repeat: f.Tag.Get("repeat") == "yes", doc: f.Tag.Get("doc"),
			least: 0, most: 4096,
		}
		k.def, k.hasDefault = f.Tag.Lookup("default")
		k.low, k.high, _ = strings.Cut(f.Tag.Get("range"), "..")
		if only := f.Tag.Get("only"); only != "" {
			k.only = strings.Split(only, ",")
		}
		if least, most, ok := strings.Cut(f.Tag.Get("count"), ".."); ok {
			k.least, k.most = number(least), number(most)
		}
		keys = append(keys, k)
	}
	described.Store(t, keys)
	return keys
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("config: a tag has %q where a number must be", s))
	}
	return n
}

// kindOf returns the kind that the table itself has, or that of the table around it.
func kindOf(v reflect.Value, around string) string {
	if f := v.FieldByName("Kind"); f.IsValid() {
		return f.String()
	}
	return around
}

// tableOf returns the struct behind a table's value; ok is false when it is absent.
func tableOf(v reflect.Value) (s reflect.Value, ok bool) {
	if v.Kind() != reflect.Pointer {
		return v, true
	}
	return v.Elem(), !v.IsNil()
}

// each calls visit for every key of every table that is there, a table's own key before the keys in it.
func each(v reflect.Value, path, kind string, visit func(k *key, v reflect.Value, path, kind string)) {
	kind = kindOf(v, kind)
	keys := keysOf(v.Type())
	for i := range keys {
		k := &keys[i]
		f, p := v.FieldByIndex(k.index), join(path, k.name)
		visit(k, f, p, kind)
		switch formOf(k.typ) {
		case tableForm:
			if s, ok := tableOf(f); ok {
				each(s, p, kind, visit)
			}
		case namedForm:
			for j := range f.Len() {
				each(f.Index(j), join(p, nameOf(f.Index(j))), kind, visit)
			}
		}
	}
}

// parent is the path of the table around a path, which may be a list's element.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

func nameOf(entry reflect.Value) string { return entry.FieldByName("Name").String() }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
