package storetest

import (
	"testing"
	"time"

	"postern/internal/store"
)

func certificateItems(t *testing.T, s *store.Store) {
	root := store.CertificateItem{Name: "private-ca/root", Modified: kept(start), Content: []byte("root and key")}
	leaf := store.CertificateItem{Name: "private-ca/leaf/rsa", Modified: kept(start.Add(time.Hour)), Content: []byte("leaf")}
	near := store.CertificateItem{Name: "private-ca2", Modified: kept(start), Content: []byte("another")}
	for _, item := range []store.CertificateItem{root, leaf, near} {
		must(t, s.SaveCertificateItem(t.Context(), item))
	}
	root.Content = []byte("another root")
	must(t, s.SaveCertificateItem(t.Context(), root))
	got, err := s.CertificateItem(t.Context(), root.Name)
	must(t, err)
	equal(t, "the root", got, root)
	_, err = s.CertificateItem(t.Context(), "private-ca")
	notFound(t, "a folder", err)

	names := func(name string) (names []string) {
		t.Helper()
		items, err := s.CertificateItems(t.Context(), name)
		must(t, err)
		for _, item := range items {
			if item.Content != nil {
				t.Errorf("%s comes with its content", item.Name)
			}
			names = append(names, item.Name)
		}
		return names
	}
	equal(t, "below", names("private-ca"), []string{leaf.Name, root.Name})
	equal(t, "itself", names(near.Name), []string{near.Name})
	must(t, s.DeleteCertificateItems(t.Context(), "private-ca"))
	must(t, s.DeleteCertificateItems(t.Context(), "private-ca"))
	equal(t, "after all below was removed", names("private-ca"), nil)
	equal(t, "what is near", names(near.Name), []string{near.Name})
}

func certificateLeases(t *testing.T, s *store.Store) {
	take := func(holder string, now time.Time, want bool) {
		t.Helper()
		if got, err := s.TakeCertificateLease(t.Context(), "mail.example", holder, now, time.Minute); err != nil || got != want {
			t.Errorf("%s at %v: got %v, %v; want %v", holder, now, got, err, want)
		}
	}
	take("a", start, true)
	take("b", start.Add(59*time.Second), false)
	take("a", start.Add(59*time.Second), true)
	take("b", start.Add(61*time.Second), false)
	take("b", start.Add(3*time.Minute), true)
	must(t, s.ReleaseCertificateLease(t.Context(), "mail.example", "a")) // has it no more
	take("a", start.Add(3*time.Minute), false)
	must(t, s.ReleaseCertificateLease(t.Context(), "mail.example", "b"))
	take("a", start.Add(3*time.Minute), true)
	take("b", start.Add(-time.Hour), true) // a lease of a clock that was wrong
}
