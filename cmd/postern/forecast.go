package main

import (
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/gateway"
)

func newForecast() *cobra.Command {
	c := &cobra.Command{
		Use:   "forecast",
		Short: "Say what will stop working, when, why, and what keeps it going",
		Long: `Looks ahead: app passwords that expire or whose evidence becomes too old, accounts that have to sign in again or that
nobody has used for long, and certificates that end. What has stopped already and can be mended comes first. A client secret
carries no date; it is listed without one.`,
		Example: `  postern forecast
  postern forecast --days 90
  postern forecast --json | jq 'select(.stopped)'`,
		Args: exactly(0),
	}
	path := configFlag(c)
	days := c.Flags().Uint16("days", 30, "how many days to look ahead")
	asJSON := c.Flags().Bool("json", false, "print JSON, one line for each thing that stops")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		now := time.Now()
		stops, err := admin.Forecast(c.Context(), now, now.AddDate(0, 0, int(*days)))
		if err != nil {
			return err
		}
		if *asJSON {
			return forecastJSON(c, stops, now)
		}
		return forecastTable(c, stops, now, *days)
	})
	return c
}

func forecastTable(c *cobra.Command, stops []gateway.Stop, now time.Time, days uint16) error {
	if len(stops) == 0 {
		_, err := fmt.Fprintf(c.OutOrStdout(), "nothing stops within %d days\n", days)
		return err
	}
	var rows []table.Row
	for _, s := range stops {
		when := shortTime(s.At)
		switch {
		case s.At.IsZero():
			when = "not known"
		case !s.At.After(now):
			when = "stopped already"
		}
		rows = append(rows, table.Row{when, s.Subject, s.Why + "\n→ " + s.Remedy})
	}
	printTable(c, table.Row{"when", "what", "why, and what keeps it going"}, rows)
	return nil
}

// forecastJSON prints a line for each thing that stops; "at" is left out where the time is not known.
func forecastJSON(c *cobra.Command, stops []gateway.Stop, now time.Time) error {
	for _, s := range stops {
		line := map[string]any{"kind": s.Kind, "subject": s.Subject, "stopped": !s.At.IsZero() && !s.At.After(now), "why": s.Why, "remedy": s.Remedy}
		if !s.At.IsZero() {
			line["at"] = s.At.UTC()
		}
		if err := printJSON(c, line); err != nil {
			return err
		}
	}
	return nil
}
