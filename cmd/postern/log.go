package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

func newLogGroup() *cobra.Command {
	return group(&cobra.Command{
		Use:   "log",
		Short: "Look at the level of the running gateway's log, and change it",
	}, newLogLevel())
}

func newLogLevel() *cobra.Command {
	c := &cobra.Command{
		Use:   "level [debug|info|warn|error]",
		Short: "Show or change how much the running gateway logs, until it stops",
		Long: `Shows or changes how much the running gateway logs, until it stops. This is the program's log and not the audit log, which is always
complete. The change is in the audit log.`,
		Example: `  postern log level
  postern log level debug`,
		Args: cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		var level slog.Level
		if len(args) == 1 {
			if err := level.UnmarshalText([]byte(args[0])); err != nil || strings.ContainsAny(args[0], "+-") {
				return usageError{fmt.Errorf("%q is not a level; want debug, info, warn or error", args[0])}
			}
		}
		running, err := reach(*path)
		if err != nil {
			return err
		}
		said := map[string]string{}
		if len(args) == 0 {
			now, err := running.LogLevel(c.Context())
			if err != nil {
				return err
			}
			level = now
		} else {
			before, err := running.ChangeLogLevel(c.Context(), level)
			if err != nil {
				return err
			}
			said["before"] = strings.ToLower(before.String())
		}
		said["level"] = strings.ToLower(level.String())
		if *asJSON {
			return printJSON(c, said)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), said["level"])
		return err
	}
	return c
}
