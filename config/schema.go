package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the JSON Schema of a file (draft 2020-12), by which editors complete and check it. It knows every key, type
// and range, and none of the rules that join several keys.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File]())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "cluster.yaml of Muster"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: the schema cannot be written: " + err.Error())
	}
	return append(out, '\n')
}

// schemaOf is the schema of a table.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: nothing()}
	for _, k := range keysOf(tableType(t)) {
		p := k.schema()
		p.Description = k.says()
		if k.hasDefault {
			p.Default = k.json(k.parsed(k.def))
		}
		s.Properties[k.name] = p
		s.PropertyOrder = append(s.PropertyOrder, k.name)
		if k.required && len(k.only) == 0 {
			s.Required = append(s.Required, k.name)
		}
	}
	return s
}

func nothing() *jsonschema.Schema { return &jsonschema.Schema{Not: &jsonschema.Schema{}} }

func (k *key) schema() *jsonschema.Schema {
	switch formOf(k.typ) {
	case listForm:
		list := &jsonschema.Schema{
			Type: "array", Items: k.schemaOfScalar(k.typ.Elem()), UniqueItems: !k.repeat,
			MinItems: &k.least, MaxItems: &k.most,
		}
		if k.alone != "" {
			return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{list, word(k.alone)}}
		}
		return list
	case textsForm:
		return &jsonschema.Schema{Types: []string{"object", "null"}, AdditionalProperties: k.schemaOfScalar(k.typ.Elem()), MaxProperties: &k.most}
	case namedForm:
		return &jsonschema.Schema{
			Types: []string{"object", "null"}, AdditionalProperties: schemaOf(k.typ.Elem()),
			PropertyNames: &jsonschema.Schema{Pattern: nameForm.String()},
			MinProperties: &k.least, MaxProperties: &k.most,
		}
	case tableForm:
		s := schemaOf(k.typ)
		s.Type, s.Types = "", []string{"object", "null"}
		return s
	}
	return k.schemaOfScalar(k.typ)
}

// Texts that only have a form, not a range.
var patterns = map[string]string{
	"a duration":             `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`,
	"a size":                 `^[0-9]+ *(B|kB|KiB|MB|MiB|GB|GiB)?$`,
	"a percentage":           `^[0-9]+(\.[0-9]+)?%$`,
	"a status code or range": `^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$`,
	"an address with a port": `:[0-9]+$`,
	"an IP address":          `^[0-9a-fA-F.:]+(%.*)?$`,
	"a network":              `^[0-9a-fA-F.:]+(/[0-9]+)?$`,
}

func word(w string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: []any{w}} }

func (k *key) schemaOfScalar(t reflect.Type) *jsonschema.Schema {
	sc := scalars[t]
	switch {
	case t == reflect.TypeFor[Port]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer", Minimum: float("1"), Maximum: float("65535")}, word(allPorts)}}
	case t.Kind() == reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case sc.plain:
		low, high := k.bounds(t)
		s := &jsonschema.Schema{Type: "integer", Minimum: float(low), Maximum: float(high)}
		if k.zero != "" {
			s.Minimum = float("0")
		}
		return s
	case sc.words != nil:
		s := &jsonschema.Schema{Type: "string"}
		for _, w := range sc.words {
			s.Enum = append(s.Enum, w)
		}
		return s
	case t.Kind() == reflect.String && k.as == "name":
		return &jsonschema.Schema{Types: []string{"string", "number"}, Pattern: nameForm.String()}
	case t.Kind() == reflect.String:
		most := maxText
		return &jsonschema.Schema{Types: []string{"string", "number", "boolean"}, MaxLength: &most}
	case t == reflect.TypeFor[Bytes]() || t == reflect.TypeFor[Statuses]():
		return &jsonschema.Schema{Types: []string{"string", "integer"}, Pattern: patterns[sc.a]}
	}
	return &jsonschema.Schema{Type: "string", Pattern: patterns[sc.a]}
}

func float(s string) *float64 {
	if s == "" {
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("config: a tag has %q where a number must be", s))
	}
	return &f
}

// json is a value of the key as JSON has it.
func (k *key) json(v reflect.Value) json.RawMessage {
	if formOf(v.Type()) == listForm {
		list := []json.RawMessage{}
		for i := range v.Len() {
			list = append(list, k.json(v.Index(i)))
		}
		out, _ := json.Marshal(list) // raw messages that were marshalled
		return out
	}
	s := scalars[v.Type()]
	if s.plain {
		return json.RawMessage(s.format(v))
	}
	out, _ := json.Marshal(s.format(v)) // a string can always be marshalled
	return out
}
