package main

import (
	"fmt"
	"log/slog"
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
	}, newUserList(), newUserShow(), newUserEnroll(), newUserLock(), newUserUnlock())
}

func newUserList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the logins of the configuration and the state of their tokens",
		Example: "  postern user list",
		Args:    exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one login a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		admin, err := openAdmin(c, *path)
		if err != nil {
			return err
		}
		defer admin.Close()
		users, err := admin.Users(c.Context())
		if err != nil {
			return err
		}
		var rows []table.Row
		for _, u := range users {
			if *asJSON {
				if err := printJSON(c, userJSON(u)); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, table.Row{u.Login, u.Mailbox, u.Account.String(), u.Policy.Name, userState(u), shortTime(u.Since)})
		}
		if !*asJSON {
			printTable(c, table.Row{"login", "mailbox", "account", "policy", "state", "since"}, rows)
		}
		return nil
	}
	return c
}

func newUserShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show LOGIN",
		Short:   "Say what the configuration makes of a login, also of one that a match rule maps",
		Example: "  postern user show bob@contoso.com",
		Args:    exactly(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		admin, err := openAdmin(c, *path)
		if err != nil {
			return err
		}
		defer admin.Close()
		u, err := admin.User(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, userJSON(u))
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "login    %s\nmailbox  %s\naccount  %s\npolicy   %s\nstate    %s\n",
			u.Login, u.Mailbox, u.Account, u.Policy.Name, u.State)
		if u.Reason != "" {
			fmt.Fprintf(c.OutOrStdout(), "reason   %s\n", u.Reason)
		}
		if u.Lock != nil {
			fmt.Fprintf(c.OutOrStdout(), "locked   %s by %s %s\n", shortTime(u.Lock.Since), u.Lock.By, u.Lock.Reason)
		}
		return err
	}
	return c
}

// userState says in a word or two how a login stands.
func userState(u gateway.User) string {
	if u.Lock != nil {
		return "locked"
	}
	return u.State
}

func userJSON(u gateway.User) map[string]any {
	line := map[string]any{"login": u.Login, "mailbox": u.Mailbox, "provider": u.Account.Provider,
		"grant": u.Account.Grant, "policy": u.Policy.Name, "state": u.State}
	if u.Account.Name != "" {
		line["account"] = u.Account.Name
	}
	if u.Reason != "" {
		line["reason"] = u.Reason
	}
	if !u.Since.IsZero() {
		line["since"] = u.Since
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
	c.RunE = func(c *cobra.Command, args []string) error {
		admin, err := openAdmin(c, *path)
		if err != nil {
			return err
		}
		defer admin.Close()
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
	}
	return c
}
