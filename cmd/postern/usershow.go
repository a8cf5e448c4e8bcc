package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/gateway"
)

func newUserShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show LOGIN",
		Short: "Say what the configuration makes of a login, which rule decided what, and how the login stands",
		Long: `Says which entry of users decided, by the first that fits, and where each setting comes from: from the entry's own override,
from its policy, or from nowhere, so that the default holds. Lines are those of the configuration file. LOGIN may be an
alias, or a name that a match rule fits.`,
		Example: "  postern user show bob@contoso.com",
		Args:    exactly(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		u, err := admin.User(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, explainJSON(u))
		}
		return explain(c, u)
	})
	return c
}

// explain prints all that is known of a login, for people.
func explain(c *cobra.Command, u gateway.User) error {
	lines := [][2]string{
		{"login", u.Login}, {"mailbox", u.Mailbox}, {"account", u.Account.String()},
		{"rule", ruleText(u)}, {"policy", u.Policy.Name}, {"state", string(u.State)},
	}
	if u.Reason != "" {
		lines = append(lines, [2]string{"reason", u.Reason})
	}
	if u.Lock != nil {
		lines = append(lines, [2]string{"locked", strings.TrimSpace(fmt.Sprintf("%s by %s %s", shortTime(u.Lock.Since), u.Lock.By, u.Lock.Reason))})
	}
	lines = append(lines, [2]string{"passwords", passwordCount(u)}, [2]string{"last used", shortTime(u.LastUse.At)})
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	var rows []table.Row
	for _, setting := range u.Policy.Settings() {
		rows = append(rows, table.Row{setting.Key, settingValue(setting), originText(u, setting.Origin)})
	}
	printTable(c, table.Row{"setting", "value", "from"}, rows)
	return nil
}

// ruleText says which entry of the configuration decided.
func ruleText(u gateway.User) string {
	text := "login " + u.Login
	switch {
	case u.Rule.Match != "":
		text = "match " + u.Rule.Match
	case u.Rule.Alias != "":
		text += ", by its alias " + u.Rule.Alias
	}
	return fmt.Sprintf("line %d: %s", u.Rule.Line, text)
}

// settingValue gives a setting's value; a dash for one that holds nothing.
func settingValue(s config.Setting) string {
	if s.Value == "" {
		return "–"
	}
	return s.Value
}

// originText says where a setting was set.
func originText(u gateway.User, o config.Origin) string {
	switch {
	case o == config.Origin{}:
		return "default"
	case o.Override:
		return fmt.Sprintf("override, line %d", o.Line)
	}
	return fmt.Sprintf("policy %s, line %d", u.Policy.Name, o.Line)
}

// explainJSON is the login's line of the list with the rule and the settings that decide.
func explainJSON(u gateway.User) map[string]any {
	line := userJSON(u)
	rule := map[string]any{"line": u.Rule.Line}
	for name, text := range map[string]string{"match": u.Rule.Match, "alias": u.Rule.Alias} {
		if text != "" {
			rule[name] = text
		}
	}
	line["rule"] = rule
	settings := make(map[string]any)
	for _, s := range u.Policy.Settings() {
		setting := map[string]any{"value": s.Value, "from": "default"}
		switch {
		case s.Origin.Override:
			setting["from"], setting["line"] = "override", s.Origin.Line
		case s.Origin.Line > 0:
			setting["from"], setting["line"] = "policy", s.Origin.Line
		}
		settings[s.Key] = setting
	}
	line["settings"] = settings
	return line
}
