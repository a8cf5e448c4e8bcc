package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/config"
	"postern/internal/gateway"
	"postern/internal/terminal"
)

// printJSON prints one value as one line of JSON that is safe for a terminal, too.
func printJSON(c *cobra.Command, value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", terminal.JSON(line))
	return err
}

// printTable prints rows under a header, for people.
func printTable(c *cobra.Command, header table.Row, rows []table.Row) {
	t := table.NewWriter()
	t.SetOutputMirror(c.OutOrStdout())
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder, t.Style().Options.SeparateColumns = false, false
	t.AppendHeader(header)
	t.AppendRows(rows)
	t.Render()
}

// newLog makes the log: coloured on a terminal, plain text elsewhere, JSON when asked for.
func newLog(to io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	switch format {
	case "text":
		if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return slog.New(tint.NewHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly})), nil
		}
		return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level})), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q is not known; want text or json", format)}
}

// configFlag adds -c to a command.
func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", "postern.yaml", "the configuration file")
}

// loadConfig loads the configuration and prints its warnings.
func loadConfig(c *cobra.Command, path string) (*config.Config, error) {
	loaded, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, warning := range loaded.Warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", warning)
	}
	return loaded, nil
}

// administer makes of an administrator's command one that opens the state of the configuration at path first, and closes it
// behind it.
func administer(path *string, command func(*cobra.Command, []string, *gateway.Admin) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		admin, err := openAdmin(c, *path)
		if err != nil {
			return err
		}
		return errors.Join(command(c, args, admin), admin.Close())
	}
}

// openAdmin opens the state for the administrator's commands.
func openAdmin(c *cobra.Command, path string) (*gateway.Admin, error) {
	loaded, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	return gateway.NewAdmin(c.Context(), loaded, operator())
}

// operator gives who types: the account on this machine, and whose it was before sudo.
func operator() string {
	name := "unknown"
	if account, err := user.Current(); err == nil {
		name = account.Username
	}
	if before := os.Getenv("SUDO_USER"); before != "" && before != name {
		return before + " as " + name
	}
	return name
}

// shortTime writes a time for a table; a time that is not set is a dash.
func shortTime(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04")
}
