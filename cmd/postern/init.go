package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/internal/setup"
)

func newInit() *cobra.Command {
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration to begin with, and print the commands that the tenant needs",
		Long: `Asks a few questions, or takes the answers from flags, and writes a configuration with comments that postern config check
accepts, and beside it the certificate by which Postern signs in to Entra. Then it prints the commands for the Azure CLI and Exchange
Online PowerShell that make the tenant fit exactly that configuration. No file is overwritten.

Without --cert the gateway is its own authority for the certificate that clients see. A configuration in /etc has its state in
/var/lib/postern, as the package's service wants it; any other has it beside itself, unless --state-dir says where.`,
		Example: `  postern init
  postern init --domain mail.contoso.com --tenant contoso.onmicrosoft.com --mailbox scans@contoso.com --network 10.0.8.0/24
  postern init --domain mail.contoso.com --tenant contoso.onmicrosoft.com --people --administrator admin@contoso.com --context c1
  postern init --out /etc/postern/postern.yaml --cert /etc/ssl/mail.pem --key /etc/ssl/private/mail.key`,
		Args: exactly(0),
	}
	var a setup.Answers
	var networks []string
	f := c.Flags()
	out := f.StringP("out", "o", "postern.yaml", "the file to write")
	f.StringVar(&a.Domain, "domain", "", "the name by which copiers and people reach the gateway")
	f.StringVar(&a.Tenant, "tenant", "", "the tenant's id or one of its domains")
	f.StringVar(&a.ClientID, "client-id", "", "the application's id, where there is one already")
	f.StringVar(&a.Cloud, "cloud", "", "gcc-high, dod or china; nothing for the worldwide cloud")
	f.StringVar(&a.Mailbox, "mailbox", "", "the mailbox from which the first device sends")
	f.StringVar(&a.Login, "login", "", "what the device types as its user name; by default the mailbox's name")
	f.StringSliceVar(&networks, "network", nil, "a network that devices are in, such as 10.0.8.0/24; can be given several times")
	f.BoolVar(&a.OldDevices, "old-devices", false, "a listener for devices that know no TLS 1.2, from those networks")
	f.BoolVar(&a.People, "people", false, "IMAP, and the portal in which people make their own app passwords")
	f.StringVar(&a.Administrator, "administrator", "", "the portal's administrator; people of the same domain may have app passwords")
	f.StringVar(&a.Context, "context", "", "an authentication context that proves MFA, such as c1")
	f.StringVar(&a.Cert, "cert", "", "the certificate for clients, in PEM; without it, one of the gateway's own authority")
	f.StringVar(&a.Key, "key", "", "its key")
	f.StringVar(&a.StateDir, "state-dir", "", "the folder for keys, store and audit log")
	f.StringVar(&a.SecretFile, "client-secret-file", "", "a file with the application's secret; without it, a certificate is made")
	f.StringVar(&a.Authority, "authority", "", "another authority than the cloud's, such as that of postern sim")
	f.StringVar(&a.IMAP, "imap", "", "host:port of another IMAP server than the cloud's")
	f.StringVar(&a.SMTP, "smtp", "", "host:port of another submission server than the cloud's")
	f.StringVar(&a.CAFile, "ca-file", "", "the root certificate that these are certified by")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := os.Lstat(*out); err == nil {
			return fmt.Errorf("%s is there already, and is not overwritten; name another with --out, or move it away", *out)
		}
		if in, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			if err := interview(c.InOrStdin(), c.OutOrStdout(), &a, &networks); err != nil {
				return err
			}
		}
		for _, n := range networks {
			prefix, err := netip.ParsePrefix(n)
			if err != nil {
				return usageError{fmt.Errorf("--network %q is no network, such as 10.0.8.0/24", n)}
			}
			a.Networks = append(a.Networks, prefix)
		}
		if whole, err := filepath.Abs(*out); err == nil && a.StateDir == "" && strings.HasPrefix(whole, "/etc/") {
			a.StateDir = serviceState
		}
		if err := a.Complete(); err != nil {
			return usageError{err}
		}
		return initialise(c, *out, a)
	}
	return c
}

// initialise writes the files, and says what comes next.
func initialise(c *cobra.Command, out string, a setup.Answers) error {
	made, err := setup.Write(out, a)
	w := c.OutOrStdout()
	for _, file := range made {
		fmt.Fprintf(w, "%s: %s\n", file.Path, file.What)
	}
	if err != nil {
		return err
	}
	commands, err := a.Commands()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nWhat the tenant needs. The files that are named lie in %s.\n\n%s\nThen, here:\n\n", filepath.Dir(out), commands)
	for _, step := range nextSteps(out, a) {
		fmt.Fprintln(w, " ", step)
	}
	_, err = fmt.Fprintln(w, "\nPermissions take minutes to count, sometimes two hours.")
	return err
}

// serviceState is where the service of the packages keeps its state, and serviceUser whom it runs as.
const serviceState, serviceUser = "/var/lib/postern", "postern"

// nextSteps are the commands from the configuration to a running gateway. Those of the service are its user's, whose the files are that
// they make.
func nextSteps(out string, a setup.Answers) []string {
	as, serve := "", "postern serve -c "+out
	if a.StateDir == serviceState {
		as, serve = "sudo -u "+serviceUser+" ", "systemctl enable --now postern"
	}
	steps := []string{as + "postern config check -c " + out, as + "postern check -c " + out}
	if a.Mailbox != "" {
		steps = append(steps, as+"postern password issue -c "+out+" "+a.Login+` --label "the first copier"`)
	}
	steps = append(steps, serve)
	if a.Cert == "" {
		steps = append(steps, as+"postern certificate root -c "+out+"   # for what verifies certificates")
	}
	return steps
}

// interview asks for what the flags have left open. An empty answer takes what stands in brackets.
func interview(in io.Reader, out io.Writer, a *setup.Answers, networks *[]string) error {
	lines := bufio.NewScanner(in)
	ask := func(question string, into *string) error {
		if *into != "" {
			return nil
		}
		fmt.Fprintf(out, "%s ", question)
		if !lines.Scan() {
			return errors.Join(errors.New("nothing was written: the answers have ended"), lines.Err())
		}
		*into = strings.TrimSpace(lines.Text())
		return nil
	}
	var people, list string
	if a.People {
		people = "y"
	}
	for _, q := range []struct {
		question string
		into     *string
		when     func() bool
	}{
		{"The name by which copiers and people reach this machine, such as mail.contoso.com:", &a.Domain, nil},
		{"The tenant: its id, or a domain such as contoso.onmicrosoft.com:", &a.Tenant, nil},
		{"The mailbox from which the first copier sends, such as scans@contoso.com (empty for none):", &a.Mailbox, nil},
		{"The networks that copiers are in, such as 10.0.8.0/24, with commas (empty for any):", &list, func() bool { return a.Mailbox != "" && len(*networks) == 0 }},
		{"Shall people with old mail programs make app passwords, in a portal? y or n [n]:", &people, nil},
		{"The portal's administrator, such as admin@contoso.com:", &a.Administrator, func() bool { return strings.HasPrefix(strings.ToLower(people), "y") }},
	} {
		if q.when != nil && !q.when() {
			continue
		}
		if err := ask(q.question, q.into); err != nil {
			return err
		}
	}
	a.People = strings.HasPrefix(strings.ToLower(people), "y")
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n != "" {
			*networks = append(*networks, n)
		}
	}
	return nil
}
