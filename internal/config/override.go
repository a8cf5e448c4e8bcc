package config

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// Origin is where a setting of a policy was set.
type Origin struct {
	Override bool // by a user's override, and not by the policy itself
	Line     int  // in the file
}

// Setting is one setting of a policy, with where it comes from.
type Setting struct {
	Key    string // such as mfa.evidence
	Value  string // in the file's form; empty where the setting holds nothing
	Origin Origin // the zero Origin means that nobody set it, and the default holds
}

// Settings gives all settings of a policy, in the order of the documentation.
func (p *Policy) Settings() []Setting {
	var all []Setting
	eachSetting(reflect.ValueOf(p).Elem(), "", func(key string, value reflect.Value) {
		all = append(all, Setting{key, written(value), p.Origins[key]})
	})
	return all
}

// eachSetting visits the settings of a policy that hold a value: those in its groups, and not the groups.
func eachSetting(group reflect.Value, path string, visit func(key string, value reflect.Value)) {
	for i := range group.NumField() {
		name, _, _ := strings.Cut(group.Type().Field(i).Tag.Get("yaml"), ",")
		switch value := group.Field(i); {
		case name == "-":
		case value.Kind() == reflect.Struct:
			eachSetting(value, join(path, name), visit)
		default:
			visit(join(path, name), value)
		}
	}
}

// written gives a value in the file's form; empty for none.
func written(value reflect.Value) string {
	switch {
	case value.IsZero():
		return ""
	case value.Kind() == reflect.Slice:
		parts := make([]string, value.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(value.Index(i).Interface())
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(value.Interface())
}

// origins gives the places of the settings that are set below path.
func (v *validator) origins(path string, p *Policy, override bool) map[string]Origin {
	found := make(map[string]Origin)
	eachSetting(reflect.ValueOf(p).Elem(), "", func(key string, _ reflect.Value) {
		if at, set := v.positions[join(path, key)]; set {
			found[key] = Origin{override, at.line}
		}
	})
	return found
}

// override looks at the settings that a user's entry has for itself, and lays them over its policy's. A setting counts as
// overridden when it stands there, also as false, 0 or an empty list: that is how to take away what the policy sets.
func (v *validator) override(path string, u *User, policy *Policy) {
	if u.Override == nil {
		return
	}
	v.rules(path, u.Override)
	own := v.origins(path, u.Override, true)
	if _, set := own["protocols"]; set && len(u.Override.Protocols) == 0 {
		v.wrong(path+".protocols", "want a list of %s", strings.Join(protocols, ", "))
	}
	effective := *policy
	effective.Origins = maps.Clone(policy.Origins)
	maps.Copy(effective.Origins, own)
	values := make(map[string]reflect.Value) // key → the value in the override
	eachSetting(reflect.ValueOf(u.Override).Elem(), "", func(key string, value reflect.Value) { values[key] = value })
	eachSetting(reflect.ValueOf(&effective).Elem(), "", func(key string, value reflect.Value) {
		if _, set := own[key]; set {
			value.Set(values[key])
		}
	})
	u.Effective = &effective
	v.imapInUse(path, &effective)
}
