package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder fills the types of this package from a parsed file. The YAML library's own strict decoder stops at the first
// error; this one goes on, and remembers where each setting stands.
type decoder struct {
	file      string
	problems  Problems
	positions map[string]place // setting → where its value begins
	anchors   map[string]ast.Node
	dependent bool // an anchor, an alias or an empty value was met: what it is, or where it stands, depends on what is around
	dangling  bool // an alias was met that stands for nothing
	depth     int
	shift     int // lines of the file before what is decoded
}

// place is where something begins in the file, from 1; the zero place is nowhere.
type place struct{ line, column int }

// at gives the place of a token.
func (d *decoder) at(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line + d.shift, t.Position.Column}
}

// maxDepth bounds the nesting of a file; the deepest setting is at five.
const maxDepth = 50

// decode parses content into a configuration.
func decode(file string, content []byte) (*Config, *decoder) {
	if c, d, ok := decodeUsersApart(file, content); ok {
		return c, d
	}
	return decodeWhole(file, content)
}

// decodeWhole parses content by the YAML library alone.
func decodeWhole(file string, content []byte) (*Config, *decoder) {
	d := &decoder{file: file, positions: make(map[string]place), anchors: make(map[string]ast.Node)}
	parsed, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntaxProblem(err)
		return nil, d
	}
	var bodies []ast.Node
	for _, document := range parsed.Docs {
		if document.Body != nil {
			bodies = append(bodies, document.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		d.problems = append(d.problems, Problem{File: file, Message: "the file is empty; docs/configuration.md shows how to begin"})
		return nil, d
	case len(bodies) > 1:
		d.problemAt(d.at(bodies[1].GetToken()), "", "a second document in the file; put everything into one")
	}
	c := &Config{}
	d.fill(bodies[0], reflect.ValueOf(c).Elem(), "")
	return c, d
}

// syntaxProblem reports what the parser could not read.
func (d *decoder) syntaxProblem(err error) {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil {
		d.problems = append(d.problems, Problem{File: d.file, Message: "not YAML: " + err.Error()})
		return
	}
	d.problemAt(d.at(located.GetToken()), "", "not YAML: "+located.GetMessage())
}

func (d *decoder) problemAt(at place, path, message string) {
	d.problems = append(d.problems, Problem{File: d.file, Path: path, Message: message, Line: at.line, Column: at.column})
}

func (d *decoder) problem(node ast.Node, path, format string, arguments ...any) {
	d.problemAt(d.at(node.GetToken()), path, fmt.Sprintf(format, arguments...))
}

// resolve follows anchors and aliases to the node that they stand for.
func (d *decoder) resolve(node ast.Node) ast.Node {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.dependent = true
		d.anchors[n.Name.String()] = n.Value
		return d.resolve(n.Value)
	case *ast.AliasNode:
		d.dependent = true
		if target, ok := d.anchors[n.Value.String()]; ok {
			return target
		}
		d.dangling = true
	}
	return node
}

// fill puts a node into a value of this package's types.
func (d *decoder) fill(node ast.Node, into reflect.Value, path string) {
	if d.depth++; d.depth > maxDepth {
		d.problem(node, path, "nested too deeply")
		return
	}
	defer func() { d.depth-- }()
	node = d.resolve(node)
	if node == nil {
		return
	}
	if _, empty := node.(*ast.NullNode); empty {
		d.dependent = true
	}
	d.positions[path] = d.at(node.GetToken())
	if leaf, ok := leaves[into.Type()]; ok {
		d.fillLeaf(node, into, path, leaf)
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.fill(node, into.Elem(), path)
	case reflect.Struct:
		d.fillStruct(node, into, path)
	case reflect.Map:
		d.fillMap(node, into, path)
	case reflect.Slice:
		d.fillSlice(node, into, path)
	case reflect.String:
		d.fillString(node, into, path)
	case reflect.Bool:
		if b, ok := node.(*ast.BoolNode); ok {
			into.SetBool(b.Value)
			return
		}
		d.problem(node, path, "want true or false")
	case reflect.Int:
		d.fillInt(node, into, path)
	}
}

// leaves are the types that are written as text and read by a function of their own.
var leaves = map[reflect.Type]func(string) (any, error){
	reflect.TypeFor[Duration](): func(s string) (any, error) { return ParseDuration(s) },
	reflect.TypeFor[Date]():     func(s string) (any, error) { return ParseDate(s) },
	reflect.TypeFor[Size]():     func(s string) (any, error) { return ParseSize(s) },
	reflect.TypeFor[netip.Prefix](): func(s string) (any, error) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network; write it like 10.0.8.0/24, one address like 10.0.8.5/32", s)
		}
		if prefix != prefix.Masked() {
			return nil, fmt.Errorf("%s has bits beyond its length; did you mean %s?", s, prefix.Masked())
		}
		return prefix, nil
	},
}

