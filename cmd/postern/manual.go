package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newManual is for those who make packages, and hidden from everybody else. Cobra's own writer of man pages takes the
// help of a command for Markdown, which ours is not: columns and asterisks would be lost.
func newManual() *cobra.Command {
	return &cobra.Command{
		Use:     "manual DIR",
		Short:   "Write the man pages, one for each command, into a folder",
		Example: `  postern manual /usr/local/share/man/man1`,
		Args:    exactly(1),
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("making the folder of the man pages: %w", err)
			}
			b := readBuild()
			day, _, _ := strings.Cut(b.Date, "T")
			return writeManual(c.Root(), args[0], fmt.Sprintf("%q %q", day, "postern "+b.Version))
		},
	}
}

// writeManual writes the page of a command and of all below it. The edition is the date and the version, quoted for the
// foot of each page.
func writeManual(c *cobra.Command, dir, edition string) error {
	var page strings.Builder
	writePage(&page, c, edition)
	if err := os.WriteFile(filepath.Join(dir, pageName(c)+".1"), []byte(page.String()), 0o644); err != nil {
		return fmt.Errorf("writing the man page of %q: %w", c.CommandPath(), err)
	}
	for _, below := range c.Commands() {
		if !below.IsAvailableCommand() {
			continue
		}
		if err := writeManual(below, dir, edition); err != nil {
			return err
		}
	}
	return nil
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// writePage writes a page with the macros of man(7).
func writePage(w io.Writer, c *cobra.Command, edition string) {
	c.InitDefaultHelpFlag()
	fmt.Fprintf(w, ".TH %s 1 %s \"Postern\"\n", strings.ToUpper(pageName(c)), edition)
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(pageName(c)), roff(c.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.nf\n%s\n.fi\n", roff(c.UseLine()))
	if c.Long != "" {
		verbatim(w, "DESCRIPTION", c.Long)
	}
	verbatim(w, "OPTIONS", c.LocalFlags().FlagUsages())
	if c.HasInheritedFlags() {
		verbatim(w, "OPTIONS OF ALL ITS KIND", c.InheritedFlags().FlagUsages())
	}
	if c.Example != "" {
		verbatim(w, "EXAMPLES", c.Example)
	}
	var related []string
	if c.HasParent() {
		related = append(related, reference(c.Parent()))
	}
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			related = append(related, reference(below))
		}
	}
	fmt.Fprintf(w, ".SH SEE ALSO\n%s\n", strings.Join(related, ",\n"))
}

func reference(c *cobra.Command) string { return `\fB` + roff(pageName(c)) + `\fR(1)` }

// verbatim writes a section whose lines and columns stay as they are.
func verbatim(w io.Writer, section, text string) {
	fmt.Fprintf(w, ".SH %s\n.EX\n%s\n.EE\n", section, roff(strings.TrimRight(text, "\n")))
}

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`)

// roff gives text in which nothing is taken for a request or an escape.
func roff(text string) string {
	lines := strings.Split(escapes.Replace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
