package auth

import (
	"testing"
	"time"

	"postern/auth/apppassword"
	"postern/internal/config"
	"postern/internal/store"
)

// TestEvidenceComesBack: a password whose evidence is too old is refused until it is renewed, and is then the same.
func TestEvidenceComesBack(t *testing.T) {
	w := newWorld(t)
	id, password := w.issue("copier-3", 2*time.Hour, "command-line")
	if got := w.try("copier-3", "192.0.2.1", password); got != EvidenceExpired {
		t.Fatalf("refused for %q, want %s", got, EvidenceExpired)
	}
	if err := w.store.RenewEvidence(t.Context(), id, store.Evidence{Method: "command-line", By: "root", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := w.try("copier-3", "192.0.2.1", password); got != "" {
		t.Errorf("after the renewal: refused for %q", got)
	}
}

// TestGrantEndsWithItsEvidence: the session ends when the password does, or the evidence behind it.
func TestGrantEndsWithItsEvidence(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		expires time.Time
		maxAge  time.Duration
		want    time.Time
	}{
		"neither":        {},
		"password":       {now.Add(2), 0, now.Add(2)},
		"evidence":       {time.Time{}, 3, now.Add(3)},
		"password first": {now.Add(2), 3, now.Add(2)},
		"evidence first": {now.Add(4), 3, now.Add(3)},
	} {
		got := expiry(apppassword.Record{Expires: test.expires, Evidence: apppassword.Evidence{At: now}}, config.Duration(test.maxAge))
		if !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