func (d *decoder) fillLeaf(node ast.Node, into reflect.Value, path string, read func(string) (any, error)) {
	text, ok := scalar(node)
	if !ok {
		d.problem(node, path, "want one value")
		return
	}
	value, err := read(text)
	if err != nil {
		d.problem(node, path, "%v", err)
		return
	}
	into.Set(reflect.ValueOf(value))
}

// scalar gives the text of a scalar as it is written in the file.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value, true
	case *ast.MappingNode:
		if len(n.Values) == 1 {
			return colonWord(n.Values[0])
		}
	case *ast.MappingValueNode:
		return colonWord(n)
	}
	return "", false
}

// colonWord gives a word with a colon in its middle, such as acrs:c1, which the YAML library takes for a mapping when
// it stands in a flow sequence. By YAML 1.2 section 7.4.2 only a colon with white space behind it begins a value there.
func colonWord(n *ast.MappingValueNode) (string, bool) {
	key := n.Key.GetToken()
	value, ok := scalar(n.Value)
	if !ok || n.Value.GetToken().Position.Offset != key.Position.Offset+len(key.Value)+1 {
		return "", false
	}
	return key.Value + ":" + value, true
}

func (d *decoder) fillString(node ast.Node, into reflect.Value, path string) {
	text, ok := scalar(node)
	switch {
	case !ok:
		d.problem(node, path, "want text")
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		d.problem(node, path, "control characters are not allowed")
	default:
		into.SetString(text)
	}
}

func (d *decoder) fillInt(node ast.Node, into reflect.Value, path string) {
	text, _ := scalar(node)
	n, err := strconv.ParseUint(text, 10, 31)
	if _, isNumber := node.(*ast.IntegerNode); err != nil || !isNumber {
		d.problem(node, path, "want a whole number, zero or more")
		return
	}
	into.SetInt(int64(n))
}

func (d *decoder) fillSlice(node ast.Node, into reflect.Value, path string) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		d.problem(node, path, "want a list")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(list.Values), len(list.Values)))
	for i, value := range list.Values {
		d.fill(value, into.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	at    place // of the key
	value ast.Node
}

// entries gives what a mapping has, each key once.
func (d *decoder) entries(node ast.Node, path string) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return nil, true
	default:
		d.problem(node, path, "want settings, each a name, a colon and a value")
		return nil, false
	}
	entries := make([]entry, 0, len(values))
	for _, value := range values {
		at := d.at(value.Key.GetToken())
		key := value.Key.GetToken().Value
		switch {
		case value.Key.IsMergeKey():
			d.problemAt(at, path, "merge keys are not supported; write the settings out")
		case slices.ContainsFunc(entries, func(e entry) bool { return e.key == key }):
			d.problemAt(at, join(path, key), "set twice; keep one of them")
		default:
			entries = append(entries, entry{key, at, value.Value})
		}
	}
	return entries, true
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) fillMap(node ast.Node, into reflect.Value, path string) {
	entries, ok := d.entries(node, path)
	if !ok {
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range entries {
		value := reflect.New(into.Type().Elem()).Elem()
		d.fill(e.value, value, join(path, e.key))
		into.SetMapIndex(reflect.ValueOf(e.key), value)
	}
}

func (d *decoder) fillStruct(node ast.Node, into reflect.Value, path string) {
	entries, ok := d.entries(node, path)
	if !ok {
		return
	}
	fields := settings(into.Type())
	for _, e := range entries {
		index, known := fields[e.key]
		if !known {
			d.problemAt(e.at, join(path, e.key), unknownKey(e.key, fields))
			continue
		}
		if _, empty := e.value.(*ast.NullNode); empty {
			d.problemAt(e.at, join(path, e.key), "has no value; give it one or leave it out")
			continue
		}
		d.fill(e.value, into.Field(index), join(path, e.key))
	}
}

// known has what settings has found already: type → its settings.
var known sync.Map

// settings gives the names of a type's settings and the index of each one's field. The map is not to be changed.
func settings(t reflect.Type) map[string]int {
	if fields, ok := known.Load(t); ok {
		return fields.(map[string]int)
	}
	fields := make(map[string]int)
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "-" {
			fields[name] = i
		}
	}
	known.Store(t, fields)
	return fields
}
