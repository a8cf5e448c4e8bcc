// Command eventpage writes docs/events.md: the events of the audit log, made from the types of package audit and their
// comments. It is no part of the product; go generate runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// path is where the page is, from the module's root.
var path = filepath.Join("docs", "events.md")

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: eventpage MODULE-ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "eventpage:", err)
		os.Exit(1)
	}
}

// run writes the page of the module at root.
func run(root string) error {
	s, err := readSource(root)
	if err != nil {
		return err
	}
	content, err := page(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, path), content, 0o644)
}
