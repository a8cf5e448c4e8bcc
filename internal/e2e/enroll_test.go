package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// client gives an HTTP client that trusts the simulator and nobody else.
func (s *simulator) client(t *testing.T) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", s.CAFile)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// order has the simulator's control endpoint do something.
func (s *simulator) order(t *testing.T, path string, order map[string]any) {
	t.Helper()
	authority, err := url.Parse(s.Authority)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client(t).Post("https://"+authority.Host+"/sim/"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		reason, _ := io.ReadAll(answer.Body)
		t.Fatalf("ordering %s %s: got status %d: %s", path, body, answer.StatusCode, reason)
	}
}

// userCode is the line of `user enroll` that tells the person what to enter.
var userCode = regexp.MustCompile(`(?m)^Enter\s+(\S+)$`)

// enroll runs `user enroll` for a login, and has the person sign in at the simulator with her account.
func (d *deployment) enroll(t *testing.T, s *simulator, program, login, account string) {
	t.Helper()
	p := start(t, program, "user", "enroll", login, "-c", d.config)
	var code string
	eventually(t, readyTime, "a user code", func() error {
		found := userCode.FindStringSubmatch(p.stdout.String())
		if found == nil {
			return fmt.Errorf("not in\n%s%s", p.stdout, p.stderr)
		}
		code = found[1]
		return nil
	})
	s.order(t, "device/approve", map[string]any{"user_code": code, "account": account})
	select {
	case <-p.ended:
	case <-time.After(readyTime):
		t.Fatalf("`user enroll` did not end within %v of the sign-in\n%s", readyTime, p.stderr)
	}
	p.stop(t)
	d.replies.WriteString(p.stdout.String() + p.stderr.String())
}

// TestEnrolledPerson has a person enrol by device code while the gateway runs, and then use both protocols with her own
// token. Until then she hears that she has to sign in to Microsoft, and not that her password is wrong.
func TestEnrolledPerson(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, program)
	user := g.named(t, "helpdesk@contoso.example")

	before := len(d.audit(t))
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "NO [CONTACTADMIN] ") {
		t.Errorf("before she enrolled: got %q, want NO [CONTACTADMIN]", got)
	}
	if got := refusals(d.audit(t), before); len(got) != 1 || got[0].Reason != "sign-in-needed" {
		t.Errorf("got refusals %+v in the audit log, want one for sign-in-needed", got)
	}

	d.enroll(t, s, program, user.Login, "alice@contoso.example")
	submit(t, g, user, "alice@contoso.example", letter(user.Mailbox, "alice@contoso.example", "from the helpdesk", trickyBody))
	for _, folder := range []string{"INBOX", "Sent Items"} { // Exchange keeps the copy where XOAUTH2's user= is: with her
		arrived(t, g.open(t, alice(t, g)), folder, "from the helpdesk")
	}
	put(t, g.open(t, user), "INBOX", letter("bob@contoso.example", user.Mailbox, "to the helpdesk", trickyBody))
	if got := arrived(t, g.open(t, user), "INBOX", "to the helpdesk").body(); got != trickyBody {
		t.Errorf("got body\n%q\nwant\n%q", got, trickyBody)
	}
	d.searchTwice(t, g, secretsOf(s, g))
}
