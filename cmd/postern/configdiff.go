package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/gateway"
	"postern/internal/terminal"
)

func newConfigDiff() *cobra.Command {
	c := &cobra.Command{
		Use:   "diff -c FILE [NEW]",
		Short: "Say what a changed configuration would change, and for whom",
		Long: `Compares the file with NEW: settings, and what becomes of each login. Without NEW it asks the running gateway, over its
admin socket, what a reload would change now, which also finds the logins of match rules of which something is known.
Nothing is changed. The exit code is 0 whether there are differences or not, and 1 where one of the files is wrong.`,
		Example: `  postern config diff                  before postern reload
  postern config diff new.yaml --json | jq '.logins[] | select(.change == "removed") | .logins[]'`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		compared, err := compareConfigs(c, *path, args)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, compared)
		}
		return printComparison(c, compared)
	}
	return c
}

// compareConfigs compares two files, or what the running gateway has with its file.
func compareConfigs(c *cobra.Command, path string, args []string) (gateway.Comparison, error) {
	if len(args) == 0 {
		running, err := reach(path)
		if err != nil {
			return gateway.Comparison{}, err
		}
		return running.Compare(c.Context())
	}
	before, err := config.Load(path)
	if err != nil {
		return gateway.Comparison{}, err
	}
	after, err := config.Load(args[0])
	if err != nil {
		return gateway.Comparison{}, err
	}
	return gateway.Compare(before, after, nil), nil
}

// counted gives a number of things in words.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// maxNamed is how many logins a row of the table names.
const maxNamed = 5

// printComparison prints what differs, for people.
func printComparison(c *cobra.Command, compared gateway.Comparison) error {
	if compared.Empty() {
		_, err := fmt.Fprintln(c.OutOrStdout(), "nothing is different")
		return err
	}
	waiting := make(map[string]bool)
	for _, setting := range compared.Waiting {
		waiting[setting] = true
	}
	var rows []table.Row
	for _, d := range compared.Settings {
		when := ""
		if waiting[d.Setting] {
			when = "from the next start on"
		}
		rows = append(rows, table.Row{d.Setting, terminal.Text(d.Before), terminal.Text(d.After), when})
	}
	for _, l := range compared.Logins {
		who := fmt.Sprintf("%s: %s", counted(len(l.Logins), "login", "logins"), strings.Join(l.Logins[:min(maxNamed, len(l.Logins))], ", "))
		if len(l.Logins) > maxNamed {
			who += ", …"
		}
		rows = append(rows, table.Row{l.Change, "", "", who})
		for _, d := range l.Settings {
			rows = append(rows, table.Row{"  " + d.Setting, terminal.Text(d.Before), terminal.Text(d.After), ""})
		}
	}
	printTable(c, table.Row{"what", "before", "after", "for"}, rows)
	return nil
}
