package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/audit"
	"postern/internal/gateway"
)

func newAuditHeads() *cobra.Command {
	c := &cobra.Command{
		Use:   "heads",
		Short: "Show the signed heads of the audit log",
		Long: `A head is the signed word of the gateway that the log had this line at that time. Keep one elsewhere now and then, on paper if need
be: with it, postern audit verify --head shows whether anything before it was touched. The setting audit.heads.copies does it by itself.`,
		Example: `  postern audit heads
  postern audit heads --sign --note > postern-2026-11-24.head`,
		Args: exactly(0),
	}
	path := configFlag(c)
	count := c.Flags().IntP("lines", "n", 20, "how many heads at most, the newest")
	sign := c.Flags().Bool("sign", false, "sign the newest line first")
	asNote := c.Flags().Bool("note", false, "print the newest head as it is signed, to keep it")
	asJSON := c.Flags().Bool("json", false, "print JSON, one head a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *count < 1 {
			return usageError{fmt.Errorf("--lines %d is not a number of heads", *count)}
		}
		if *sign {
			if err := administer(path, func(_ *cobra.Command, _ []string, admin *gateway.Admin) error {
				_, err := admin.SignAudit()
				return err
			})(c, nil); err != nil {
				return err
			}
		}
		folder, v, err := verification(*path, "", "", nil)
		if err != nil {
			return err
		}
		heads, problems, err := audit.Heads(os.DirFS(folder), v)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintln(c.ErrOrStderr(), p)
		}
		if len(heads) == 0 {
			return fmt.Errorf("the audit log %s has no head that fits yet; the gateway signs one when it starts", filepath.Join(folder, v.Log))
		}
		if *asNote {
			_, err := c.OutOrStdout().Write(heads[len(heads)-1].Note)
			return err
		}
		return printHeads(c, heads[max(0, len(heads)-*count):], *asJSON)
	}
	return c
}

func printHeads(c *cobra.Command, heads []audit.SignedHead, asJSON bool) error {
	var rows []table.Row
	for _, h := range heads {
		if asJSON {
			if err := printJSON(c, newHeadJSON(h.Head)); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, table.Row{h.Time.Local().Format(time.DateTime), h.Seq, h.Hash})
	}
	if !asJSON {
		printTable(c, table.Row{"signed", "line", "sha-256 of the line"}, rows)
	}
	return nil
}
