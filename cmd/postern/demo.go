package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/gateway"
)

func newDemo() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole thing on this machine, to try it",
		Long: `Runs a gateway beside a simulator of Exchange Online and Entra ID, all on loopback addresses. A person and a copier are
enrolled already; how to try them with ordinary mail clients is printed when everything listens. It runs until it is
interrupted, and leaves nothing behind.`,
		Example: `  postern demo
  postern demo --imaps 127.0.0.1:1993 --submission 127.0.0.1:1587
  postern demo --json | jq .`,
		Args: exactly(0),
	}
	asJSON := c.Flags().Bool("json", false, "print one line of JSON when ready, for scripts")
	folder := c.Flags().String("dir", "", "keep configuration, store and audit log in this folder; default a temporary one")
	imap := c.Flags().String("imap", "127.0.0.1:0", "where the gateway's IMAP with STARTTLS listens")
	imaps := c.Flags().String("imaps", "127.0.0.1:0", "where its IMAP with implicit TLS listens")
	submission := c.Flags().String("submission", "127.0.0.1:0", "where its SMTP with STARTTLS listens")
	smtps := c.Flags().String("smtps", "127.0.0.1:0", "where its SMTP with implicit TLS listens")
	portal := c.Flags().String("portal", "127.0.0.1:0", "where the portal listens")
	verbose := c.Flags().BoolP("verbose", "v", false, "log what the gateway does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		level := slog.LevelWarn
		if *verbose {
			level = slog.LevelDebug
		}
		log, err := newLog(c.ErrOrStderr(), "text", level)
		if err != nil {
			return err
		}
		if *folder == "" {
			temporary, remove, err := temporaryFolder()
			if err != nil {
				return err
			}
			defer remove()
			*folder = temporary
		}
		return runDemo(c, *folder, demoListeners(*imap, *imaps, *submission, *smtps), *portal, *asJSON, log)
	}
	return c
}

// demoUser is somebody whom the demo has enrolled.
type demoUser struct {
	Login     string   `json:"login"`
	Mailbox   string   `json:"mailbox"`
	Password  string   `json:"password"`
	Protocols []string `json:"protocols"`
}

// runDemo starts everything, says how to try it, and waits for the end.
func runDemo(c *cobra.Command, folder string, listeners []gatewayListener, portal string, asJSON bool, log *slog.Logger) error {
	contoso, err := startContoso(folder, places{imap: "127.0.0.1:0", smtp: "127.0.0.1:0", entra: "127.0.0.1:0"}, listeners, portal, simLog(nil, false))
	if err != nil {
		return err
	}
	defer contoso.Close()
	loaded, err := config.Load(contoso.configPath())
	if err != nil {
		return err
	}
	users, err := enrollDemo(c.Context(), contoso, loaded)
	if err != nil {
		return err
	}
	g, err := gateway.Start(c.Context(), loaded, gateway.Options{Log: log, Version: version})
	if err != nil {
		return err
	}
	contoso.SetRedirectURIs(g.Portal() + "/signin/contoso/callback")
	if err := announceDemo(c, contoso, g, users, asJSON); err != nil {
		return err
	}
	<-c.Context().Done()
	return stop(g, demoDrain)
}

// enrollDemo has the person sign in at the simulator, and issues the app passwords.
func enrollDemo(ctx context.Context, s *contoso, loaded *config.Config) ([]demoUser, error) {
	admin, err := gateway.NewAdmin(ctx, loaded, "postern demo")
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	alice := "alice@" + s.domain()
	approve := func(code token.DeviceCode) { _ = s.Entra.ApproveDevice(code.UserCode, alice) }
	if _, err := admin.Enroll(ctx, alice, slog.New(slog.DiscardHandler), approve); err != nil {
		return nil, err
	}
	var users []demoUser
	for _, login := range []string{alice, "copier-3"} {
		user, err := admin.User(ctx, login)
		if err != nil {
			return nil, err
		}
		record, password, err := admin.IssuePassword(ctx, gateway.PasswordRequest{Login: login, Label: "demo"})
		if err != nil {
			return nil, err
		}
		users = append(users, demoUser{login, user.Mailbox, password.Reveal(), record.Protocols})
	}
	return users, nil
}

// announceDemo says where everything is and how to try it.
func announceDemo(c *cobra.Command, s *contoso, g *gateway.Gateway, users []demoUser, asJSON bool) error {
	at := make(map[string]string)
	names := map[string]string{"imap starttls": "imap", "imap implicit": "imaps", "smtp starttls": "submission", "smtp implicit": "smtps"}
	for _, a := range g.Addresses() {
		at[names[a.Protocol+" "+string(a.TLS)]] = a.Address
	}
	if asJSON {
		return printJSON(c, map[string]any{
			"imap": at["imap"], "imaps": at["imaps"], "submission": at["submission"], "smtps": at["smtps"], "portal": g.Portal(),
			"ca_file": s.caPath(), "config": s.configPath(), "users": users, "people": people(s), "authority": s.Authority(),
		})
	}
	alice, copier, microsoft := users[0], users[1], people(s)
	host, port, err := net.SplitHostPort(at["submission"])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), `Postern runs, with a simulated Exchange Online behind it.

  login      %s   password  %s   IMAP and SMTP
  login      %s                password  %s   SMTP only, for %s

  IMAP       %s (implicit TLS)   %s (STARTTLS)
  SMTP       %s (implicit TLS)   %s (STARTTLS)
  portal     %s
  CA file    %s, for mail programs and browsers to trust
  audit log  %s

People sign in to the portal with the simulated Microsoft account:

  %s   password  %s   with a second factor, whose code the page there shows
  %s     password  %s   administrator of the portal

Send from the copier, in another terminal:

  swaks --server %s --port %s --tls --tls-ca-path %s \
        --auth LOGIN --auth-user %s --auth-password %s \
        --from %s --to %s --header 'Subject: a scan'

Read it as alice:

  curl --cacert %s --user '%s:%s' 'imaps://%s/INBOX;MAILINDEX=1'

Send with curl, and look at what was sent:

  printf 'From: <%s>\r\nTo: <%s>\r\nSubject: hello\r\n\r\nhello\r\n' |
    curl --cacert %s --user '%s:%s' --mail-from %s --mail-rcpt %s --upload-file - 'smtps://%s'
  curl --cacert %s --user '%s:%s' 'imaps://%s/Sent%%20Items;MAILINDEX=1'

Interrupt (Ctrl-C) to end it; nothing stays behind.
`,
		alice.Login, alice.Password, copier.Login, copier.Password, copier.Mailbox,
		at["imaps"], at["imap"], at["smtps"], at["submission"], g.Portal(), s.caPath(), s.auditPath(),
		microsoft[0].Account, microsoft[0].Password, microsoft[1].Account, microsoft[1].Password,
		host, port, s.caPath(), copier.Login, copier.Password, copier.Mailbox, alice.Mailbox,
		s.caPath(), alice.Login, alice.Password, at["imaps"],
		alice.Mailbox, copier.Mailbox, s.caPath(), alice.Login, alice.Password, alice.Mailbox, copier.Mailbox, at["smtps"],
		s.caPath(), alice.Login, alice.Password, at["imaps"])
	return err
}
