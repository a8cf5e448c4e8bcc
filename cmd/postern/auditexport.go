package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/audit"
	"postern/internal/audit/export"
	"postern/internal/config"
)

func newAuditExport() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write entries of the audit log for spreadsheets and SIEMs, the oldest first",
		Long: `Writes entries to the standard output: jsonl, the lines as they are; csv, for spreadsheets, in which no cell begins a formula; cef
and ocsf (1.3), for SIEMs. docs/audit.md says how events become theirs.`,
		Example: `  postern audit export --format csv --since 30d > events.csv
  postern audit export --format ocsf --since 2026-11-24T09:00 --until 2026-11-24T10:00`,
		Args: exactly(0),
	}
	path := configFlag(c)
	wanted := entryFlags(c)
	format := c.Flags().String("format", "jsonl", "one of "+strings.Join(export.Formats, ", "))
	since := c.Flags().String("since", "", "from then on: 2h or 7d ago, a day such as 2026-11-24, or a time such as 2026-11-24T09:00")
	until := c.Flags().String("until", "", "before then, written as for --since")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query, err := wanted.query()
		if err != nil {
			return err
		}
		if err := span(&query, *since, *until); err != nil {
			return err
		}
		if !slices.Contains(export.Formats, *format) {
			return usageError{fmt.Errorf("--format %q is not known; want %s", *format, strings.Join(export.Formats, ", "))}
		}
		loaded, err := config.Load(*path)
		if err != nil {
			return err
		}
		return exportEntries(c, loaded.AuditFile, *format, query)
	}
	return c
}

// exportEntries writes what is found, and says on the side where the log has what nobody can read.
func exportEntries(c *cobra.Command, file, format string, query audit.Query) error {
	out := bufio.NewWriter(c.OutOrStdout())
	w, err := export.NewWriter(out, format, version)
	if err != nil {
		return err
	}
	found, err := audit.Scan(c.Context(), file, query, w.Write)
	if found.Unreadable > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "passed over %d lines that are not whole, as a crash leaves them\n", found.Unreadable)
	}
	return errors.Join(err, out.Flush())
}
