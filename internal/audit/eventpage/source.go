package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// source is what the Go files of some packages say in comments: about types, about fields, about constants.
type source struct {
	types  map[string]string            // type of package audit → its comment
	fields map[string]map[string]string // type of package audit → field → its comment
	words  map[string][]word            // type, such as auth.Reason → its constants, in their order
}

// word is a constant that stands in the log.
type word struct{ value, meaning string }

// packages are those whose files are read: name → folder, from the module's root. The log's words are declared in them.
var packages = map[string]string{
	"audit":  "internal/audit",
	"auth":   "auth",
	"factor": "auth/factor",
	"token":  "auth/token",
	"web":    "internal/web",
}

// readSource reads the packages of the module at root.
func readSource(root string) (source, error) {
	s := source{types: make(map[string]string), fields: make(map[string]map[string]string), words: make(map[string][]word)}
	for name, folder := range packages {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			return s, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return s, fmt.Errorf("reading %q: %w", file, err)
			}
			s.read(name, parsed)
		}
	}
	return s, nil
}

// read takes up what the declarations of a file say.
func (s *source) read(name string, file *ast.File) {
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if name == "audit" {
					s.readType(spec, said(spec.Doc, group.Doc))
				}
			case *ast.ValueSpec:
				s.readConstant(name, spec)
			}
		}
	}
}

func (s *source) readType(spec *ast.TypeSpec, comment string) {
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	s.types[spec.Name.Name] = comment
	fields := make(map[string]string)
	for _, field := range structure.Fields.List {
		for _, name := range field.Names {
			fields[name.Name] = without(name.Name, said(field.Comment, field.Doc))
		}
	}
	s.fields[spec.Name.Name] = fields
}

// readConstant takes up a constant of a type that is the package's own, if it is a text.
func (s *source) readConstant(name string, spec *ast.ValueSpec) {
	of, ok := spec.Type.(*ast.Ident)
	if !ok || len(spec.Values) != 1 {
		return
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	key := name + "." + of.Name
	s.words[key] = append(s.words[key], word{strings.Trim(literal.Value, `"`), without(spec.Names[0].Name, said(spec.Comment, spec.Doc))})
}

// without gives a comment without the name that it begins with, and without the full stop of a single sentence.
func without(name, comment string) string {
	for _, verb := range []string{" is ", " are ", ": "} {
		if rest, ok := strings.CutPrefix(comment, name+verb); ok {
			comment = rest
			break
		}
	}
	if !strings.Contains(comment, ". ") {
		comment = strings.TrimSuffix(comment, ".")
	}
	return comment
}

// said gives the text of the first comment that there is, in one line.
func said(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}
