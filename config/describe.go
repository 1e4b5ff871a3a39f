package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"muster/cluster"
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
	alone           string
	repeat          bool
	doc             string
}

// A scope is what decides which keys of a table have a meaning: its kind, and the ways of dispatch that a service may take.
// What is not known is empty, and rules nothing out.
type scope struct {
	kind string
	ways []cluster.Dispatch
}

// of the words of an only tag, those that are kinds and those that are ways of dispatch.
func (k *key) kinds() []string { return slices.DeleteFunc(slices.Clone(k.only), isWay) }

func (k *key) ways() []string {
	return slices.DeleteFunc(slices.Clone(k.only), func(w string) bool { return !isWay(w) })
}

func isWay(word string) bool { return slices.Contains(cluster.Dispatches(), cluster.Dispatch(word)) }

// suits says whether the key has a meaning for the kind, and for one of the ways.
func (k *key) suits(s scope) bool { return k.suitsKind(s) && k.suitsWay(s) }

func (k *key) suitsKind(s scope) bool {
	kinds := k.kinds()
	return s.kind == "" || len(kinds) == 0 || slices.Contains(kinds, s.kind)
}

func (k *key) suitsWay(s scope) bool {
	ways := k.ways()
	return len(s.ways) == 0 || len(ways) == 0 || slices.ContainsFunc(s.ways, func(d cluster.Dispatch) bool { return slices.Contains(ways, string(d)) })
}

// onlyFor says for what the key has a meaning; empty when it always has.
func (k *key) onlyFor() string {
	var parts []string
	if kinds := k.kinds(); len(kinds) > 0 {
		parts = append(parts, "kind "+strings.Join(kinds, " or "))
	}
	if ways := k.ways(); len(ways) > 0 {
		parts = append(parts, "dispatch "+strings.Join(ways, " or "))
	}
	return strings.Join(parts, " and ")
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
			repeat: f.Tag.Get("repeat") == "yes", alone: f.Tag.Get("alone"), doc: f.Tag.Get("doc"),
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

// scopeOf returns the scope that the table itself has, or that of the table around it.
func scopeOf(v reflect.Value, around scope) scope {
	for _, k := range keysOf(v.Type()) {
		around = around.with(&k, v.FieldByIndex(k.index))
	}
	return around
}

// with is the scope once the value of a key is known.
func (s scope) with(k *key, v reflect.Value) scope {
	switch word := v.Interface().(type) {
	case cluster.Dispatch:
		s.ways = nil
		if word != "" {
			s.ways = []cluster.Dispatch{word}
		}
	case Without:
		if word == WithoutProxy {
			s.ways = append(slices.Clone(s.ways), cluster.Proxy)
		}
	case cluster.Kind, CheckKind:
		s.kind = v.String()
	}
	return s
}

// tableOf returns the struct behind a table's value; ok is false when it is absent.
func tableOf(v reflect.Value) (s reflect.Value, ok bool) {
	if v.Kind() != reflect.Pointer {
		return v, true
	}
	return v.Elem(), !v.IsNil()
}

// each calls visit for every key of every table that is there, a table's own key before the keys in it.
func each(v reflect.Value, path string, visit func(k *key, v reflect.Value, path string)) {
	keys := keysOf(v.Type())
	for i := range keys {
		k := &keys[i]
		f, p := v.FieldByIndex(k.index), join(path, k.name)
		visit(k, f, p)
		switch formOf(k.typ) {
		case tableForm:
			if s, ok := tableOf(f); ok {
				each(s, p, visit)
			}
		case namedForm:
			for j := range f.Len() {
				each(f.Index(j), join(p, nameOf(f.Index(j))), visit)
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
