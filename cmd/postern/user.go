package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/auth/token"
	"postern/internal/gateway"
)

func newUser() *cobra.Command {
	return group(&cobra.Command{
		Use:   "user",
		Short: "Look at logins, enrol people, lock people out",
	}, newUserList(), newUserShow(), newUserEnroll(), newUserRecheck(), newUserLock(), newUserUnlock(), newUserFactors())
}

func newUserList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the logins and their state: who has to sign in, who is locked, when each was last used",
		Long: `Lists the logins that the configuration names, and those of its match rules of which something is known: whose person has
signed in, that have app passwords, or that are locked.`,
		Example: `  postern user list
  postern user list --needs-sign-in --json | jq -r .login`,
		Args: exactly(0),
	}
	path := configFlag(c)
	needsSignIn := c.Flags().Bool("needs-sign-in", false, "only those whose person has to sign in, for the first time or again")
	asJSON := c.Flags().Bool("json", false, "print JSON, one login a line")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		users, err := admin.Users(c.Context())
		if err != nil {
			return err
		}
		if *needsSignIn {
			users = slices.DeleteFunc(users, func(u gateway.User) bool {
				return u.State != gateway.NotEnrolled && u.State != gateway.NeedsSignIn
			})
		}
		if *asJSON {
			for _, u := range users {
				if err := printJSON(c, userJSON(u)); err != nil {
					return err
				}
			}
			return nil
		}
		var rows []table.Row
		for _, u := range users {
			rows = append(rows, table.Row{u.Login, u.Mailbox, u.Account.String(), u.Policy.Name, userState(u), shortTime(u.Since), passwordCount(u), shortTime(u.LastUse.At)})
		}
		printTable(c, table.Row{"login", "mailbox", "account", "policy", "state", "since", "passwords", "last used"}, rows)
		return nil
	})
	return c
}

// passwordCount says how many app passwords of a login are in force.
func passwordCount(u gateway.User) string {
	if u.Suspended > 0 {
		return fmt.Sprintf("%d, %d suspended", u.Passwords, u.Suspended)
	}
	return strconv.Itoa(u.Passwords)
}

// userState says in a word or two how a login stands.
func userState(u gateway.User) string {
	if u.Lock != nil {
		return "locked"
	}
	return string(u.State)
}

func userJSON(u gateway.User) map[string]any {
	line := map[string]any{"login": u.Login, "mailbox": u.Mailbox, "provider": u.Account.Provider,
		"grant": u.Account.Grant, "policy": u.Policy.Name, "state": u.State, "passwords": u.Passwords, "suspended": u.Suspended}
	if u.Account.Name != "" {
		line["account"] = u.Account.Name
	}
	if u.Reason != "" {
		line["reason"] = u.Reason
	}
	for name, at := range map[string]time.Time{"since": u.Since, "last_used": u.LastUse.At} {
		if !at.IsZero() {
			line[name] = at
		}
	}
	if u.Lock != nil {
		line["locked"] = map[string]any{"since": u.Lock.Since, "by": u.Lock.By, "reason": u.Lock.Reason}
	}
	return line
}

func newUserEnroll() *cobra.Command {
	c := &cobra.Command{
		Use:   "enroll LOGIN",
		Short: "Have the person behind a login sign in to Microsoft, by device code",
		Long: `Prints a code and an address. The person opens the address in any browser, enters the code and signs in; the gateway
then keeps a refresh token for the account. The person who signs in must be the one that the login is mapped to.

Many tenants block device codes by a Conditional Access policy; docs/exchange-online.md says how to see that.`,
		Example: "  postern user enroll alice@contoso.com",
		Args:    exactly(1),
	}
	path := configFlag(c)
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		log := slog.New(slog.DiscardHandler) // what goes wrong is the command's error, and in the audit log
		identity, err := admin.Enroll(c.Context(), args[0], log, func(code token.DeviceCode) {
			fmt.Fprintf(c.OutOrStdout(), "Open   %s\nEnter  %s\n\nWaiting for the sign-in, until %s …\n",
				code.VerificationURL, code.UserCode, code.Expires.Local().Format(time.TimeOnly))
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "enrolled: %s\n", identity.Username)
		return err
	})
	return c
}
