package main

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/gateway"
)

func newSession() *cobra.Command {
	return group(&cobra.Command{
		Use:   "session",
		Short: "Look at the live sessions of the running gateway, and end them",
		Long: `These commands reach the running gateway over its admin socket (admin_socket in the configuration, by default postern.sock
beside the store). Root and the user that the gateway runs as may use them.`,
	}, newSessionList(), newSessionKill())
}

func newSessionList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the live sessions, the oldest first",
		Example: `  postern session list
  postern session list --json | jq -r .login | sort | uniq -c`,
		Args: exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one session a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		running, err := reach(*path)
		if err != nil {
			return err
		}
		sessions, err := running.Sessions(c.Context())
		if err != nil {
			return err
		}
		var rows []table.Row
		for _, s := range sessions {
			if *asJSON {
				if err := printJSON(c, s); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, table.Row{s.ID, s.Protocol, s.Login, s.Mailbox, s.Remote, s.Since.Local().Format(time.DateTime)})
		}
		if !*asJSON {
			printTable(c, table.Row{"id", "protocol", "login", "mailbox", "remote", "since"}, rows)
		}
		return nil
	}
	return c
}

func newSessionKill() *cobra.Command {
	c := &cobra.Command{
		Use:   "kill ID | --login LOGIN | --all",
		Short: "End live sessions at once",
		Long: `Ends sessions at once. Their clients may sign in again: to keep somebody out, lock the login (postern user lock) or revoke
the app password (postern password revoke); both end the sessions as well.`,
		Example: `  postern session kill 3f9c0d51a7e8b264
  postern session kill --login copier-3`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	var cut gateway.Cut
	c.Flags().StringVar(&cut.Login, "login", "", "end the sessions of this login")
	c.Flags().BoolVar(&cut.All, "all", false, "end all sessions")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		named := len(args)
		if named == 1 {
			cut.ID = args[0]
		}
		for _, flag := range []string{"login", "all"} {
			if c.Flags().Changed(flag) {
				named++
			}
		}
		if named != 1 {
			return usageError{fmt.Errorf("name one of a session's id, --login LOGIN, or --all; postern session list shows the sessions")}
		}
		running, err := reach(*path)
		if err != nil {
			return err
		}
		count, err := running.Cut(c.Context(), cut)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, map[string]int{"count": count})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "ended: %d\n", count)
		return err
	}
	return c
}

// reach gives the running gateway of a configuration.
func reach(path string) (*gateway.Running, error) {
	loaded, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	return gateway.Reach(loaded.AdminSocket), nil
}
