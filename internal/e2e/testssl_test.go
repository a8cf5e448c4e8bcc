package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// finding is what testssl.sh says of one question.
type finding struct{ ID, Severity, Finding string }

// good reports whether testssl.sh has nothing against it. Of certificates it wants what those of a test's own authority do not have.
func (f finding) good() bool {
	switch f.Severity {
	case "OK", "INFO", "DEBUG":
		return true
	}
	return f.ID == "engine_problem" || strings.HasPrefix(f.ID, "cert_revocation") || strings.HasPrefix(f.ID, "cert_chain_of_trust")
}

// knownFindings are what testssl.sh finds and what is so on purpose, at the doors of each kind.
var knownFindings = map[string]string{
	"TLS_session_ticket":   "all",  // tickets count for a week, as RFC 8446 section 4.6.1 allows
	"GREASE":               "mail", // a client that asks for another protocol by ALPN is refused (RFC 7301 section 3.2)
	"TLS1":                 "legacy",
	"TLS1_1":               "legacy",
	"cipherlist_3DES_IDEA": "legacy",
	"cipherlist_AVERAGE":   "legacy",
	"SWEET32":              "legacy", // 3DES comes last, for devices that know nothing else
	"BEAST":                "legacy",
	"BEAST_CBC_TLS1":       "legacy",
	"LUCKY13":              "legacy", // it knows CBC suites, not whether they take the same time always
}

// known reports whether a finding is so on purpose.
func (d door) known(f finding) bool {
	switch knownFindings[f.ID] {
	case "all":
		return true
	case "mail":
		return d.protocol != "https"
	case "legacy":
		return d.legacy
	}
	return false
}

// testssl has testssl.sh look at a door.
func (d door) testssl(t *testing.T, questions ...string) []finding {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	arguments := append([]string{"--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1", "--jsonfile", report}, questions...)
	if d.starttls {
		arguments = append(arguments, "--starttls", d.protocol)
	}
	// Its exit code counts its findings, the known ones, too.
	out, _ := command{path: need(t, "testssl"), args: append(arguments, d.address), limit: 30 * time.Minute}.try(t)
	content, err := os.ReadFile(report)
	var findings []finding
	if err == nil {
		err = json.Unmarshal(content, &findings)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", d.name, err, out)
	}
	return findings
}

// testssl has testssl.sh look at listeners: at the versions of an ordinary one and of one for old TLS, and with POSTERN_LONG, for which
// it wants minutes, at everything of a listener of each profile.
func (h house) testssl(t *testing.T) {
	need(t, "testssl")
	need(t, "hexdump") // which it wants
	doors, questions := []door{h.doors[0], h.doors[6]}, []string{"--protocols"}
	if os.Getenv("POSTERN_LONG") != "" {
		doors = []door{h.doors[0], h.doors[3], h.doors[4], h.doors[6]}
		questions = append(questions, "--std", "--server-defaults", "--server-preference", "--pfs", "--grease", "--vulnerable", "--rc4")
	}
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) { d.wellFound(t, questions) })
	}
}

// wellFound holds a door to what testssl.sh may find there.
func (d door) wellFound(t *testing.T, questions []string) {
	offered := make(map[string]bool)
	for _, f := range d.testssl(t, questions...) {
		offered[f.ID] = strings.HasPrefix(f.Finding, "offered")
		if !f.good() && !d.known(f) {
			t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
	for version, want := range map[string]bool{"SSLv2": false, "SSLv3": false, "TLS1": d.legacy, "TLS1_1": d.legacy, "TLS1_2": true, "TLS1_3": true} {
		if got, looked := offered[version]; !looked || got != want {
			t.Errorf("%s offered is %v (looked at: %v), want %v", version, got, looked, want)
		}
	}
}
