package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Style&yaml.TaggedStyle == 0
}

// found names what stands at a node.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case isNull(n) || n.Value == "":
		return "nothing"
	}
	return quote(n.Value)
}

// shown is a name as a path shows it.
func shown(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return quote(name)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,80}$`)

// wants is the hint for a value of the wrong form.
func (k *key) wants(f form) string {
	switch f {
	case scalarForm:
		t := k.typ
		for formOf(t) != scalarForm {
			t = t.Elem()
		}
		return "write " + scalars[t].a + ", like " + k.example(t)
	case listForm:
		if k.alone != "" {
			return "write a list, like [" + k.example(k.typ.Elem()) + "], or " + k.alone
		}
		return "write a list, like [" + k.example(k.typ.Elem()) + "]"
	case textsForm:
		name, value, _ := strings.Cut(k.eg, "=")
		return "write a mapping, like {" + name + ": " + value + "}"
	case namedForm:
		return "write names with a mapping below each, like " + k.eg + ": {...}"
	}
	first := keysOf(tableType(k.typ))[0]
	switch formOf(first.typ) {
	case scalarForm:
		return "write a mapping, like {" + first.name + ": " + first.example(first.typ) + "}"
	case listForm:
		return "write a mapping, like {" + first.name + ": [" + first.example(first.typ.Elem()) + "]}"
	}
	return "write a mapping, like {" + first.name + ": {...}}"
}

// example is a value that the key may have.
func (k *key) example(t reflect.Type) string {
	text := k.eg
	if k.hasDefault {
		text = k.def
	}
	switch s := scalars[t]; {
	case text != "" && k.typ.Kind() == reflect.Map:
		_, text, _ = strings.Cut(text, "=")
		return text
	case text != "" && formOf(k.typ) == listForm:
		first, _, _ := strings.Cut(text, ",")
		return first
	case text != "":
		return text
	case s.like != "":
		return s.like
	}
	return "..."
}

func tableType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// quote shows a text in a message, cut to a length that a message can bear.
func quote(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
