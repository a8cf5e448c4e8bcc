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
			case reflect.TypeFor[Date]():
				return &jsonschema.Schema{Type: "string", Format: "date", Examples: []any{"2027-03-01"}}
			case reflect.TypeFor[Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^[0-9]+[dw]$|^([0-9.]+(h|m|s|ms))+$`, Examples: []any{"90d"}}
			}
			return nil
		},
	}
	schema := reflector.Reflect(&Config{})
	schema.Title = "Postern's configuration"
	// An override has the settings of a policy, and need not have those that a policy must have.
	override := *schema.Definitions["Policy"]
	override.Required = nil
	schema.Definitions["Override"] = &override
	if property, ok := schema.Definitions["User"].Properties.Get("override"); ok {
		property.Ref = "#/$defs/Override"
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
