package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCatalogue holds the catalogue against the types that are events, and the documentation against the catalogue.
func TestCatalogue(t *testing.T) {
	docs, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, event := range Catalogue() {
		known = append(known, event.Kind())
		row := "\n| `" + event.Kind() + "` "
		if event.Privileged() {
			row += "* "
		}
		if !strings.Contains(string(docs), row+"|") {
			t.Errorf("docs/audit.md has no row that begins with %q", row+"|")
		}
	}
	for _, kind := range kindsOfPackage(t) {
		if !slices.Contains(known, kind) {
			t.Errorf("%s is not in the catalogue", kind)
		}
	}
}

// kindsOfPackage gives what the Kind methods of this package's files say.
func kindsOfPackage(t *testing.T) (kinds []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			method, ok := declaration.(*ast.FuncDecl)
			if !ok || method.Name.Name != "Kind" || method.Recv == nil || strings.HasSuffix(file, "_test.go") {
				continue
			}
			answer := method.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit)
			kinds = append(kinds, strings.Trim(answer.Value, `"`))
		}
	}
	return kinds
}
