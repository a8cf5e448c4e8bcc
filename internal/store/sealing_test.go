package store

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestI19TokenCacheOpensInItsPlaceOnly(t *testing.T) {
	path := database(t)
	s := openAt(t, path, newRing(t))
	key := TokenCacheKey{Provider: "contoso", TenantID: "tid", Owner: "alice", Kind: "msal-public"}
	if err := s.SaveTokenCache(t.Context(), key, []byte("alice's refresh token")); err != nil {
		t.Fatal(err)
	}
	for column, moved := range map[string]TokenCacheKey{
		"provider":  {Provider: "x", TenantID: "tid", Owner: "alice", Kind: "msal-public"},
		"tenant_id": {Provider: "contoso", TenantID: "x", Owner: "alice", Kind: "msal-public"},
		"owner":     {Provider: "contoso", TenantID: "tid", Owner: "x", Kind: "msal-public"},
		"kind":      {Provider: "contoso", TenantID: "tid", Owner: "alice", Kind: "x"},
	} {
		columns := strings.Replace("provider, tenant_id, owner, kind, sealed", column, "'x'", 1)
		if _, err := s.writer.ExecContext(t.Context(), `INSERT INTO token_caches (provider, tenant_id, owner, kind, sealed) SELECT `+columns+` FROM token_caches WHERE
			provider = 'contoso' AND tenant_id = 'tid' AND owner = 'alice' AND kind = 'msal-public'`); err != nil {
			t.Fatal(err)
		}
		content, err := s.LoadTokenCache(t.Context(), moved)
		if err == nil || errors.Is(err, ErrNotFound) || content != nil {
			t.Errorf("copied to another %s: got %q, %v; want an error that it does not open", column, content, err)
		}
	}
	if got, err := s.LoadTokenCache(t.Context(), key); err != nil || string(got) != "alice's refresh token" {
		t.Errorf("in its place: got %q, %v", got, err)
	}
}

// TestI09RecordOpensInItsPlaceOnly: what a queued message's row says beside its record is sealed with the record.
func TestI09RecordOpensInItsPlaceOnly(t *testing.T) {
	for _, change := range []string{"id = 'other'", "mailbox = 'boss@contoso.example'", "login = 'boss'", "size = size + 1", "parts = parts + 1", "accepted = accepted + 1"} {
		s := openAt(t, database(t), newRing(t))
		m := QueuedMessage{ID: "m1", Mailbox: "scans@contoso.example", Login: "copier-3", State: Waiting, Size: 3, Parts: 1, Accepted: time.Now(), NextTry: time.Now(), Record: []byte("record")}
		if err := s.Enqueue(t.Context(), m, []Part{{Content: []byte("x\r\n")}}, s.Generation()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.QueuedMessage(t.Context(), "m1"); err != nil || got.RecordError != nil || string(got.Record) != "record" {
			t.Fatalf("in its place: %q, %v, %v", got.Record, got.RecordError, err)
		}
		if _, err := s.writer.ExecContext(t.Context(), "UPDATE queue_messages SET "+change); err != nil {
			t.Fatal(err)
		}
		all, err := s.QueuedMessages(t.Context(), QueueFilter{})
		if err != nil || len(all) != 1 || all[0].RecordError == nil || all[0].Record != nil {
			t.Errorf("with %s: %+v, %v; want that it does not open", change, all, err)
		}
	}
}

func TestAssociatedDataIsUnambiguous(t *testing.T) {
	part := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'b', '/', 0, 1, 2})) // short, and like the lengths
	key := rapid.Custom(func(t *rapid.T) TokenCacheKey {
		return TokenCacheKey{Provider: part.Draw(t, "provider"), TenantID: part.Draw(t, "tenant"), Owner: part.Draw(t, "owner"), Kind: part.Draw(t, "kind")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		if same := bytes.Equal(a.associatedData(), b.associatedData()); same != (a == b) {
			t.Fatalf("%#v and %#v: same description is %v", a, b, same)
		}
	})
	shifted := TokenCacheKey{Provider: "ab", TenantID: "c"}
	if bytes.Equal(shifted.associatedData(), TokenCacheKey{Provider: "a", TenantID: "bc"}.associatedData()) {
		t.Error("the border between two parts does not matter")
	}
}

