package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
)

func newUserRecheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "recheck LOGIN... | --all",
		Short: "Have Microsoft asked again for people whom it refused",
		Long: `Has Entra ID asked for a token, now, for people whom it refused for a reason that no sign-in mends: a Conditional Access policy,
a consent that is missing, a user who is not assigned. Once that has been mended, this puts them back to work; nobody has to sign in.
Postern itself asks twice more after such a refusal, within an hour, and not again, however often a device tries.

It says of each what came of it, and fails when one of them is still refused.`,
		Example: `  postern user recheck alice@contoso.com
  postern user recheck --all      # everybody in the state "refused"`,
		Args: cobra.ArbitraryArgs,
	}
	path := configFlag(c)
	all := c.Flags().Bool("all", false, "everybody in the state \"refused\"")
	asJSON := c.Flags().Bool("json", false, "print JSON, one login a line")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *all == (len(args) > 0) {
			return usageError{fmt.Errorf("usage: %s", c.UseLine())}
		}
		admin, err := openAdmin(c, *path)
		if err != nil {
			return err
		}
		defer admin.Close()
		log := slog.New(slog.DiscardHandler) // what goes wrong is printed, and in the audit log
		refused := 0
		err = admin.Recheck(c.Context(), args, log, func(login string, err error) error {
			if err != nil {
				refused++
			}
			return printRecheck(c, *asJSON, login, err)
		})
		if err == nil && refused > 0 {
			err = errors.New("not everybody is taken again; docs/exchange-online.md says what each refusal means")
		}
		return err
	}
	return c
}

// printRecheck prints what came of asking about one login.
func printRecheck(c *cobra.Command, asJSON bool, login string, err error) error {
	if asJSON {
		line := map[string]any{"login": login, "ok": err == nil}
		if err != nil {
			line["reason"] = err.Error()
		}
		return printJSON(c, line)
	}
	outcome := "ok"
	if err != nil {
		outcome = err.Error()
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", login, outcome)
	return err
}
