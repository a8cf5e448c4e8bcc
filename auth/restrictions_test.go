package auth

import (
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/config"
)

// TestGrantCarriesRestrictions: a session is restricted by its password or by its policy, whichever says so.
func TestGrantCarriesRestrictions(t *testing.T) {
	for name, test := range map[string]struct {
		password bool
		policy   config.IMAP
		readOnly bool
		folders  int
	}{
		"none":            {false, config.IMAP{}, false, 0},
		"by the password": {true, config.IMAP{}, true, 0},
		"by the policy":   {false, config.IMAP{ReadOnly: true, Folders: []string{"INBOX"}}, true, 1},
	} {
		w := newLockWorld()
		w.verdict.Password.ReadOnly = test.password
		mapping, _ := w.gate.directory.Load().Lookup("alice")
		mapping.Policy.IMAP = test.policy
		grant, refusal := w.signIn(t, "alice")
		if refusal != nil || grant.ReadOnly != test.readOnly || len(grant.Folders) != test.folders {
			t.Errorf("%s: got read-only %v, folders %v, refusal %v", name, grant.ReadOnly, grant.Folders, refusal)
		}
	}
}

// TestReadOnlyPasswordDoesNotSend: sending is no reading, whatever else the password's record says.
func TestReadOnlyPasswordDoesNotSend(t *testing.T) {
	password := apppassword.Verdict{Status: apppassword.Valid, Password: apppassword.Record{Protocols: []string{"imap", "smtp"}}}
	policy := &config.Policy{Protocols: []string{"imap", "smtp"}, IMAP: config.IMAP{ReadOnly: true}}
	if got := why(Attempt{Protocol: SMTP}, policy, password, time.Time{}); got != "" {
		t.Errorf("a password that may write, under a policy for reading by IMAP: refused for %q", got)
	}
	password.Password.ReadOnly = true
	if got := why(Attempt{Protocol: SMTP}, policy, password, time.Time{}); got != ProtocolForbidden {
		t.Errorf("got %q, want %q", got, ProtocolForbidden)
	}
	if got := why(Attempt{Protocol: IMAP}, policy, password, time.Time{}); got != "" {
		t.Errorf("IMAP with a read-only password: refused for %q", got)
	}
}
