package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the code says into the gallery; then read the difference")

// gallery is a folder in which the files that a configuration names are there.
func gallery(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.contoso.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	template.NotAfter = time.Date(2020, 12, 31, 0, 0, 0, 0, time.UTC)
	expired, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		"mail.pem": certificate, "ca.pem": certificate, "broken.pem": []byte("no certificate"),
		"mail.key":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"app.pem":    certificate,
		"old.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: expired}),
		"legacy.pem": legacyPair()[0], "legacy.key": legacyPair()[1],
		"tsig.key":   []byte("c2VjcmV0a2V5MTIz\n"),
		"app.secret": []byte("s3cr3t-of-the-app\n"), "empty.secret": nil, "open.secret": []byte("s3cr3t"), "open.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"open.secret", "open.key"} {
		if err := os.Chmod(filepath.Join(folder, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// legacyPair is an RSA certificate and its key, in PEM.
var legacyPair = sync.OnceValue(func() [2][]byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return [2][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
})

// TestBadGallery holds every way to be wrong against the words that an administrator gets to read.
func TestBadGallery(t *testing.T) {
	folder := gallery(t)
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 35 {
		t.Fatalf("the gallery has %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse("postern.yaml", content, folder)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			got := problems.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
			if strings.Contains(got, "s3cr3t") || strings.Contains(got, folder) {
				t.Error("a secret shows")
			}
		})
	}
}

func TestGood(t *testing.T) {
	folder := gallery(t)
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parse("postern.yaml", content, folder)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want := "sqlite:" + filepath.Join(folder, "postern.db")
		if filepath.Base(file) == "postgres.yaml" {
			want = "postgres://postern@db.contoso.com/postern?sslmode=verify-full"
		}
		if c.Store != want {
			t.Errorf("%s: store %q, want %q", file, c.Store, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	content, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("postern.yaml", content, gallery(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, warning := range c.Warnings {
		got = append(got, warning.Path)
		if warning.Line == 0 {
			t.Errorf("%s has no line", warning)
		}
	}
	want := []string{"policies.person.mfa.evidence[2]", "policies.person.mfa.evidence"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings differ (-want +got):\n%s", diff)
	}
}

func TestAnAssertedContextIsEvidence(t *testing.T) {
	content, err := os.ReadFile("testdata/good/authentication-contexts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("postern.yaml", content, gallery(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range c.Warnings {
		if strings.Contains(warning.Path, "evidence") {
			t.Errorf("a warning: %s", warning)
		}
	}
	if p := c.Providers["contoso"]; !p.Asserts("c1") || p.Asserts("c2") || p.Asserts("") {
		t.Errorf("asserted are %v, want c1 alone", p.AuthenticationContexts)
	}
}

func TestLoadNamesAFileThatIsNotThere(t *testing.T) {
	_, err := Load("testdata/nowhere.yaml")
	if want := "testdata/nowhere.yaml: cannot be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestResolve(t *testing.T) {
	for _, test := range []struct {
		name string
		p    Provider
		want Resolved
	}{
		{"worldwide by default", Provider{Tenant: "contoso.com"}, Resolved{
			Authority: "https://login.microsoftonline.com/contoso.com", IMAP: "outlook.office365.com:993", SMTP: "smtp.office365.com:587",
			DelegatedResource: "https://outlook.office.com", ApplicationResource: "https://outlook.office365.com", TokenExchange: "api://AzureADTokenExchange"}},
		{"china", Provider{Tenant: "contoso.cn", Cloud: "china"}, Resolved{
			Authority: "https://login.partner.microsoftonline.cn/contoso.cn", IMAP: "partner.outlook.cn:993", SMTP: "smtp.partner.outlook.cn:587",
			DelegatedResource: "https://partner.outlook.cn", ApplicationResource: "https://partner.outlook.cn", TokenExchange: "api://AzureADTokenExchangeChina"}},
		{"own endpoints beside the cloud's", Provider{Tenant: "t", Endpoints: Endpoints{Authority: "https://localhost:8443/other", IMAP: "localhost:1993", CAFile: "/ca.pem"}}, Resolved{
			Authority: "https://localhost:8443/other", IMAP: "localhost:1993", SMTP: "smtp.office365.com:587",
			DelegatedResource: "https://outlook.office.com", ApplicationResource: "https://outlook.office365.com", CAFile: "/ca.pem", TokenExchange: "api://AzureADTokenExchange"}},
		{"tenant added to a bare authority", Provider{Tenant: "contoso.com", Endpoints: Endpoints{Authority: "https://localhost:8443/", Resource: "https://mail.test"}}, Resolved{
			Authority: "https://localhost:8443/contoso.com", IMAP: "outlook.office365.com:993", SMTP: "smtp.office365.com:587",
			DelegatedResource: "https://mail.test", ApplicationResource: "https://mail.test", TokenExchange: "api://AzureADTokenExchange"}},
	} {
		if diff := cmp.Diff(test.want, test.p.Resolve()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestClientSecret(t *testing.T) {
	folder := gallery(t)
	t.Setenv("POSTERN_TEST_SECRET", "from the environment")
	t.Setenv("CREDENTIALS_DIRECTORY", folder)
	for _, test := range []struct {
		p    Provider
		want string
	}{
		{Provider{}, ""},
		{Provider{ClientSecretFile: filepath.Join(folder, "app.secret")}, "s3cr3t-of-the-app"},
		{Provider{ClientSecretEnv: "POSTERN_TEST_SECRET"}, "from the environment"},
		{Provider{ClientSecretCredential: "app.secret"}, "s3cr3t-of-the-app"},
	} {
		got, err := test.p.ClientSecret()
		if err != nil || got.Reveal() != test.want {
			t.Errorf("%+v: got %q, %v; want %q", test.p, got.Reveal(), err, test.want)
		}
	}
	for _, p := range []Provider{
		{ClientSecretCredential: "../app.secret"}, {ClientSecretCredential: "nowhere"}, {ClientSecretEnv: "POSTERN_TEST_UNSET"},
		{ClientSecretFile: filepath.Join(folder, "open.secret")}, {ClientSecretFile: filepath.Join(folder, "empty.secret")},
	} {
		if got, err := p.ClientSecret(); err == nil {
			t.Errorf("%+v: got %q, want an error", p, got.Reveal())
		} else if name := p.ClientSecretCredential + p.ClientSecretEnv + p.ClientSecretFile; strings.Contains(err.Error(), name) {
			t.Errorf("%v repeats the setting, where people paste the secret itself", err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "0d": 0} {
		if got, err := ParseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-5m", "1.5d", "90", "99999999d", "90 d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

// described are the types whose settings the schema and docs/configuration.md describe.
var described = []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[ConnectionLimits](), reflect.TypeFor[Certificate](), reflect.TypeFor[CertificateFiles](), reflect.TypeFor[PrivateCA](), reflect.TypeFor[ACME](), reflect.TypeFor[ACMEDNS](), reflect.TypeFor[ExternalAccount](),
	reflect.TypeFor[Provider](), reflect.TypeFor[Endpoints](), reflect.TypeFor[Listener](), reflect.TypeFor[Portal](), reflect.TypeFor[Administration](), reflect.TypeFor[Metrics](), reflect.TypeFor[Policy](),
	reflect.TypeFor[Audit](), reflect.TypeFor[AuditRotate](), reflect.TypeFor[AuditKeep](), reflect.TypeFor[AuditHeads](), reflect.TypeFor[Syslog](),
	reflect.TypeFor[MFA](), reflect.TypeFor[Passwords](), reflect.TypeFor[Limits](), reflect.TypeFor[IMAP](), reflect.TypeFor[Send](), reflect.TypeFor[User]()}

// TestSchemaKnowsEverySetting: a setting that an editor would mark as unknown, or has nothing to say about, is a
// setting without a description.
func TestSchemaKnowsEverySetting(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]struct{ Description string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, kind := range described {
		for name := range settings(kind) {
			if schema.Defs[kind.Name()].Properties[name].Description == "" {
				t.Errorf("the schema does not describe %s.%s", kind.Name(), name)
			}
		}
	}
}

// TestDocsSayWhatTheSchemaSays holds docs/configuration.md against the one place where settings are described.
func TestDocsSayWhatTheSchemaSays(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	page = bytes.ReplaceAll(page, []byte("`"), nil)
	for _, kind := range described {
		for _, index := range settings(kind) {
			field := kind.Field(index)
			if text := field.Tag.Get("jsonschema_description"); !bytes.Contains(page, []byte(text)) {
				t.Errorf("docs/configuration.md does not say of %s.%s: %s", kind.Name(), field.Name, text)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	folder := gallery(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := parse("postern.yaml", content, folder)
		if err == nil {
			// What was accepted means the same to the YAML library's own reading of it.
			var again Config
			if yamlErr := yaml.Unmarshal(content, &again); yamlErr == nil && again.Domain != c.Domain {
				t.Fatalf("domain %q is %q to the library", c.Domain, again.Domain)
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %v, want problems", err)
		}
		lines := bytes.Count(content, []byte("\n")) + bytes.Count(content, []byte("\r")) + 1
		for _, p := range problems {
			if p.Line > lines {
				t.Fatalf("line %d of %d: %s", p.Line, lines, p)
			}
		}
	})
}

// TestConnectionDefaults: what the file leaves out is filled in.
func TestConnectionDefaults(t *testing.T) {
	content, err := os.ReadFile("testdata/good/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	folder := gallery(t)
	c, err := parse("postern.yaml", content, folder)
	if err != nil {
		t.Fatal(err)
	}
	if want := (ConnectionLimits{24000, 12000, 12000}); c.Limits != want {
		t.Errorf("limits: got %+v, want %+v", c.Limits, want)
	}
	if want := filepath.Join(folder, "postern.sock"); c.AdminSocket != want {
		t.Errorf("admin socket: got %q, want %q", c.AdminSocket, want)
	}
	if got := c.Providers["contoso"].IMAPSessions; got != 20 {
		t.Errorf("sessions of a mailbox: got %d, want Exchange Online's 20", got)
	}
	elsewhere := bytes.Replace(content, []byte("    kind: microsoft"), []byte("    kind: microsoft\n    endpoints: {imap: 'localhost:1993'}"), 1)
	if c, err = parse("postern.yaml", elsewhere, folder); err != nil {
		t.Fatal(err)
	}
	if got := c.Providers["contoso"].IMAPSessions; got != 0 {
		t.Errorf("sessions of a mailbox elsewhere: got %d, want no limit", got)
	}
}

func TestSendingAndListeners(t *testing.T) {
	content, err := os.ReadFile("testdata/good/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("postern.yaml", content, gallery(t))
	if err != nil {
		t.Fatal(err)
	}
	var profiles []string
	for _, l := range c.Listeners {
		profiles = append(profiles, l.Profile)
	}
	if diff := cmp.Diff([]string{"", "strict", "device", "ancient", "device"}, profiles); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	if got, want := c.Policies["device"].Send, (Send{From: "rewrite", Recipients: []string{"*@contoso.com"}, MaxSize: 35 << 20}); !cmp.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if diff := cmp.Diff([]string{"info@contoso.com", "*@fabrikam.com"}, c.Users[0].Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{"35MB": 35 << 20, "1 mb": 1 << 20, "512KB": 512 << 10, "1000": 1000,
		"": 0, "0": 0, "-1MB": 0, "MB": 0, "35 GB": 0, "1.5MB": 0, "99999999999MB": 0} {
		if got, err := ParseSize(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for size, want := range map[Size]string{35 << 20: "35MB", 512 << 10: "512KB", 1000: "1000"} {
		if got := size.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestEvidenceThatNobodyCanGive: a policy under which every password is refused is worth a warning, and only that one.
func TestEvidenceThatNobodyCanGive(t *testing.T) {
	content, err := os.ReadFile("testdata/good/passwords.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("postern.yaml", content, gallery(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range c.Warnings {
		if strings.Contains(warning.Path, "mfa") {
			t.Errorf("got %s, though command-line is accepted", warning)
		}
	}
	if got, want := c.Policies["person"].Passwords, (Passwords{Length: 24, MaxLife: Duration(365 * 24 * time.Hour)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMFA(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	some := MFA{Evidence: []string{"totp", "acrs:c1"}, MaxAge: Duration(time.Hour)}
	for method, want := range map[string]bool{"totp": true, "acrs:c1": true, "acrs:c2": false, "command-line": false, "": false} {
		if got := some.Accepts(method); got != want {
			t.Errorf("accepts %q: got %v, want %v", method, got, want)
		}
	}
	for age, want := range map[time.Duration]bool{0: false, time.Hour: false, time.Hour + 1: true} {
		if got := some.Aged(now.Add(-age), now); got != want {
			t.Errorf("evidence of age %v: got aged %v, want %v", age, got, want)
		}
	}
	if none := (MFA{}); !none.Accepts("command-line") || none.Aged(time.Time{}, now) {
		t.Error("a policy without rules refuses evidence")
	}
}

// TestOverride: what an entry overrides is laid over its policy, setting by setting, and each setting knows its place.
func TestOverride(t *testing.T) {
	content, err := os.ReadFile("testdata/good/override.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("postern.yaml", content, gallery(t))
	if err != nil {
		t.Fatal(err)
	}
	copier, plain := c.Users[0], c.Users[1]
	if copier.Line != 23 || plain.Line != 32 || plain.Effective != nil {
		t.Errorf("entries at lines %d and %d, want 23 and 32; the effective policy of the second: %+v", copier.Line, plain.Line, plain.Effective)
	}
	if got := c.Policies["device"].Limits.Connections; got != 3 {
		t.Errorf("the policy itself now has %d connections", got)
	}
	got := make(map[string]Setting)
	for _, setting := range copier.Effective.Settings() {
		got[setting.Key] = setting
	}
	for _, want := range []Setting{
		{"protocols", "smtp", Origin{false, 17}},
		{"networks", "10.0.9.0/24, fd00::/8", Origin{true, 30}},
		{"limits.connections", "", Origin{true, 31}}, // 0: the limit is taken away
		{"limits.messages_per_minute", "30", Origin{false, 19}},
		{"mfa.max_age", "90d", Origin{false, 20}},
		{"mfa.evidence", "command-line", Origin{false, 20}},
		{"imap.read_only", "", Origin{}},
	} {
		if got[want.Key] != want {
			t.Errorf("got %+v, want %+v", got[want.Key], want)
		}
	}
}