func TestFilesHoldNoToken(t *testing.T) {
	const token = "0.AXoA-refresh-token-of-alice"
	path := database(t)
	s := openAt(t, path, newRing(t))
	key := TokenCacheKey{Provider: "contoso", TenantID: "tid", Owner: "oid", Kind: "msal-public"}
	account := Account{Provider: "contoso", Name: "alice", Standing: Standing{Since: time.Now()}}
	if err := s.SaveEnrolment(t.Context(), account, key, []byte(`{"secret":"`+token+`"}`)); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents(t, filepath.Dir(path)) {
		if strings.Contains(content, "refresh-token") {
			t.Errorf("the token is in %s", name)
		}
	}
}

func TestEnrolmentIsRolledBack(t *testing.T) {
	s := openAt(t, database(t), newRing(t))
	if _, err := s.writer.ExecContext(t.Context(), `DROP TABLE token_caches`); err != nil {
		t.Fatal(err)
	}
	account := Account{Provider: "contoso", Name: "alice", Standing: Standing{Since: time.Now()}}
	if err := s.SaveEnrolment(t.Context(), account, TokenCacheKey{}, []byte("x")); err == nil {
		t.Fatal("it was saved without its cache")
	}
	if _, err := s.Account(t.Context(), "contoso", "alice"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want no account", err)
	}
}

func TestFactorOpensInItsPlaceOnly(t *testing.T) {
	for column, value := range map[string]string{"id": "other", "tenant_id": "other", "object_id": "other", "method": "passkey"} {
		s := openAt(t, database(t), newRing(t))
		f := Factor{ID: "f", TenantID: "tid", ObjectID: "oid", Method: "totp", Created: time.Now(), Content: []byte("key of alice")}
		if _, err := s.AddFactor(t.Context(), f, true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.writer.ExecContext(t.Context(), `UPDATE factors SET `+column+` = ?`, value); err != nil {
			t.Fatal(err)
		}
		for _, person := range [][2]string{{"tid", "oid"}, {"other", "oid"}, {"tid", "other"}} {
			if got, err := s.Factors(t.Context(), person[0], person[1]); len(got) > 0 {
				t.Errorf("with another %s: got %v, %v; want nothing of it", column, got, err)
			}
		}
	}
}

func TestFilesHoldNoFactor(t *testing.T) {
	path := database(t)
	s := openAt(t, path, newRing(t))
	f := Factor{ID: "f", TenantID: "tid", ObjectID: "oid", Method: "totp", Created: time.Now(), Content: []byte("JBSWY3DPEHPK3PXP")}
	if _, err := s.AddFactor(t.Context(), f, true); err != nil {
		t.Fatal(err)
	}
	c := Ceremony{Browser: "b", Purpose: "totp", TenantID: "tid", ObjectID: "oid", Expires: time.Now().Add(time.Hour), Content: f.Content}
	if err := s.SaveCeremony(t.Context(), c, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, content := range contents(t, filepath.Dir(path)) {
		if strings.Contains(content, string(f.Content)) {
			t.Errorf("the key is in %s", name)
		}
	}
}

// TestI41CertificateItemOpensInItsPlaceOnly: keys of certificates lie sealed, each in its place.
func TestI41CertificateItemOpensInItsPlaceOnly(t *testing.T) {
	s := openAt(t, database(t), newRing(t))
	item := CertificateItem{Name: "private-ca/root", Modified: time.Now(), Content: []byte("PRIVATE KEY of the root")}
	if err := s.SaveCertificateItem(t.Context(), item); err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if err := s.writer.QueryRowContext(t.Context(), `SELECT sealed FROM certificate_items`).Scan(&sealed); err != nil || bytes.Contains(sealed, []byte("PRIVATE")) {
		t.Errorf("the key is not sealed: %v", err)
	}
	if _, err := s.writer.ExecContext(t.Context(), `UPDATE certificate_items SET name = 'private-ca/leaf'`); err != nil {
		t.Fatal(err)
	}
	if got, err := s.CertificateItem(t.Context(), "private-ca/leaf"); err == nil || got.Content != nil {
		t.Errorf("in another place: got %q, %v; want an error", got.Content, err)
	}
}
