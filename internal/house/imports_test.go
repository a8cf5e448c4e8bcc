// Package house holds the structure of the whole against its plan: which package may import which.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed says which packages of ours each package may import. Imports run downwards only; a package that is not here
// may not exist, and an import that is not here is a decision to be made in this list first.
var allowed = map[string][]string{
	"cmd/postern": {"auth/apppassword", "auth/factor", "auth/token", "certs", "internal/audit", "internal/audit/export", "internal/config", "internal/diagnosis", "internal/gateway", "internal/handover", "internal/preflight", "internal/queue", "internal/setup", "internal/sim", "internal/terminal"},

	"internal/gateway": {"auth", "auth/apppassword", "auth/factor", "auth/token", "certs", "certs/acme", "imapproxy", "internal/audit", "internal/audit/syslog", "internal/backup", "internal/config",
		"internal/front", "internal/handover", "internal/keys", "internal/metrics", "internal/preflight", "internal/queue", "internal/relay", "internal/secret", "internal/session", "internal/store", "internal/throttle", "internal/web", "smtpproxy"},

	// It tries what a gateway does, with the gateway's own dialogues.
	"internal/preflight": {"auth", "auth/token", "certs", "imapproxy", "internal/config", "internal/diagnosis", "internal/secret", "smtpproxy"},

	// It writes what an administrator begins with.
	"internal/setup": {"certs", "internal/config"},

	// The measuring program, which is no part of the product.
	"internal/bench": {"certs", "internal/audit", "internal/keys", "internal/sim", "internal/sim/entra", "internal/store"},

	"imapproxy": {"auth", "auth/token", "internal/audit", "internal/diagnosis", "internal/front", "internal/relay", "internal/sasl",
		"internal/secret", "internal/session", "internal/wire"},
	"smtpproxy": {"auth", "auth/token", "internal/audit", "internal/config", "internal/diagnosis", "internal/front", "internal/header", "internal/queue",
		"internal/relay", "internal/sasl", "internal/secret", "internal/session", "internal/wire"},

	"auth":             {"auth/apppassword", "auth/token", "internal/audit", "internal/config", "internal/secret", "internal/throttle"},
	"auth/apppassword": {"internal/secret"},
	"auth/factor":      {"internal/audit", "internal/secret", "internal/throttle"},
	"auth/token":       {"internal/audit", "internal/diagnosis", "internal/secret"},
	"certs":            {"internal/secret"},
	"certs/acme":       {"certs", "internal/secret"},

	"internal/audit": {"internal/terminal"},
	// It writes docs/events.md, and is no part of the product.
	"internal/audit/eventpage": {"internal/audit"},
	"internal/audit/export":    {"internal/audit", "internal/terminal"},
	"internal/audit/syslog":    {"internal/audit"},
	"internal/backup":          {},
	// A real browser, for tests alone.
	"internal/chromium":  {},
	"internal/config":    {"internal/secret"},
	"internal/diagnosis": {},
	"internal/front":     {"internal/relay"},
	"internal/handover":  {},
	"internal/header":    {},
	"internal/keys":      {},
	"internal/metrics":   {"internal/audit"},
	// The queue is what its rows mean: it works on the store directly, as the only package but the gateway.
	"internal/queue":   {"internal/audit", "internal/store"},
	"internal/relay":   {},
	"internal/sasl":    {"internal/secret"},
	"internal/secret":  {},
	"internal/session": {},
	"internal/store":   {"internal/keys", "internal/secret"},
	// A PostgreSQL server, for tests alone.
	"internal/postgrestest": {},
	// The suite that every engine of the store has to pass; imported by tests alone.
	"internal/store/storetest": {"internal/store"},
	"internal/terminal":        {},
	"internal/throttle":        {"internal/secret"},
	"internal/web":             {"auth", "auth/apppassword", "auth/factor", "auth/token", "internal/audit", "internal/audit/export", "internal/config", "internal/secret", "internal/session"},
	"internal/wire":            {},

	"internal/sim":          {"internal/secret", "internal/sim/entra", "internal/sim/exchange", "internal/sim/tenant"},
	"internal/sim/entra":    {"internal/secret", "internal/sim/tenant"},
	"internal/sim/exchange": {"internal/sasl", "internal/secret", "internal/sim/tenant", "internal/wire"},
	"internal/sim/tenant":   {"internal/secret"},
}

// confined says which packages alone may import a module (or what is below it): each is behind one door.
var confined = map[string][]string{
	"github.com/AzureAD/microsoft-authentication-library-for-go": {"auth/token"},
	"github.com/coreos/go-oidc":                                  {"auth/token"},
	"github.com/go-webauthn/webauthn":                            {"auth/factor"},
	"github.com/chromedp/chromedp":                               {"internal/chromium"},
	"rsc.io/qr":                                                  {"internal/web"},
	"github.com/pquerna/otp":                                     {"auth/factor"},
	"github.com/tink-crypto/tink-go":                             {"internal/keys"},
	"github.com/pressly/goose":                                   {"internal/store"},
	"github.com/jackc/pgx":                                       {"internal/store", "internal/postgrestest"},
	"modernc.org/sqlite":                                         {"internal/store"},
	"database/sql":                                               {"internal/store"},
	"github.com/goccy/go-yaml":                                   {"internal/config"},
	"github.com/prometheus/client_golang":                        {"internal/metrics"},
	"golang.org/x/mod":                                           {"internal/audit"},
	"github.com/caddyserver/certmagic":                           {"certs/acme"},
	"github.com/mholt/acmez":                                     {"certs/acme"},
	"github.com/miekg/dns":                                       {"certs/acme"},
	"go.uber.org/zap":                                            {"certs/acme"},
	"github.com/coreos/go-systemd/v22/activation":                {"internal/handover"},
	"github.com/spf13/cobra":                                     {"cmd/postern"},
	"github.com/pires/go-proxyproto":                             {"internal/front"},
	"github.com/emersion/go-imap":                                {"internal/sim/exchange"},
	"github.com/golang-jwt/jwt":                                  {"internal/sim/entra"},
}

func TestImports(t *testing.T) {
	imports := productImports(t)
	for from, list := range imports {
		if _, planned := allowed[from]; !planned {
			t.Errorf("package %s is not in the plan", from)
			continue
		}
		for imported, file := range list {
			if ours, ok := strings.CutPrefix(imported, "postern/"); ok && !slices.Contains(allowed[from], ours) {
				t.Errorf("%s: %s may not import %s", file, from, ours)
			}
			for module, doors := range confined {
				if (imported == module || strings.HasPrefix(imported, module+"/")) && !slices.Contains(doors, from) {
					t.Errorf("%s: %s may not import %s: only %v may", file, from, imported, doors)
				}
			}
		}
	}
	for from, list := range allowed {
		if imports[from] == nil {
			t.Errorf("package %s is in the plan and does not exist", from)
		}
		for _, ours := range list {
			if _, used := imports[from]["postern/"+ours]; !used {
				t.Errorf("the plan lets %s import %s, which it does not", from, ours)
			}
		}
	}
}

// productImports gives, for each package with code outside of tests, what it imports and a file that does.
func productImports(t *testing.T) map[string]map[string]string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string]map[string]string{}
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && file != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		from := path.Dir(relative)
		if imports[from] == nil {
			imports[from] = map[string]string{}
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[from][imported] = relative
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}
