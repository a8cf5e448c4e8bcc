package config

import (
	"encoding/json"
	"net/netip"
	"reflect"

	"github.com/invopop/jsonschema"
)

// Schema gives the JSON Schema of the file, for editors that complete and check as one types.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{
		FieldNameTag: "yaml",
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[netip.Prefix]():
				return &jsonschema.Schema{Type: "string", Examples: []any{"10.0.8.0/24"}}
			case reflect.TypeFor[Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+[dw]$|^([0-9.]+(h|m|s|ms))+$`, Examples: []any{"90d"}}
			}
			return nil
		},
	}
	schema := reflector.Reflect(&Config{})
	schema.Title = "Postern's configuration"
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
