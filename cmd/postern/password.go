package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/auth/apppassword"
	"postern/internal/config"
	"postern/internal/gateway"
	"postern/internal/terminal"
)

func newPassword() *cobra.Command {
	return group(&cobra.Command{
		Use:   "password",
		Short: "Issue, list, renew and revoke app passwords",
	}, newPasswordIssue(), newPasswordList(), newPasswordRenew(), newPasswordRevoke())
}

func newPasswordIssue() *cobra.Command {
	c := &cobra.Command{
		Use:   "issue LOGIN --label LABEL",
		Short: "Issue an app password; it is shown once",
		Example: `  postern password issue copier-3 --label "Copier, 2nd floor" --network 10.0.8.0/24
  postern password issue alice@contoso.com --label Thunderbird --protocol imap --expires 90d
  postern password issue alice@contoso.com --label "Archive script" --read-only
  postern password issue ups-1 --label "UPS, cellar" --short --legacy-tls`,
		Args: exactly(1),
	}
	path := configFlag(c)
	label := c.Flags().String("label", "", "the device or program that it is for (required)")
	protocols := c.Flags().StringSlice("protocol", nil, "imap or smtp; default all that the login's policy allows")
	networks := c.Flags().StringSlice("network", nil, "from where it is accepted, such as 10.0.8.0/24; default as the policy says")
	expires := c.Flags().String("expires", "", "how long it is valid, such as 90d; default as long as the policy allows")
	readOnly := c.Flags().Bool("read-only", false, "for reading by IMAP only: nothing in the mailbox can be changed, and nothing sent")
	legacyTLS := c.Flags().Bool("legacy-tls", false, "accepted below TLS 1.2 too, on listeners with legacy_tls; for devices that can do no better")
	short := c.Flags().Bool("short", false, "16 characters instead of 24, for devices that take no more, unless the policy says 24")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		request := gateway.PasswordRequest{Login: args[0], Label: *label, Protocols: *protocols, LegacyTLS: *legacyTLS,
			ReadOnly: *readOnly, Short: *short}
		if strings.TrimSpace(*label) == "" {
			return usageError{fmt.Errorf("name the device or program that the password is for, with --label")}
		}
		for _, network := range *networks {
			prefix, err := netip.ParsePrefix(network)
			if err != nil {
				return usageError{fmt.Errorf("--network %q is not a network; write it like 10.0.8.0/24", network)}
			}
			request.Networks = append(request.Networks, prefix.Masked())
		}
		if *expires != "" {
			life, err := config.ParseDuration(*expires)
			if err != nil {
				return usageError{fmt.Errorf("--expires: %w", err)}
			}
			request.Expires = time.Now().Add(time.Duration(life))
		}
		return issue(c, *path, request, *asJSON)
	}
	return c
}

func issue(c *cobra.Command, path string, request gateway.PasswordRequest, asJSON bool) error {
	admin, err := openAdmin(c, path)
	if err != nil {
		return err
	}
	defer admin.Close()
	record, password, err := admin.IssuePassword(c.Context(), request)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c, map[string]string{"id": record.ID, "login": record.Login, "password": password.Reveal()})
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), `login     %s
password  %s
id        %s

The password is shown this once. It may be typed with or without the dashes, in either case.
To revoke it: postern password revoke %s
`, record.Login, password.Reveal(), record.ID, record.ID)
	return err
}

func newPasswordList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list [LOGIN]",
		Short:   "List app passwords, without the passwords",
		Example: "  postern password list copier-3",
		Args:    cobra.MaximumNArgs(1),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one password a line")
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		records, err := admin.Passwords(c.Context(), strings.Join(args, ""))
		if err != nil {
			return err
		}
		if *asJSON {
			return listJSON(c, admin, records)
		}
		var rows []table.Row
		for _, r := range records {
			rows = append(rows, table.Row{r.ID, r.Login, r.Label, access(r), state(admin, r), shortTime(r.Created),
				shortTime(r.LastUse.At), from(r.LastUse)})
		}
		printTable(c, table.Row{"id", "login", "label", "use", "state", "issued", "last used", "from"}, rows)
		return nil
	})
	return c
}

