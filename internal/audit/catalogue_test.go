package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// declared is what the module's code declares and makes of events.
type declared struct {
	types   map[string]string // type with a method Privileged → package that has it
	written map[string]bool   // type of package audit that some code makes a value of, to record it
}

// TestCatalogue holds the catalogue against the code: each event is in it once, each kind is one event's, each is written by
// some code, and no other package has events of its own.
func TestCatalogue(t *testing.T) {
	code := readModule(t)
	kinds, listed := make(map[string]string), make(map[string]bool)
	for _, event := range Catalogue() {
		name := reflect.TypeOf(event).Name()
		if listed[name] {
			t.Errorf("%s is in the catalogue twice", name)
		}
		listed[name] = true
		if other, taken := kinds[event.Kind()]; taken && other != name {
			t.Errorf("%s and %s are both called %s", other, name, event.Kind())
		}
		kinds[event.Kind()] = name
		if !code.written[name] {
			t.Errorf("no code writes a %s (%s)", event.Kind(), name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(code.types)) {
		if of := code.types[name]; of != "audit" {
			t.Errorf("%s of package %s is an event, and is not in package audit", name, of)
		} else if !listed[name] {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
}

// readModule reads all code of the product.
func readModule(t *testing.T) declared {
	t.Helper()
	code := declared{types: make(map[string]string), written: make(map[string]bool)}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "bench" || entry.Name() == "sim" || entry.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || entry.Name() == "catalogue.go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			code.read(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(code.types) < 50 {
		t.Fatalf("only %d events were found: is this the module?", len(code.types))
	}
	return code
}

// read takes up the events of a file. A value that is made only to ask its kind is none that is written.
func (d *declared) read(file *ast.File) {
	asked := make(map[ast.Expr]bool)
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			if node.Name.Name == "Privileged" && node.Recv != nil {
				if receiver, ok := node.Recv.List[0].Type.(*ast.Ident); ok {
					d.types[receiver.Name] = file.Name.Name
				}
			}
		case *ast.SelectorExpr:
			if node.Sel.Name == "Kind" {
				asked[node.X] = true
			}
		case *ast.CompositeLit:
			if !asked[node] {
				d.made(node.Type, file.Name.Name)
			}
		}
		return true
	})
}

// made notes that a value of a type is made, where that may be one of package audit.
func (d *declared) made(of ast.Expr, in string) {
	switch of := of.(type) {
	case *ast.Ident:
		if in == "audit" {
			d.written[of.Name] = true
		}
	case *ast.SelectorExpr:
		if from, ok := of.X.(*ast.Ident); ok && from.Name == "audit" {
			d.written[of.Sel.Name] = true
		}
	}
}
