package apppassword

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/secret"
)

func clock() time.Time { return now }

func verify(t *testing.T, v *Verifier, login string, attempt secret.Text) Verdict {
	t.Helper()
	verdict, err := v.Verify(context.Background(), login, attempt)
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

func TestVerify(t *testing.T) {
	for name, test := range map[string]struct {
		login  string
		edit   func(*Record)
		typed  func(string) string
		want   Status
		hidden bool // the verdict has no record
	}{
		"right":            {want: Valid},
		"login's case":     {login: "COPIER-3", want: Valid},
		"upper case":       {typed: strings.ToUpper, want: Valid},
		"without hyphens":  {typed: func(s string) string { return strings.ReplaceAll(s, "-", "") }, want: Valid},
		"no expiry":        {edit: func(r *Record) { r.Expires = time.Time{} }, want: Valid},
		"last moment":      {edit: func(r *Record) { r.Expires = now.Add(1) }, want: Valid},
		"expired":          {edit: func(r *Record) { r.Expires = now }, want: Expired},
		"revoked":          {edit: func(r *Record) { r.Revoked = now }, want: Revoked},
		"revoked, expired": {edit: func(r *Record) { r.Revoked, r.Expires = now, now }, want: Revoked},
		"wrong":            {typed: func(s string) string { return s[1:] + s[:1] }, want: Wrong, hidden: true},
		"empty":            {typed: func(string) string { return "" }, want: Wrong, hidden: true},
		"malformed":        {typed: func(s string) string { return s + "!" }, want: Wrong, hidden: true},
		"another login":    {login: "copier-4", want: Wrong, hidden: true},
		"no login":         {login: "", edit: func(r *Record) { r.Login = "copier-4" }, want: Wrong, hidden: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, hasher := &memory{}, &hasher{keys: []string{"k"}}
			record, password := issue(t, store, hasher, request())
			if test.edit != nil {
				store.change(test.edit)
			}
			if test.typed != nil {
				password = secret.New(test.typed(password.Reveal()))
			}
			login := test.login
			if login == "" {
				login = "copier-3"
			}
			verdict := verify(t, NewVerifier(store, hasher, clock), login, password)
			if verdict.Status != test.want {
				t.Errorf("got status %v, want %v", verdict.Status, test.want)
			}
			wantID := record.ID
			if test.hidden {
				wantID = ""
			}
			if verdict.Password.ID != wantID {
				t.Errorf("got password %q, want %q", verdict.Password.ID, wantID)
			}
		})
	}
}

func TestVerifyDoesTheSameWorkForAll(t *testing.T) {
	store, hash := &memory{}, &hasher{keys: []string{"k"}}
	_, right := issue(t, store, hash, request())
	v := NewVerifier(store, hash, clock)
	work := func(login string, attempt secret.Text) string {
		store.lookups, hash.lengths = 0, nil
		verify(t, v, login, attempt)
		return fmt.Sprint(hash.lengths, store.lookups)
	}
	want := work("copier-3", right)
	if !strings.HasSuffix(want, "] 1") {
		t.Errorf("got work %s, want one look-up", want)
	}
	revoked := func() string {
		store.change(func(r *Record) { r.Revoked = now })
		return work("copier-3", right)
	}
	for name, got := range map[string]string{
		"unknown login": work("copier-4", right),
		"wrong":         work("copier-3", show(strings.Repeat("a", 24))),
		"empty":         work("copier-3", secret.Text{}),
		"huge":          work("copier-3", secret.New(strings.Repeat("a", 1<<20))),
		"revoked":       revoked(),
	} {
		if got != want {
			t.Errorf("%s: got work %s, want %s", name, got, want)
		}
	}
}

func TestVerifyAfterAKeyRotation(t *testing.T) {
	store := &memory{}
	_, unused := issue(t, store, &hasher{keys: []string{"old"}}, request())
	_, password := issue(t, store, &hasher{keys: []string{"old"}}, request())
	rotated, retired := &hasher{keys: []string{"new", "old"}}, &hasher{keys: []string{"new"}}
	store.fail = errors.New("disk trouble")
	if _, err := NewVerifier(store, rotated, clock).Verify(t.Context(), "copier-3", password); err == nil {
		t.Error("a store that fails was not noticed")
	}
	store.fail = nil
	for range 2 {
		if got := verify(t, NewVerifier(store, rotated, clock), "copier-3", password); got.Status != Valid {
			t.Errorf("after the rotation: got status %v, want Valid", got.Status)
		}
	}
	if got := verify(t, NewVerifier(store, retired, clock), "copier-3", password); got.Status != Valid {
		t.Errorf("used since, and the old key is gone: got status %v, want Valid", got.Status)
	}
	if got := verify(t, NewVerifier(store, retired, clock), "copier-3", unused); got.Status != Wrong {
		t.Errorf("not used since, and the old key is gone: got status %v, want Wrong", got.Status)
	}
}

func TestVerifyTellsAStoreThatFails(t *testing.T) {
	store, hash := &memory{}, &hasher{keys: []string{"k"}}
	_, password := issue(t, store, hash, request())
	store.fail = errors.New("the store is locked")
	verdict, err := NewVerifier(store, hash, nil).Verify(context.Background(), "copier-3", password)
	if !errors.Is(err, store.fail) || verdict.Status != Wrong {
		t.Errorf("got %v, %v; want the store's error", verdict.Status, err)
	}
	if slices.ContainsFunc(secretsOf(password), func(s string) bool { return strings.Contains(err.Error(), s) }) {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	store, hash := &memory{}, &hasher{keys: []string{"k"}}
	record, password := issue(t, store, hash, request())
	verdict := verify(t, NewVerifier(store, hash, clock), "copier-3", password)
	printed := fmt.Sprintf("%+v %#v %+v %v", record, verdict, store.byHash, password)
	for _, form := range secretsOf(password) {
		if strings.Contains(printed, form) {
			t.Errorf("%q shows in %s", form, printed)
		}
	}
}
