package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
)

func newSim() *cobra.Command {
	c := &cobra.Command{
		Use:   "sim --dir DIR",
		Short: "Run only the simulator of Exchange Online and Entra ID",
		Long: `Runs the simulator on loopback addresses and writes into the folder what a gateway needs to work with it: a
configuration, certificates and the application's secret. Then, in another terminal:

  postern serve -c DIR/postern.yaml
  postern user enroll -c DIR/postern.yaml alice@contoso.example
  postern password issue -c DIR/postern.yaml alice@contoso.example --label test

or sign in at the portal, https://localhost:1443, with the accounts that are printed.

Faults can be ordered over HTTP, so that one can see what a gateway makes of them:

  curl --cacert DIR/ca.pem -H 'Content-Type: application/json' https://localhost:PORT/sim/faults \
       -d '{"point":"token","status":429,"retry_after":30,"times":1}'`,
		Example: "  postern sim --dir ./contoso",
		Args:    exactly(0),
	}
	folder := c.Flags().String("dir", "", "the folder to write into (required)")
	asJSON := c.Flags().Bool("json", false, "print JSON when ready")
	var at places
	c.Flags().StringVar(&at.imap, "imap", "127.0.0.1:0", "where simulated IMAP listens")
	c.Flags().StringVar(&at.smtp, "smtp", "127.0.0.1:0", "where simulated SMTP submission listens")
	c.Flags().StringVar(&at.entra, "entra", "127.0.0.1:0", "where simulated Entra ID listens")
	c.Flags().DurationVar(&at.tokenLife, "token-life", 0, "how long access tokens live; 0 for 60 to 90 minutes, as the real ones")
	verbose := c.Flags().BoolP("verbose", "v", false, "log what the simulator does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *folder == "" {
			return usageError{fmt.Errorf("name the folder to write into, with --dir")}
		}
		contoso, err := startContoso(*folder, at, demoListeners("127.0.0.1:1143", "127.0.0.1:1993", "127.0.0.1:1587", "127.0.0.1:1465"), "127.0.0.1:1443", simLog(c.ErrOrStderr(), *verbose))
		if err != nil {
			return err
		}
		defer contoso.Close()
		if err := announceSim(c, contoso, *asJSON); err != nil {
			return err
		}
		<-c.Context().Done()
		return nil
	}
	return c
}

// simLog is the simulator's log: nothing, unless it is asked for.
func simLog(to io.Writer, verbose bool) *slog.Logger {
	if !verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// announceSim says where everything is, once everything listens.
func announceSim(c *cobra.Command, s *contoso, asJSON bool) error {
	var rows []table.Row
	for _, p := range people(s) {
		rows = append(rows, table.Row{p.Account, p.Password})
	}
	if asJSON {
		return printJSON(c, map[string]any{
			"imap": s.Exchange.IMAPAddress(), "smtp": s.Exchange.SMTPAddress(), "authority": s.Authority(),
			"ca_file": s.caPath(), "config": s.configPath(), "people": people(s),
		})
	}
	fmt.Fprintf(c.OutOrStdout(), `The simulator runs.

  IMAP       %s
  SMTP       %s
  Entra ID   %s
  configuration for a gateway: %s

`, s.Exchange.IMAPAddress(), s.Exchange.SMTPAddress(), s.Authority(), s.configPath())
	printTable(c, table.Row{"account at Microsoft", "its password there"}, rows)
	return nil
}

// simulatedPerson is somebody of the simulated tenant, with what they sign in with at the simulated Microsoft.
type simulatedPerson struct {
	Account  string `json:"account"`
	Password string `json:"password"`
}

// people gives the people of the simulated tenant.
func people(s *contoso) []simulatedPerson {
	var all []simulatedPerson
	for _, p := range s.Tenant.People() {
		all = append(all, simulatedPerson{p.UPN, p.Password.Reveal()})
	}
	return all
}

// temporaryFolder makes a folder that the function it gives removes.
func temporaryFolder() (string, func(), error) {
	folder, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		return "", nil, err
	}
	return folder, func() { _ = os.RemoveAll(folder) }, nil
}

// demoDrain is how long sessions may go on after a demo was told to stop.
const demoDrain = time.Second
