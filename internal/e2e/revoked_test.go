package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
)

// issued is what the simulator tells of its token endpoint.
type issued struct {
	Requests int64    `json:"requests"`
	Refresh  []string `json:"refresh"`
}

// issued asks the simulator how many token requests came and which refresh tokens it has issued.
func (s *simulator) issued(t *testing.T) (i issued) {
	t.Helper()
	authority, err := url.Parse(s.Authority)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client(t).Get("https://" + authority.Host + "/sim/tokens")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&i); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got status %d, %v", answer.StatusCode, err)
	}
	return i
}

// command runs a command of the administrator, which must have the exit code, and gives what it printed.
func (d *deployment) command(t *testing.T, program string, code int, args ...string) string {
	t.Helper()
	c := exec.Command(program, append(args, "-c", d.config)...)
	out, _ := c.CombinedOutput()
	d.replies.Write(out)
	if got := c.ProcessState.ExitCode(); got != code {
		t.Fatalf("postern %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// TestI23RevokedAndBlocked has Entra end a person's sign-in while the gateway runs, and then block it: however often her
// client tries, Entra is asked once and once more at most; she and the administrator are told; and when it is mended, all
// is well again, after a sign-in in the one case and after a word of the administrator in the other.
func TestI23RevokedAndBlocked(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.serve(t, g, program)
	user := g.named(t, "helpdesk@contoso.example")
	const account = "alice@contoso.example"
	d.enroll(t, s, program, user.Login, account)
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
		t.Fatalf("enrolled: got %q, want OK", got)
	}
	insist := func(what, state string) {
		t.Helper()
		before := s.issued(t).Requests
		for range 12 {
			if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "NO [CONTACTADMIN] ") {
				t.Errorf("%s: got %q, want NO [CONTACTADMIN]", what, got)
			}
		}
		if n := s.issued(t).Requests - before; n < 1 || n > 2 {
			t.Errorf("%s: got %d token requests for 12 attempts, want one, or two", what, n)
		}
		if got := d.command(t, program, 0, "user", "list"); !strings.Contains(got, state) {
			t.Errorf("%s: got %s, want %q in it", what, got, state)
		}
		if got := d.command(t, program, 0, "forecast"); !strings.Contains(got, account) {
			t.Errorf("%s: the forecast does not have %s:\n%s", what, account, got)
		}
	}

	s.order(t, "revoke", map[string]any{"account": account})
	s.order(t, "expire", map[string]any{})
	insist("revoked", "needs sign-in")
	d.enroll(t, s, program, user.Login, account)
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
		t.Errorf("enrolled again: got %q, want OK", got)
	}

	s.order(t, "faults", map[string]any{"point": "token", "match": account, "aadsts": 53003})
	s.order(t, "expire", map[string]any{})
	insist("blocked", "refused")
	if got := d.command(t, program, 1, "user", "recheck", user.Login); !strings.Contains(got, "AADSTS53003") {
		t.Errorf("rechecked while it is blocked: got %s", got)
	}
	d.clearFaults(t, s)
	if got := d.command(t, program, 0, "user", "recheck", "--all", "--json"); !strings.Contains(got, fmt.Sprintf("%q", user.Login)) {
		t.Errorf("rechecked: got %s", got)
	}
	if got := d.imapSignIn(t, g, user); !strings.HasPrefix(got, "OK") {
		t.Errorf("mended: got %q, want OK", got)
	}

	l := secretsOf(s, g)
	for i, token := range s.issued(t).Refresh {
		l.add(fmt.Sprintf("refresh token %d", i), token)
	}
	d.searchTwice(t, g, l)
}

// clearFaults has the simulator forget the faults that were ordered.
func (d *deployment) clearFaults(t *testing.T, s *simulator) {
	t.Helper()
	authority, err := url.Parse(s.Authority)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "https://"+authority.Host+"/sim/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}