// access says what a password is for.
func access(r apppassword.Record) string {
	protocols := strings.Join(r.Protocols, ",")
	if r.ReadOnly {
		protocols += " read-only"
	}
	if r.LegacyTLS {
		protocols += " legacy-tls"
	}
	return protocols
}

// state says in a word or two whether a password is accepted.
func state(admin *gateway.Admin, r apppassword.Record) string {
	now := time.Now()
	suspended := admin.Suspended(r, now)
	switch {
	case !r.Revoked.IsZero():
		return "revoked " + shortTime(r.Revoked)
	case !r.Expires.IsZero() && !now.Before(r.Expires):
		return "expired " + shortTime(r.Expires)
	case suspended != "":
		return "suspended: " + suspended
	case r.Expires.IsZero():
		return "valid"
	}
	return "valid until " + shortTime(r.Expires)
}

// from says from where a password was last used, by which protocol and by which client. A stranger chose the client's name.
func from(use apppassword.Use) string {
	if !use.From.IsValid() {
		return "–"
	}
	said := use.From.String()
	if use.Protocol != "" {
		said += " " + use.Protocol
	}
	if use.Client != "" {
		said += " " + terminal.Text(use.Client)
	}
	return said
}

// listJSON prints a line for each password. Times that are not set are left out.
func listJSON(c *cobra.Command, admin *gateway.Admin, records []apppassword.Record) error {
	for _, r := range records {
		line := map[string]any{
			"id": r.ID, "login": r.Login, "label": r.Label, "protocols": r.Protocols, "created": r.Created,
			"evidence": r.Evidence.Method, "issued_by": r.Evidence.By, "evidence_at": r.Evidence.At,
			"valid": strings.HasPrefix(state(admin, r), "valid"),
		}
		for name, at := range map[string]time.Time{"expires": r.Expires, "revoked": r.Revoked, "last_used": r.LastUse.At} {
			if !at.IsZero() {
				line[name] = at
			}
		}
		if len(r.Networks) > 0 {
			line["networks"] = r.Networks
		}
		if r.ReadOnly {
			line["read_only"] = true
		}
		if r.LegacyTLS {
			line["legacy_tls"] = true
		}
		if r.LastUse.From.IsValid() {
			line["last_used_from"], line["last_used_protocol"], line["last_used_client"] = r.LastUse.From, r.LastUse.Protocol, r.LastUse.Client
		}
		if err := printJSON(c, line); err != nil {
			return err
		}
	}
	return nil
}

func newPasswordRenew() *cobra.Command {
	c := &cobra.Command{
		Use:   "renew ID",
		Short: "Vouch for an app password anew, where its evidence is too old",
		Long: `Puts the word of the administrator who types this behind an app password, in the stead of the evidence that it stood on.
Where the policy's mfa.max_age had passed, the password is accepted again; it stays the same, so nobody has to walk to the
device. An expiry stays as it is. Refused where the policy does not accept evidence from the command line.`,
		Example: "  postern password renew k3v9x2m4",
		Args:    exactly(1),
	}
	path := configFlag(c)
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		record, err := admin.RenewPassword(c.Context(), args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "renewed: %s of %s (%s)\n", record.ID, record.Login, record.Label)
		return err
	})
	return c
}

func newPasswordRevoke() *cobra.Command {
	c := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke an app password: it is refused from the next sign-in on",
		Example: "  postern password revoke k3v9x2m4",
		Args:    exactly(1),
	}
	path := configFlag(c)
	c.RunE = administer(path, func(c *cobra.Command, args []string, admin *gateway.Admin) error {
		record, err := admin.RevokePassword(c.Context(), args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "revoked: %s of %s (%s)\n", record.ID, record.Login, record.Label)
		return err
	})
	return c
}
