package config

import (
	"fmt"
	"reflect"
)

// check applies the rules that join several keys. What is already known to be wrong is not said again.
func (d *decoder) check(f *File) {
	d.checkReferences(f)
	x := newIndex(f)
	d.checkNodes(f, x)
	d.checkChecks(f)
	d.checkPools(f, x)
	d.checkServices(f, x)
	d.checkAddresses(f, x)
}

// say notes a problem with the value at a path, unless something is wrong with it already.
func (d *decoder) say(path, text, hint string) {
	if d.sound(path) {
		d.note(d.place(path), path, text, hint)
	}
}

// sound says that nothing is known to be wrong with the values at the paths.
func (d *decoder) sound(paths ...string) bool {
	for _, p := range paths {
		if d.bad[p] {
			return false
		}
	}
	return true
}

// place is where a path stands in the text, or the nearest table around it.
func (d *decoder) place(path string) mark {
	for {
		if m, ok := d.at[path]; ok || path == "" {
			return m
		}
		path = parent(path)
	}
}

// given says whether the text has a value at the path.
func (d *decoder) given(path string) bool {
	_, ok := d.at[path]
	return ok
}

// firstGiven is the first of the paths that the text has, or the first of all.
func (d *decoder) firstGiven(paths ...string) string {
	for _, p := range paths {
		if d.given(p) {
			return p
		}
	}
	return paths[0]
}

// checkReferences finds names of things that the file does not have.
func (d *decoder) checkReferences(f *File) {
	names := map[string][]string{}
	known := map[string]map[string]bool{}
	root := reflect.ValueOf(f).Elem()
	for _, k := range keysOf(root.Type()) {
		if formOf(k.typ) != namedForm {
			continue
		}
		list := root.FieldByIndex(k.index)
		known[k.name] = map[string]bool{}
		for i := range list.Len() {
			names[k.name] = append(names[k.name], nameOf(list.Index(i)))
			known[k.name][nameOf(list.Index(i))] = true
		}
	}
	refer := func(k *key, name, path string) {
		if name != "" && !known[k.ref][name] && d.sound(path) && d.count < maxProblems {
			d.say(path, fmt.Sprintf("%s is not in %s", quote(name), k.ref), meant(name, names[k.ref], k.ref))
		}
	}
	each(root, "", func(k *key, v reflect.Value, path string) {
		switch {
		case k.ref == "":
		case v.Kind() == reflect.String:
			refer(k, v.String(), path)
		case formOf(k.typ) == namedForm:
			for i := range v.Len() {
				refer(k, nameOf(v.Index(i)), join(path, nameOf(v.Index(i))))
			}
		default:
			for i := range v.Len() {
				refer(k, v.Index(i).String(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	})
}
