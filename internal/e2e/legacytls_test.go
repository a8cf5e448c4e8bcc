package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// office is a deployment with what old devices need: a listener with TLS 1.0, the profile ancient and logins by address.
type office struct {
	*deployment
	*gateway
	legacy string // its address
}

// oldListener is the listener of an office. It is for few addresses.
const oldListener = "  - {protocol: smtp, address: %q, tls: optional, legacy_tls: true, profile: ancient, without_auth: true, networks: [127.0.0.0/28]}\npolicies:"

// startOffice starts one, with further changes to its configuration.
func startOffice(t *testing.T, changes ...func(string) string) office {
	t.Helper()
	program := binary(t, program)
	sim := startSim(t, program)
	d, g := deploy(t, sim, sim.upstreams())
	o := office{d, g, freeAddress(t)}
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("policies:", fmt.Sprintf(oldListener, o.legacy),
		"device: {protocols: [smtp]}", "device: {protocols: [smtp], send: {from: rewrite}}",
		"login: copier-3,", "login: copier-3, without_auth: [127.0.0.9/32],").Replace(string(text))
	for _, change := range changes {
		changed = change(changed)
	}
	write(t, d.folder, "postern.yaml", changed)
	d.serve(t, g, program)
	g.listening(t, o.legacy)
	return o
}

// issueLegacy issues an app password for TLS below 1.2.
func (o office) issueLegacy(t *testing.T, name string) string {
	t.Helper()
	issued := start(t, binary(t, program), "password", "issue", name, "--label", "old", "--legacy-tls", "--json", "-c", o.config)
	var answer struct{ Password string }
	if err := json.Unmarshal([]byte(issued.line(t)), &answer); err != nil {
		t.Fatal(err)
	}
	<-issued.ended
	return answer.Password
}

// sClient has openssl s_client say lines over TLS of a version, as a device with that version would. OpenSSL 3 does it
// only when it is told that security does not matter.
func sClient(t *testing.T, version, address string, lines ...string) string {
	t.Helper()
	out, _ := command{path: need(t, "openssl"), args: []string{"s_client", "-connect", address, "-starttls", "smtp", "-" + version, "-cipher", "ALL:@SECLEVEL=0",
		"-crlf", "-quiet", "-ign_eof"}, stdin: strings.Join(lines, "\n") + "\n"}.try(t)
	return out
}

// TestI34OldTLS: TLS 1.0 and 1.1 on the listener for it and on no other, with app passwords that are marked for it and
// with no other; the audit log says which version a session had (threat model I-34).
func TestI34OldTLS(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	const login = "copier-3"
	plain := func(password string) string {
		return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+password))
	}
	marked := o.issueLegacy(t, login)
	for version, name := range map[string]string{"tls1": "TLS 1.0", "tls1_1": "TLS 1.1", "tls1_2": "TLS 1.2"} {
		out := sClient(t, version, o.legacy, "EHLO old", plain(marked), "QUIT")
		if !strings.Contains(out, "235 2.7.0") {
			t.Errorf("%s with a marked password:\n%s", name, out)
		}
		if version != "tls1_2" {
			if out := sClient(t, version, o.legacy, "EHLO old", plain(o.named(t, login).Password), "QUIT"); !strings.Contains(out, "535 5.7.8") {
				t.Errorf("%s with an ordinary password:\n%s", name, out)
			}
			if out := sClient(t, version, o.Submission, "EHLO old", plain(marked), "QUIT"); strings.Contains(out, "250") && strings.Contains(out, "235") {
				t.Errorf("%s on an ordinary listener:\n%s", name, out)
			}
		}
		if !o.audited(t, `"kind":"session-begin"`, `"tls":"`+name+`"`) {
			t.Errorf("no session with %s in the audit log", name)
		}
	}
	if !o.audited(t, `"kind":"sign-in"`, `"reason":"legacy-tls"`, `"tls":"TLS 1.0"`) {
		t.Error("the refusal is not in the audit log")
	}
	o.legacyCertificate(t)
}

// legacyCertificate holds that the listener for old TLS shows a certificate of the private CA with an RSA key, and that no
// other listener shows it.
func (o office) legacyCertificate(t *testing.T) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root.pem")
	exported := start(t, binary(t, program), "certificate", "root", "--out", root, "-c", o.config)
	<-exported.ended
	shown := func(address string) string {
		t.Helper()
		out, _ := command{path: need(t, "openssl"), args: []string{"s_client", "-connect", address, "-starttls", "smtp", "-tls1_2", "-cipher", "ALL:@SECLEVEL=0",
			"-CAfile", root, "-verify_return_error", "-verify_hostname", "localhost"}, stdin: "QUIT\n"}.try(t)
		return out
	}
	if out := shown(o.legacy); !strings.Contains(out, "Verification: OK") || !strings.Contains(out, "a:PKEY: rsaEncryption, 2048") {
		t.Errorf("the listener for old TLS:\n%s", out)
	}
	if out := shown(o.Submission); strings.Contains(out, "Verification: OK") {
		t.Errorf("an ordinary listener shows a certificate of the same authority:\n%s", out)
	}
}

// audited reports whether a line of the audit log has all of these texts.
func (d *deployment) audited(t *testing.T, texts ...string) bool {
	t.Helper()
	file, err := os.Open(d.auditFile())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		found := true
		for _, text := range texts {
			found = found && strings.Contains(lines.Text(), text)
		}
		if found {
			return true
		}
	}
	return false
}
