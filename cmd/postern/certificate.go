package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"postern/certs"
	"postern/internal/gateway"
)

func newCertificate() *cobra.Command {
	return group(&cobra.Command{
		Use:   "certificate",
		Short: "Certificates of the listeners, and the private CA's root",
		Example: `  postern certificate list
  postern certificate root --out postern-ca.pem`,
	}, newCertificateList(), newCertificateRoot())
}

func newCertificateList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the certificates: for which names, until when, where from",
		Long: `Lists the certificates that the configuration names, as they are in files and in the store now. A running gateway shows
these, unless one of them is no good: then it goes on with the one before, and this list says what is wrong.`,
		Example: `  postern certificate list
  postern certificate list --json | jq -r 'select(.problem) | .source'`,
		Args: exactly(0),
	}
	path := configFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON, one certificate a line")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		all, err := admin.Certificates(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return certificatesJSON(c, all)
		}
		var rows []table.Row
		for _, s := range all {
			listeners := ""
			if s.LegacyTLS {
				listeners = "legacy_tls"
			}
			if s.Problem != "" {
				rows = append(rows, table.Row{s.Problem, "", "–", s.Source, listeners})
				continue
			}
			rows = append(rows, table.Row{strings.Join(s.Names, "\n"), s.Key, shortTime(s.NotAfter), s.Source, listeners})
		}
		printTable(c, table.Row{"names", "key", "ends", "source", "listeners"}, rows)
		return nil
	})
	return c
}

// certificatesJSON prints a line for each certificate; one with a problem has nothing but its source.
func certificatesJSON(c *cobra.Command, all []gateway.CertificateState) error {
	for _, s := range all {
		line := map[string]any{"source": s.Source, "legacy_tls": s.LegacyTLS}
		if s.Problem != "" {
			line["problem"] = s.Problem
		} else {
			for key, value := range infoJSON(s.Info) {
				line[key] = value
			}
		}
		if err := printJSON(c, line); err != nil {
			return err
		}
	}
	return nil
}

func infoJSON(i certs.Info) map[string]any {
	return map[string]any{"source": i.Source, "names": i.Names, "key": i.Key, "issuer": i.Issuer, "not_before": i.NotBefore.UTC(),
		"not_after": i.NotAfter.UTC(), "sha256": i.SHA256, "renewed": i.Renewed}
}

func newCertificateRoot() *cobra.Command {
	c := &cobra.Command{
		Use:   "root",
		Short: "Print the root of the private CA, for devices to trust",
		Long: `Prints the root certificate of the private CA (private_ca under certificates): what devices and programs have to trust so
that they verify the gateway's certificate. It is made where there is none yet. It is no secret; its key stays sealed in the store.

--replace makes another root in the place of the one there is, such as after its names have changed or before it ends. A running
gateway shows certificates of the new one within seconds, and devices that trust the old one alone no longer connect: have the new
one at hand first.`,
		Example: `  postern certificate root                            PEM, on the terminal
  postern certificate root --out postern-ca.pem
  postern certificate root --der --out postern-ca.cer   what Windows and many copiers take
  postern certificate root --json | jq -r .sha256`,
		Args: exactly(0),
	}
	path := configFlag(c)
	out := c.Flags().String("out", "", "write it into this file instead of printing it")
	der := c.Flags().Bool("der", false, "in DER (binary) instead of PEM; needs --out")
	replace := c.Flags().Bool("replace", false, "make another root first")
	asJSON := c.Flags().Bool("json", false, "print JSON about it")
	c.RunE = administer(path, func(c *cobra.Command, _ []string, admin *gateway.Admin) error {
		if *der && *out == "" {
			return usageError{errors.New("--der is not for terminals: say where to with --out FILE")}
		}
		root, err := admin.PrivateCARoot(c.Context(), *replace)
		if err != nil {
			return err
		}
		content := root.RootPEM()
		if *der {
			content = root.Root().Raw
		}
		if *out != "" {
			if err := os.WriteFile(*out, content, 0o644); err != nil {
				return err
			}
		}
		switch {
		case *asJSON:
			line := infoJSON(root.Info())
			line["pem"] = string(root.RootPEM())
			return printJSON(c, line)
		case *out == "":
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s", content)
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, until %s\nSHA-256 %s\n", filepath.Clean(*out), root.Info().Issuer,
			shortTime(root.Info().NotAfter), fingerprint(root.Info().SHA256))
		return err
	})
	return c
}

// fingerprint writes a digest as devices show it: AB:CD:…
func fingerprint(digest string) string {
	var pairs []string
	for i := 0; i+1 < len(digest); i += 2 {
		pairs = append(pairs, strings.ToUpper(digest[i:i+2]))
	}
	return strings.Join(pairs, ":")
}
