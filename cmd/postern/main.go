// Command postern is the gateway and everything that an administrator does with it.
//
// Each command parses its flags, calls one function, and prints. What it prints for people is a table or a sentence; with
// --json it is JSON for programs. Errors say what to do next and end with exit code 1; a command that was typed wrong
// ends with 2, as does postern check --strict for warnings.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run runs the command of the command line and gives the exit code. The first signal asks it to come to an end; the
// second ends the process.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if err := leaveNoDump(); err != nil {
		fmt.Fprintln(os.Stderr, err) // nothing depends on it
	}
	err := newRoot().ExecuteContext(ctx)
	var usage usageError
	var warnings warningsError
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case errors.As(err, &usage), errors.As(err, &warnings):
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "A gateway that gives OAuth 2.0 to mail clients that have none",
		Long: `Postern stands between legacy mail clients and Exchange Online. Copiers, scanners and old IMAP clients sign in to it
with an app password; it signs in to Exchange Online with OAuth 2.0.`,
		Example: `  postern demo                                  the whole thing on this machine, to try it
  postern init                                  write a configuration to begin with
  postern config check -c postern.yaml          is the configuration right?
  postern check -c postern.yaml                 and the tenant, and all that lies between?
  postern password issue copier-3 --label "Copier, 2nd floor"
  postern serve -c postern.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          help,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nrun %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newDemo(), newSim(), newServe(), newReload(), newUpgrade(), newInit(), newConfig(), newCheck(), newUser(), newPassword(), newSession(), newQueue(), newAudit(), newLogGroup(), newCertificate(), newForecast(), newVersion(),
		newLockdown(), newKeys(), newBackup(), newRestore(), newManual())
	return root
}

// group makes a command that only has commands below it.
func group(c *cobra.Command, below ...*cobra.Command) *cobra.Command {
	c.Args, c.RunE = cobra.NoArgs, help
	c.AddCommand(below...)
	return c
}

func help(c *cobra.Command, _ []string) error { return c.Help() }

// exactly demands n arguments.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("usage: %s", c.UseLine())}
		}
		return nil
	}
}
