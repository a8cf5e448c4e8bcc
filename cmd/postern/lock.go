package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/gateway"
)

func newUserLock() *cobra.Command {
	c := &cobra.Command{
		Use:   "lock LOGIN",
		Short: "Lock a login out: no sign-in, and no session goes on",
		Long: `Locks a login. From the next sign-in on it is refused, whatever its password, and looks to the client like any wrong
password; a running gateway ends its sessions within a second. No gateway has to run. Passwords and tokens stay as they are, so
that postern user unlock makes all as it was.`,
		Example: `  postern user lock alice@contoso.com --reason "telephone lost"`,
		Args:    exactly(1),
	}
	path := configFlag(c)
	reason := c.Flags().String("reason", "", "why, for the audit log and for who looks at it later")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		lock, isNew, err := admin.Lock(c.Context(), args[0], *reason)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(c, map[string]any{"login": lock.Login, "since": lock.Since, "by": lock.By, "reason": lock.Reason})
		case !isNew:
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is locked already, since %s by %s %s\n", lock.Login, shortTime(lock.Since), lock.By, lock.Reason)
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "locked: %s\n", lock.Login)
		return err
	})
	return c
}

func newUserUnlock() *cobra.Command {
	c := &cobra.Command{
		Use:     "unlock LOGIN",
		Short:   "Let a locked login sign in again",
		Example: "  postern user unlock alice@contoso.com",
		Args:    exactly(1),
	}
	path := configFlag(c)
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		login, err := admin.Unlock(c.Context(), args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "unlocked: %s\n", login)
		return err
	})
	return c
}
