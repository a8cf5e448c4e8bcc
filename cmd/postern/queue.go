package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/internal/diagnosis"
	"postern/internal/gateway"
	"postern/internal/queue"
	"postern/internal/terminal"
)

func newQueue() *cobra.Command {
	return group(&cobra.Command{
		Use:   "queue",
		Short: "Look at accepted mail that is not delivered yet, and decide about it",
		Long: `A message that a client was told is queued waits here until it is delivered, or its sender knows that it will not be.
These commands work on the store, whether the gateway runs or not; a running one takes up a change within a second.`,
	}, newQueueList(), newQueueShow(),
		newQueueOrder("retry ID...", "Try waiting messages at once", "", "will be tried", (*gateway.Admin).RetryQueued),
		newQueueHold(),
		newQueueRelease(),
		newQueueOrder("drop ID...", "Remove messages for good; nobody is told", "", "dropped", (*gateway.Admin).DropQueued))
}

func newQueueList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the messages of the queue, the oldest first",
		Example: `  postern queue list
  postern queue list --login copier-3 --state held
  postern queue list --json | jq -r .id | xargs postern queue retry`,
		Args: exactly(0),
	}
	path := configFlag(c)
	var filter gateway.QueueFilter
	c.Flags().StringVar(&filter.Login, "login", "", "only messages that this login submitted")
	c.Flags().StringVar(&filter.State, "state", "", "only messages that are waiting, sending, held, barred or damaged")
	asJSON := c.Flags().Bool("json", false, "print JSON, one message a line")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		entries, err := admin.Queue(c.Context(), filter)
		if err != nil {
			return err
		}
		var rows []table.Row
		for _, e := range entries {
			if *asJSON {
				if err := printJSON(c, e); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, table.Row{e.ID, e.State, terminal.Text(e.Login), terminal.Text(addressees(e)), size(e.Size), shortTime(e.Accepted), nextTry(e), e.Tries, terminal.Text(brief(e.Reason))})
		}
		if !*asJSON {
			printTable(c, table.Row{"id", "state", "login", "to", "size", "accepted", "next try", "tries", "reason"}, rows)
		}
		return nil
	})
	return c
}

// addressees gives the first recipient, and how many more there are.
func addressees(e queue.Entry) string {
	switch len(e.Recipients) {
	case 0:
		return "?"
	case 1:
		return e.Recipients[0].Address
	}
	return fmt.Sprintf("%s +%d", e.Recipients[0].Address, len(e.Recipients)-1)
}

func nextTry(e queue.Entry) string {
	if e.NextTry == nil {
		return "–"
	}
	if !e.NextTry.After(time.Now()) {
		return "now"
	}
	return shortTime(*e.NextTry)
}

// brief cuts a reason for a table; show has all of it.
func brief(reason string) string {
	const most = 60
	if letters := []rune(reason); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return reason
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatInt(n>>10, 10) + " KB"
	}
	return strconv.FormatInt(n, 10) + " B"
}

func newQueueShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one message: its recipients, what it waits for, and every try",
		Example: `  postern queue show k3v7p2qxm4n6zabc`,
		Args:    exactly(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		e, err := admin.QueueEntry(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, e)
		}
		_, err = io.WriteString(c.OutOrStdout(), describe(e))
		return err
	})
	return c
}

// describe writes all that is known of a message.
func describe(e queue.Entry) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, terminal.Text(value))
		}
	}
	line("message", e.ID)
	line("state", string(e.State))
	line("reason", e.Reason)
	line("waits for", e.Wait)
	line("login", e.Login)
	line("mailbox", e.Mailbox)
	line("session", e.Session)
	line("sender", "<"+e.Sender+">")
	line("size", size(e.Size))
	line("accepted", shortTime(e.Accepted))
	line("next try", nextTry(e))
	for _, r := range e.Recipients {
		line("to", fmt.Sprintf("%s: %s %s", r.Address, r.State, r.Reply))
	}
	for _, meant := range meanings(e) {
		line("meaning", meant)
	}
	for i, t := range e.Trace {
		line("try "+strconv.Itoa(i+1), fmt.Sprintf("%s, %s after %v: %s", shortTime(t.Began), t.Outcome, t.Ended.Sub(t.Began).Round(time.Millisecond), t.Reply))
	}
	return b.String()
}

// meanings gives what upstream's refusals of a message mean and what mends them, each once.
func meanings(e queue.Entry) []string {
	var replies []string
	for _, r := range e.Recipients {
		replies = append(replies, r.Reply)
	}
	if n := len(e.Trace); n > 0 {
		replies = append(replies, e.Trace[n-1].Reply)
	}
	var all []string
	for _, reply := range replies {
		meant, known := diagnosis.SMTP(reply, diagnosis.Subject{Mailbox: e.Mailbox, Sender: e.Sender})
		if known && !slices.Contains(all, meant.String()) {
			all = append(all, meant.String())
		}
	}
	return all
}

func newQueueHold() *cobra.Command {
	var reason string
	c := newQueueOrder("hold ID...", "Keep messages from being tried until they are released", "", "held",
		func(a *gateway.Admin, c context.Context, id string) (queue.Entry, error) {
			return a.HoldQueued(c, id, reason)
		})
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever looks at the queue")
	return c
}

func newQueueRelease() *cobra.Command {
	c := newQueueOrder("release ID...", "Let messages go that are held",
		`Lets messages go that are held or barred. One whose app password was revoked goes, too; one whose login is locked or gone
stays until that has changed.

--restored lets all go that are held since the store was restored from a backup, but for those that the audit log has as sent. What
was sent between the backup and the loss of the store arrives twice.`, "released", (*gateway.Admin).ReleaseQueued)
	restored := c.Flags().Bool("restored", false, "all that are held since the store was restored")
	path := c.Flags().Lookup("config")
	byID, byIDArgs := c.RunE, c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if *restored && len(args) == 0 {
			return nil
		}
		return byIDArgs(c, args)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*restored {
			return byID(c, args)
		}
		at := path.Value.String()
		return administer(&at, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
			n, left, err := admin.ReleaseRestored(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "released: %d\n", n)
			if left > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%d are held still, since the audit log has them as sent: postern queue drop removes them\n", left)
			}
			return nil
		})(c, args)
	}
	return c
}

// newQueueOrder makes a command that does one thing to each message that it names.
func newQueueOrder(use, short, long, done string, do func(*gateway.Admin, context.Context, string) (queue.Entry, error)) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	c := &cobra.Command{
		Use: use, Short: short, Long: long,
		Example: "  postern queue " + verb + " k3v7p2qxm4n6zabc",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("name messages by their ids; postern queue list shows them")}
			}
			return nil
		},
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one message a line")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		for _, id := range args {
			e, err := do(admin, c.Context(), id)
			if err != nil {
				return err
			}
			if *asJSON {
				err = printJSON(c, map[string]string{"id": e.ID, "done": done})
			} else {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", e.ID, done)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return c
}
