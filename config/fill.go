package config

import (
	"fmt"
	"reflect"
	"strings"
)

// fill gives every key that the text leaves out its default, notes those that have none but must be there, and those
// that have no meaning where they stand.
func (d *decoder) fill(f *File) {
	v := reflect.ValueOf(f).Elem()
	d.fillTable(v, reflect.Value{}, v, "", scope{}, false)
}

// like, if it is valid, is the table that absent keys take their values from. What is missing in a table that could not
// be read is not said: quiet.
func (d *decoder) fillTable(v, like, root reflect.Value, path string, in scope, quiet bool) {
	keys := keysOf(v.Type())
	quiet = quiet || d.bad[path]
	for i := range keys {
		k := &keys[i]
		field, p := v.FieldByIndex(k.index), join(path, k.name)
		_, given := d.at[p]
		source := reflect.Value{}
		if like.IsValid() {
			source = like.FieldByIndex(k.index)
		} else if k.from != "" {
			source = topOf(root, k.from)
		}
		switch {
		case given && !k.suits(in):
			has, is := "kind "+in.kind, "kind "+strings.Join(k.kinds(), " or ")
			if k.suitsKind(in) {
				has, is = "dispatch "+string(in.ways[0]), "dispatch "+strings.Join(k.ways(), " or ")
			}
			d.note(d.at[p], p, "has no meaning for "+has, "it is for "+is+"; take it out")
			field.SetZero()
			continue
		case !k.suits(in):
			continue
		case !given && k.required && (quiet || in.kind == "" && len(k.only) > 0):
			d.bad[p] = true
			continue
		case !given && k.required:
			d.note(d.at[path], p, "is missing", k.wants(formOf(k.typ)))
			continue
		}
		switch formOf(k.typ) {
		case tableForm:
			if t, ok := tableOf(field); ok {
				d.fillTable(t, source, root, p, in, quiet)
			}
		case namedForm:
			for j := range field.Len() {
				d.fillTable(field.Index(j), reflect.Value{}, root, join(p, nameOf(field.Index(j))), scope{}, quiet)
			}
		default:
			if given && !d.bad[p] || formOf(k.typ) == listForm && field.Len() > 0 {
				break
			}
			if source.IsValid() {
				field.Set(source)
			} else if k.hasDefault {
				field.Set(k.parsed(k.def))
			}
		}
		if formOf(k.typ) == scalarForm && !d.bad[p] {
			in = in.with(k, field)
		}
	}
}

func topOf(root reflect.Value, name string) reflect.Value {
	for _, k := range keysOf(root.Type()) {
		if k.name == name {
			return root.FieldByIndex(k.index)
		}
	}
	panic(fmt.Sprintf("config: a tag names %q, which is no key of the file", name))
}

// parsed makes a value of what a tag says.
func (k *key) parsed(text string) reflect.Value {
	switch formOf(k.typ) {
	case listForm:
		list := reflect.Zero(k.typ)
		for _, one := range strings.Split(text, ",") {
			list = reflect.Append(list, must(scalars[k.typ.Elem()].parse(one)))
		}
		return list
	case textsForm:
		name, value, _ := strings.Cut(text, "=")
		return reflect.ValueOf(map[string]string{name: value})
	}
	return must(scalars[k.typ].parse(text))
}
