package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/config"
	"postern/internal/gateway"
	"postern/internal/preflight"
	"postern/internal/terminal"
)

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Try everything from here to Exchange Online, and say what is wrong and the command that mends it",
		Long: `Tries, for each provider and each login of the configuration, every step between this machine and the mailbox: files, room,
certificates and addresses here; names, connections, TLS and the clock; the tenant, the application's credential and its
permissions; the token; the sign-in by IMAP and SMTP, the switches and the rights of the mailbox. Each step has a line, with what
mends it. Where a step makes the later ones say nothing, they are marked skipped.

It changes nothing in the tenant or a mailbox and sends no mail, unless --send-to asks for it. It can be run before the first start and
beside a running gateway. The exit code is 0 when nothing failed, 1 when something did, and 2 when there are warnings and
--strict was given.`,
		Example: `  postern check -c postern.yaml
  postern check --login copier-3 --send-to me@contoso.com
  postern check --json | jq 'select(.verdict == "failed")'
  postern check --offline`,
		Args: exactly(0),
	}
	path := configFlag(c)
	var o gateway.CheckOptions
	c.Flags().StringSliceVar(&o.Logins, "login", nil, "only this login; can be given several times")
	c.Flags().StringSliceVar(&o.Providers, "provider", nil, "only this provider and its logins; can be given several times")
	c.Flags().BoolVar(&o.Offline, "offline", false, "only what can be told without connecting to anything")
	c.Flags().StringVar(&o.SendTo, "send-to", "", "have each login send one message to this address")
	strict := c.Flags().Bool("strict", false, "end with exit code 2 when there are warnings")
	asJSON := c.Flags().Bool("json", false, "print JSON, one step a line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.SendTo != "" && !config.IsAddress(o.SendTo) {
			return usageError{fmt.Errorf("--send-to %q is no address", o.SendTo)}
		}
		loaded, err := config.Load(*path)
		if err != nil {
			return err
		}
		o.Log = slog.New(slog.DiscardHandler) // what goes wrong is printed
		report := newReport(c, *asJSON)
		if err := gateway.Check(c.Context(), loaded, o, report.add); err != nil {
			return err
		}
		return report.end(*strict)
	}
	return c
}

// report prints the lines of a check as they come, and counts them.
type report struct {
	command  *cobra.Command
	progress io.Writer // nil where nobody looks on
	asJSON   bool
	counts   map[preflight.Verdict]int
	err      error // of printing
}

func newReport(c *cobra.Command, asJSON bool) *report {
	r := &report{command: c, asJSON: asJSON, counts: make(map[preflight.Verdict]int)}
	if file, ok := c.ErrOrStderr().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		r.progress = file
	}
	r.busy()
	return r
}

// busy says that something goes on, on a terminal.
func (r *report) busy() {
	if r.progress != nil {
		fmt.Fprintf(r.progress, "checking … %d steps so far", r.counts[preflight.OK]+r.counts[preflight.Failed]+r.counts[preflight.Warning])
	}
}

// add prints the lines of one subject.
func (r *report) add(lines []preflight.Line) {
	if r.progress != nil {
		fmt.Fprint(r.progress, "\r\x1b[K")
	}
	for _, l := range lines {
		r.counts[l.Verdict]++
		if r.err == nil {
			r.err = r.print(l)
		}
	}
	r.busy()
}

// marks begin a line, so that the eye finds what failed.
var marks = map[preflight.Verdict]string{preflight.OK: "ok      ", preflight.Warning: "warning ", preflight.Failed: "FAILED  ", preflight.Skipped: "skipped "}

func (r *report) print(l preflight.Line) error {
	if r.asJSON {
		return printJSON(r.command, l)
	}
	out := r.command.OutOrStdout()
	_, err := fmt.Fprintf(out, "%s%s: %s: %s\n", marks[l.Verdict], l.Subject, l.Check, terminal.Text(l.Seen))
	for _, remedy := range []string{l.Fix, l.Command} {
		if remedy != "" && err == nil {
			_, err = fmt.Fprintf(out, "          → %s\n", terminal.Text(remedy))
		}
	}
	return err
}

// end prints the sum, and gives the error that makes the exit code.
func (r *report) end(strict bool) error {
	if r.progress != nil {
		fmt.Fprint(r.progress, "\r\x1b[K")
	}
	if r.err != nil {
		return r.err
	}
	sum := fmt.Sprintf("%d ok, %s, %d failed, %d skipped", r.counts[preflight.OK], counted(r.counts[preflight.Warning], "warning", "warnings"),
		r.counts[preflight.Failed], r.counts[preflight.Skipped])
	switch {
	case r.counts[preflight.Failed] > 0:
		return errors.New(sum)
	case strict && r.counts[preflight.Warning] > 0:
		return warningsError{errors.New(sum)}
	case r.asJSON:
		return nil
	}
	_, err := fmt.Fprintln(r.command.OutOrStdout(), sum)
	return err
}

// warningsError is the end of a command that was to end with exit code 2 for warnings.
type warningsError struct{ error }
