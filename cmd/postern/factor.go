package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/auth/factor"
	"postern/internal/gateway"
)

func newUserFactors() *cobra.Command {
	c := &cobra.Command{
		Use:   "factors LOGIN",
		Short: "List a person's second factors, or reset them",
		Long: `Lists the second factors (authenticators and passkeys) that the person behind a login has enrolled in the portal. They are the
person's, and the same for all their logins.

--reset removes all of them, for somebody who has lost them. The person then signs in to the portal, afresh, and enrols a new one:
until that has happened, whoever has the person's password at Microsoft could do so instead. So be sure that it is the person who
asks, and have it done at once. App passwords stay as they are and go on working. The reset is in the audit log, and the person sees it.`,
		Example: "  postern user factors alice@contoso.com\n  postern user factors alice@contoso.com --reset",
		Args:    exactly(1),
	}
	path := configFlag(c)
	reset := c.Flags().Bool("reset", false, "remove all of them")
	asJSON := c.Flags().Bool("json", false, "print JSON, one factor a line")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		if *reset {
			return resetFactors(c, admin, args[0], *asJSON)
		}
		_, factors, err := admin.Factors(c.Context(), args[0])
		if err != nil {
			return err
		}
		return printFactors(c, factors, *asJSON)
	})
	return c
}

func printFactors(c *cobra.Command, factors []factor.Factor, asJSON bool) error {
	var rows []table.Row
	for _, f := range factors {
		if !asJSON {
			rows = append(rows, table.Row{f.ID, f.Method, f.Name, shortTime(f.Created), shortTime(f.Used)})
			continue
		}
		line := map[string]any{"id": f.ID, "method": f.Method, "name": f.Name, "created": f.Created}
		if !f.Used.IsZero() {
			line["used"] = f.Used
		}
		if err := printJSON(c, line); err != nil {
			return err
		}
	}
	if !asJSON {
		printTable(c, table.Row{"id", "method", "name", "enrolled", "last used"}, rows)
	}
	return nil
}

func resetFactors(c *cobra.Command, admin *gateway.Admin, login string, asJSON bool) error {
	owner, n, err := admin.ResetFactors(c.Context(), login)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c, map[string]any{"account": owner.Username, "tid": owner.TenantID, "oid": owner.ObjectID, "removed": n})
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "removed %d second factors of %s; the next one is enrolled in the portal\n", n, owner.Username)
	return err
}
