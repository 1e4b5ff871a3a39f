package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference is the page docs/configuration.md. It is written by `go generate ./config`.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(preface)
	r := reference{b: &b, known: map[reflect.Type]string{}}
	r.section(reflect.TypeFor[File](), "", "")
	return []byte(b.String())
}

const preface = `<!-- Written by "go generate ./config" from the description in config/. Do not edit. -->

# cluster.yaml

One file describes a cluster. Every node has the same copy, by default ` + "`/etc/muster/cluster.yaml`" + `.

    muster config check FILE        # finds every fault, with its line and what to write instead
    muster config show FILE         # the file with all defaults written out
    muster config show --defaults   # every key with its meaning and default
    muster config schema            # a JSON Schema for editors

A key that is not on this page is an error, and so is a name that nothing has. The directory ` + "`examples/`" + ` has whole files.

## How values are written

| value | written as |
|---|---|
| duration | a number with ` + "`ms`, `s`, `m` or `h`" + `: ` + "`200ms`, `1m30s`" + ` |
| size | bytes, or a number with ` + "`kB`, `MB`, `GB` (thousands) or `KiB`, `MiB`, `GiB`" + ` (1024) |
| percentage | ` + "`20%`, `0.5%`" + ` |
| address | ` + "`10.0.0.11`, `2001:db8::11`" + `; host names are not looked up |
| address with port | ` + "`127.0.0.1:8080`, `\"[::1]:8080\"`" + ` |
| network | ` + "`10.0.0.0/8`" + `, or one address |
| path | relative to the directory of the file |
| name of a node, pool, ... | up to 63 letters, digits, ` + "`-` and `_`" + ` |

The file is YAML 1.2 in UTF-8, one document of at most 4 MiB. Aliases, merge keys and tags are refused: what a line says must be
seen in that line.

## Reload

A node reads the file again when it gets HUP. A file with a fault changes nothing; the node goes on with what it has.
`

type reference struct {
	b     *strings.Builder
	known map[reflect.Type]string // where a table has been described
}

// section writes the table of keys, then the tables below them.
func (r *reference) section(t reflect.Type, path, doc string) {
	title := "The top of the file"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(r.b, "\n## %s\n\n", title)
	if doc != "" {
		fmt.Fprintf(r.b, "%s\n\n", doc)
	}
	keys := keysOf(t)
	r.b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(r.b, "| `%s` | %s | %s | %s |\n", k.name, k.form(), k.standard(), k.meaning())
	}
	for _, k := range keys {
		p, t := join(path, k.name), tableType(k.typ)
		switch formOf(k.typ) {
		case namedForm:
			p, t = p+".NAME", t.Elem()
		case tableForm:
		default:
			continue
		}
		if where, ok := r.known[t]; ok {
			fmt.Fprintf(r.b, "\n## `%s`\n\n%s The keys are those of `%s`.\n", p, k.doc, where)
			continue
		}
		if f := t; f == reflect.TypeFor[Override]() {
			fmt.Fprintf(r.b, "\n## `%s`\n\n%s The keys are those of `pools.NAME.application`.\n", p, k.doc)
			continue
		}
		r.known[t] = p
		r.section(t, p, k.doc)
	}
}

// form says how the value is written.
func (k *key) form() string {
	t := k.typ
	switch formOf(t) {
	case tableForm:
		return "keys"
	case namedForm:
		return "keys below names"
	case textsForm:
		return "names and texts"
	case listForm:
		if k.alone != "" {
			return "list: " + k.formOfScalar(t.Elem()) + "; or `" + k.alone + "`"
		}
		return "list: " + k.formOfScalar(t.Elem())
	}
	return k.formOfScalar(t)
}

func (k *key) formOfScalar(t reflect.Type) string {
	s := scalars[t]
	switch {
	case s.words != nil:
		return "`" + strings.Join(s.words, "` `") + "`"
	case k.ref != "":
		return "name of " + k.ref
	case k.as == "path" || k.as == "name":
		return k.as
	case k.as == "output":
		return "path or `-`"
	}
	form := s.a
	for _, article := range []string{"a whole ", "a ", "an "} {
		form = strings.TrimPrefix(form, article)
	}
	if span := k.span(t); span != "" && t.Kind() != reflect.Uint16 {
		form += ", " + span
	} else if k.zero != "" {
		form += ", or 0: " + k.zero
	}
	return form
}

func (k *key) standard() string {
	switch {
	case k.required:
		return "required"
	case k.hasDefault:
		return "`" + k.inline(k.parsed(k.def)) + "`"
	case k.from != "":
		return "`" + k.from + "` at the top"
	}
	return ""
}

func (k *key) meaning() string {
	text := k.doc
	if k.eg != "" && k.typ.Kind() != reflect.Pointer && formOf(k.typ) != namedForm {
		text += " Example: `" + k.inline(k.parsed(k.eg)) + "`."
	}
	if only := k.onlyFor(); only != "" {
		text += " Only for " + only + "."
	}
	return strings.ReplaceAll(text, "|", "\\|")
}
