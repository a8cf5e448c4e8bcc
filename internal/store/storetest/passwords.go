package storetest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/store"
)

// full is a password with something in every field, and sparse one with as little as there may be.
func full() store.Password {
	return store.Password{
		ID: "full", Login: "alice@contoso.example", Label: "Alice's “old” client", Protocols: []string{"imap", "smtp"},
		Networks:  []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		LegacyTLS: true, ReadOnly: true, Created: kept(start), Expires: kept(start.Add(time.Hour)),
		Evidence: store.Evidence{Method: "totp", By: "alice@contoso.example", At: kept(start.Add(-time.Minute)), TenantID: "t", ObjectID: "o"},
	}
}

func sparse() store.Password {
	return store.Password{
		ID: "sparse", Login: "copier-3", Label: "copier", Protocols: []string{"smtp"}, Created: kept(start),
		Evidence: store.Evidence{Method: "command-line", By: "root", At: kept(start)},
	}
}

// hashOf stands for the hash of a password.
func hashOf(id string) []byte {
	hash := make([]byte, 32)
	copy(hash, id)
	return hash
}

func add(t *testing.T, s *store.Store, passwords ...store.Password) {
	t.Helper()
	for _, p := range passwords {
		must(t, s.AddPassword(t.Context(), p, hashOf(p.ID)))
	}
}

func passwordsFound(t *testing.T, s *store.Store) {
	precise := full()
	local := time.FixedZone("local", 3600)
	precise.Created, precise.Expires = start.In(local), start.Add(time.Hour)
	precise.Evidence.At = start.Add(-time.Minute).In(local)
	add(t, s, precise, sparse())
	for _, want := range []store.Password{full(), sparse()} {
		got, err := s.Password(t.Context(), want.ID)
		must(t, err)
		equal(t, "by ID", got, want)
		got, found, err := s.PasswordByHash(t.Context(), [][]byte{hashOf(want.ID)})
		must(t, err)
		if !found {
			t.Errorf("%s is not found by hash", want.ID)
		}
		equal(t, "by hash", got, want)
	}

	_, err := s.Password(t.Context(), "absent")
	notFound(t, "an absent ID", err)
	got, found, err := s.PasswordByHash(t.Context(), [][]byte{hashOf("absent")})
	must(t, err)
	if found || got.ID != "" {
		t.Errorf("an absent hash: got %+v", got)
	}
}

func passwordsListed(t *testing.T, s *store.Store) {
	list := func(login string) string {
		all, err := s.Passwords(t.Context(), login)
		must(t, err)
		var ids []string
		for _, p := range all {
			ids = append(ids, p.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := list(""); got != "" {
		t.Errorf("an empty store has %q", got)
	}
	for _, row := range []struct {
		id, login string
		age       time.Duration
	}{{"b-new", "bob", 0}, {"b-old", "bob", 48 * time.Hour}, {"a", "alice", 24 * time.Hour}, {"c1", "carol", 0}, {"c0", "carol", 0}} {
		p := sparse()
		p.ID, p.Login, p.Created = row.id, row.login, kept(start.Add(-row.age))
		add(t, s, p)
	}
	for login, want := range map[string]string{"": "a b-old b-new c0 c1", "bob": "b-old b-new", "nobody": ""} {
		if got := list(login); got != want {
			t.Errorf("login %q: got %q, want %q", login, got, want)
		}
	}
}

func passwordsUnique(t *testing.T, s *store.Store) {
	add(t, s, full())
	if err := s.AddPassword(t.Context(), full(), hashOf("another")); err == nil {
		t.Error("an ID was there twice")
	}
	if err := s.AddPassword(t.Context(), sparse(), hashOf("full")); err == nil {
		t.Error("a hash was there twice")
	}
	got, err := s.Password(t.Context(), "full")
	must(t, err)
	equal(t, "the first one", got, full())
}

func passwordByAnyHash(t *testing.T, s *store.Store) {
	add(t, s, full(), sparse())
	for name, hashes := range map[string][][]byte{
		"first": {hashOf("full"), hashOf("absent")},
		"last":  {hashOf("absent"), hashOf("full")},
	} {
		if got, found, err := s.PasswordByHash(t.Context(), hashes); err != nil || !found || got.ID != "full" {
			t.Errorf("%s: got %q, %v, %v", name, got.ID, found, err)
		}
	}
	for name, hashes := range map[string][][]byte{"no hashes": nil, "an empty hash": {{}}, "a part": {hashOf("full")[:31]}} {
		if got, found, err := s.PasswordByHash(t.Context(), hashes); err != nil || found {
			t.Errorf("%s: got %q, %v, %v; want nothing", name, got.ID, found, err)
		}
	}
}

func passwordRevoked(t *testing.T, s *store.Store) {
	add(t, s, full(), sparse())
	must(t, s.RevokePassword(t.Context(), "full", start.Add(time.Minute)))
	must(t, s.RevokePassword(t.Context(), "full", start.Add(time.Hour)))
	want := full()
	want.Revoked = kept(start.Add(time.Minute))
	got, found, err := s.PasswordByHash(t.Context(), [][]byte{hashOf("full")})
	must(t, err)
	if !found {
		t.Fatal("it is gone")
	}
	equal(t, "revoked twice", got, want)
	got, err = s.Password(t.Context(), "sparse")
	must(t, err)
	equal(t, "the other one", got, sparse())
	notFound(t, "revoking an absent one", s.RevokePassword(t.Context(), "absent", start))
}

func usesStamped(t *testing.T, s *store.Store) {
	add(t, s, full(), sparse())
	from := netip.MustParseAddr("10.0.8.9")
	newer := store.Use{ID: "full", At: kept(start.Add(2 * time.Second)), From: from, Protocol: "imap", Client: "newer"}
	older := store.Use{ID: "full", At: kept(start.Add(time.Second)), From: netip.MustParseAddr("fe80::1%eth0"), Protocol: "smtp", Client: "older"}
	bare := store.Use{ID: "sparse", At: kept(start)}
	must(t, s.StampUses(t.Context(), nil))
	must(t, s.StampUses(t.Context(), []store.Use{older, newer, bare, {ID: "absent", At: start, From: from}}))
	must(t, s.StampUses(t.Context(), []store.Use{older}))
	for _, want := range []store.Use{newer, bare} {
		got, err := s.Password(t.Context(), want.ID)
		must(t, err)
		equal(t, "last use of "+want.ID, got.LastUse, want)
	}
	must(t, s.StampUses(t.Context(), []store.Use{{ID: "sparse", At: start.Add(time.Hour), From: older.From}}))
	got, err := s.Password(t.Context(), "sparse")
	must(t, err)
	equal(t, "address with a zone", got.LastUse.From, older.From)
}

func strangeText(t *testing.T, s *store.Store) {
	strange := sparse()
	strange.Login, strange.Label = "o'brien\"; DROP TABLE app_passwords; --", "ü🖨 %s ?"
	add(t, s, strange)
	all, err := s.Passwords(t.Context(), strange.Login)
	must(t, err)
	equal(t, "quotes", all, []store.Password{strange})

	must(t, s.StampUses(t.Context(), []store.Use{{ID: "sparse", At: start, Client: "a\x00b\xffc"}}))
	got, err := s.Password(t.Context(), "sparse")
	must(t, err)
	equal(t, "NUL and no UTF-8", got.LastUse.Client, "ab\uFFFDc")
}
