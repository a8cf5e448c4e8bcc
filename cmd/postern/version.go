package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "development"

// build is what is known of how this program was built.
type build struct {
	Version string            `json:"version"`
	Commit  string            `json:"commit,omitempty"` // with +dirty where files were changed
	Date    string            `json:"date,omitempty"`   // of the commit
	Go      string            `json:"go"`
	System  string            `json:"system"`
	Modules map[string]string `json:"modules,omitempty"`
}

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is, and how it was built",
		Example: `  postern version
  postern version --json | jq .modules`,
		Args: exactly(0),
	}
	asJSON := c.Flags().Bool("json", false, "print JSON, with the modules that are built in")
	c.RunE = func(c *cobra.Command, _ []string) error {
		b := readBuild()
		if *asJSON {
			return printJSON(c, b)
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "postern %s (%s, %s)\n", b.Version, b.Go, b.System)
		if err == nil && b.Commit != "" {
			_, err = fmt.Fprintf(c.OutOrStdout(), "commit %s of %s\n", b.Commit, b.Date)
		}
		return err
	}
	return c
}

// readBuild reads what the Go toolchain has noted in the program.
func readBuild() build {
	b := build{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && b.Commit != "" {
		b.Commit += "+dirty"
	}
	b.Modules = make(map[string]string)
	for _, m := range info.Deps {
		b.Modules[m.Path] = m.Version
	}
	return b
}
