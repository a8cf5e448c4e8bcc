package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/audit"
	"postern/internal/config"
)

func newAudit() *cobra.Command {
	return group(&cobra.Command{
		Use:   "audit",
		Short: "Read and verify the audit log",
		Long: `These commands read the audit log's files, whether the gateway runs or not. docs/audit.md and docs/events.md say what is in them. What strangers
have written into them is made safe for the terminal.`,
	}, newAuditTail(), newAuditSearch(), newAuditExport(), newAuditVerify(), newAuditHeads(), newAuditKey())
}

func newAuditTail() *cobra.Command {
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show the last entries of the audit log, and with -f those that come",
		Example: `  postern audit tail -n 50
  postern audit tail -f --login copier-3`,
		Args: exactly(0),
	}
	path := configFlag(c)
	wanted := entryFlags(c)
	count := c.Flags().IntP("lines", "n", 20, "how many entries")
	follow := c.Flags().BoolP("follow", "f", false, "go on with what is recorded from now on, until it is interrupted")
	asJSON := c.Flags().Bool("json", false, "print JSON, one entry a line, as it is in the file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query, err := wanted.query()
		if err != nil {
			return err
		}
		if *count < 0 {
			return usageError{fmt.Errorf("--lines %d is less than nothing", *count)}
		}
		loaded, err := config.Load(*path)
		if err != nil {
			return err
		}
		return audit.Tail(c.Context(), loaded.AuditFile, *count, query, *follow, func(e audit.Entry) error {
			return printEntry(c, e, *asJSON)
		})
	}
	return c
}

func newAuditSearch() *cobra.Command {
	c := &cobra.Command{
		Use:   "search",
		Short: "Find entries of the audit log, the newest first",
		Example: `  postern audit search --login copier-3 --kind message --since 7d
  postern audit search --outcome refused --since 2026-11-24 --until 2026-11-25
  postern audit search --session 3f9c0d51a7e8b264 --json`,
		Args: exactly(0),
	}
	path := configFlag(c)
	wanted := entryFlags(c)
	since := c.Flags().String("since", "", "from then on: 2h or 7d ago, a day such as 2026-11-24, or a time such as 2026-11-24T09:00")
	until := c.Flags().String("until", "", "before then, written as for --since")
	limit := c.Flags().IntP("lines", "n", 0, "how many entries at most; default all")
	asJSON := c.Flags().Bool("json", false, "print JSON, one entry a line, as it is in the file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		query, err := wanted.query()
		if err != nil {
			return err
		}
		if err := span(&query, *since, *until); err != nil {
			return err
		}
		if query.Limit = *limit; *limit < 0 {
			return usageError{fmt.Errorf("--lines %d is less than nothing", *limit)}
		}
		loaded, err := config.Load(*path)
		if err != nil {
			return err
		}
		return search(c, loaded.AuditFile, query, *asJSON)
	}
	return c
}

// search prints what is found, and says so on the side where the log has what nobody can read.
func search(c *cobra.Command, file string, query audit.Query, asJSON bool) error {
	var failed error
	found, err := audit.Search(c.Context(), file, query, func(e audit.Entry) bool {
		failed = printEntry(c, e, asJSON)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if found.Unreadable > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "passed over %d lines that are not whole, as a crash leaves them\n", found.Unreadable)
	}
	return err
}

// printEntry prints an entry in one line.
func printEntry(c *cobra.Command, e audit.Entry, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", e.JSON())
		return err
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", e.Time.Local().Format(time.DateTime), e.Text())
	return err
}

// wantedEntries are the flags that tail and search have in common.
type wantedEntries struct {
	logins, accounts, kinds *[]string
	session, outcome, by    *string
}

func entryFlags(c *cobra.Command) wantedEntries {
	return wantedEntries{
		logins:   c.Flags().StringSlice("login", nil, "only entries about this login"),
		accounts: c.Flags().StringSlice("account", nil, "only entries about this account of a person: its tokens, factors, portal sign-ins and sessions"),
		by:       c.Flags().String("by", "", "only what this one did: a person's account, or a user of the server"),
		kinds:    c.Flags().StringSlice("kind", nil, "only entries of this kind, such as sign-in or message"),
		session:  c.Flags().String("session", "", "only entries of this session"),
		outcome:  c.Flags().String("outcome", "", "only entries with this outcome: allowed or refused"),
	}
}

// query gives the query that the flags ask for.
func (w wantedEntries) query() (audit.Query, error) {
	query := audit.Query{Kinds: *w.kinds, Session: *w.session, Outcome: audit.Outcome(*w.outcome), By: *w.by}
	for _, login := range *w.logins {
		query.Who.Logins = append(query.Who.Logins, strings.ToLower(login))
	}
	for _, account := range *w.accounts { // some events have it as the configuration does, others as the provider shows it
		query.Who.Accounts = append(query.Who.Accounts, account, strings.ToLower(account))
	}
	var known []string
	for _, event := range audit.Catalogue() {
		known = append(known, event.Kind())
	}
	for _, kind := range *w.kinds {
		if !slices.Contains(known, kind) {
			return query, usageError{fmt.Errorf("--kind %q is not known; the kinds are %s", kind, strings.Join(known, ", "))}
		}
	}
	if o := query.Outcome; o != "" && o != audit.Allowed && o != audit.Refused {
		return query, usageError{fmt.Errorf("--outcome %q is not known; want allowed or refused", o)}
	}
	return query, nil
}

// span bounds a query by the times of --since and --until.
func span(query *audit.Query, since, until string) (err error) {
	now := time.Now()
	if query.Since, err = moment("since", since, now); err != nil {
		return err
	}
	query.Until, err = moment("until", until, now)
	return err
}

// moment reads a time of the command line: so long ago, or a day or time of this machine's clock. An empty text is no
// time.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := config.ParseDuration(text); err == nil {
		return now.Add(-time.Duration(ago)), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--%s %q is not a time; write it like 2h, 7d, 2026-11-24 or 2026-11-24T09:00", flag, text)}
}
