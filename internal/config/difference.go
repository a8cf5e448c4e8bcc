package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is a setting that two configurations have differently. Before and After are as the file writes values; empty
// for a setting that is not there. There are no secrets among them: the file has none.
type Difference struct {
	Setting string `json:"setting"` // such as policies.person.networks
	Before  string `json:"before,omitempty"`
	After   string `json:"after,omitempty"`
}

// Differences gives the settings that differ between two validated configurations, with their defaults filled in, in the
// order of the file. Users are left out: what becomes of a login is for the one to say who knows which entry decides.
func Differences(before, after *Config) []Difference {
	var d differences
	a, b := *before, *after
	a.Users, b.Users = nil, nil
	d.compare("", reflect.ValueOf(a), reflect.ValueOf(b))
	return d
}

// PolicyDifferences gives the settings of two policies that differ, without the policies' names.
func PolicyDifferences(before, after *Policy) []Difference {
	var d differences
	d.compare("", reflect.ValueOf(*before), reflect.ValueOf(*after))
	return d
}

// differences collects them.
type differences []Difference

// compare goes through two values of one type. Either may be invalid, for what is not there.
func (d *differences) compare(path string, a, b reflect.Value) {
	a, b = pointed(a), pointed(b)
	known := a
	if !a.IsValid() {
		known = b
	}
	if !known.IsValid() {
		return
	}
	switch kind := known.Kind(); {
	case kind == reflect.Struct && !isScalar(known):
		d.fields(path, known.Type(), a, b)
	case kind == reflect.Map:
		d.members(path, a, b)
	case kind == reflect.Slice && known.Type().Elem().Kind() == reflect.Struct && !isScalar(reflect.Zero(known.Type().Elem())):
		d.elements(path, a, b)
	default:
		if was, is := inWords(a), inWords(b); was != is {
			*d = append(*d, Difference{path, was, is})
		}
	}
}

// pointed follows a pointer; of nil nothing is left.
func pointed(v reflect.Value) reflect.Value {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		return v.Elem()
	}
	return v
}

// isScalar reports whether a value is one word in the file, whatever it is in here.
func isScalar(v reflect.Value) bool {
	_, is := v.Interface().(fmt.Stringer)
	return is
}

// fields compares two structs, of which one may not be there.
func (d *differences) fields(path string, t reflect.Type, a, b reflect.Value) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		var was, is reflect.Value
		if a.IsValid() {
			was = a.Field(i)
		}
		if b.IsValid() {
			is = b.Field(i)
		}
		d.compare(strings.TrimPrefix(path+"."+name, "."), was, is)
	}
}

// members compares two maps by their keys.
func (d *differences) members(path string, a, b reflect.Value) {
	names := make(map[string]bool)
	for _, m := range []reflect.Value{a, b} {
		if m.IsValid() {
			for _, key := range m.MapKeys() {
				names[key.String()] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.compare(path+"."+name, member(a, name), member(b, name))
	}
}

func member(m reflect.Value, name string) reflect.Value {
	if !m.IsValid() {
		return m
	}
	return m.MapIndex(reflect.ValueOf(name))
}

// elements compares two lists of structs: listeners by their addresses, whatever their order, and others by their places.
func (d *differences) elements(path string, a, b reflect.Value) {
	names, was := named(a)
	others, is := named(b)
	for _, name := range others {
		if _, known := was[name]; !known {
			names = append(names, name)
		}
	}
	for _, name := range names {
		d.compare(path+"["+name+"]", was[name], is[name])
	}
}

// named gives the elements of a list with a name for each, in its order.
func named(list reflect.Value) ([]string, map[string]reflect.Value) {
	var names []string
	all := make(map[string]reflect.Value)
	for i := range lengthOf(list) {
		element := list.Index(i)
		name := fmt.Sprint(i)
		if l, is := element.Interface().(Listener); is {
			for name = l.Address; all[name].IsValid(); {
				name += "'" // port 0 may be there several times
			}
		}
		names = append(names, name)
		all[name] = element
	}
	return names, all
}

func lengthOf(list reflect.Value) int {
	if !list.IsValid() {
		return 0
	}
	return list.Len()
}

// inWords gives a value as the file writes it; empty for what is not there, and for what is left out.
func inWords(v reflect.Value) string {
	v = pointed(v)
	switch {
	case !v.IsValid(), v.IsZero():
		return ""
	case v.Kind() == reflect.Slice:
		words := make([]string, v.Len())
		for i := range words {
			words[i] = inWords(v.Index(i))
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
