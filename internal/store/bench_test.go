package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/internal/postgrestest"
)

// The sign-in path has 60 µs for policy, store and audit together, however many passwords there are; a read may take 40.

func BenchmarkPasswordByHash(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("passwords=%d", n), func(b *testing.B) {
			s := openAt(b, database(b), newRing(b))
			fill(b, s, n)
			found, absent := sha256.Sum256([]byte("7")), sha256.Sum256([]byte("absent"))
			for name, hash := range map[string][32]byte{"found": found, "absent": absent} {
				b.Run(name, func(b *testing.B) {
					ctx, cancel := context.WithCancel(b.Context())
					defer cancel()
					for b.Loop() {
						if _, ok, err := s.PasswordByHash(ctx, [][]byte{hash[:]}); err != nil || ok != (hash == found) {
							b.Fatal(ok, err)
						}
					}
				})
			}
		})
	}
}

// fill adds n passwords in one transaction.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	err := s.inTransaction(b.Context(), func(tx *sql.Tx) error {
		for i := range n {
			hash := sha256.Sum256(fmt.Append(nil, i))
			_, err := tx.ExecContext(b.Context(), `INSERT INTO app_passwords
				(id, login, label, protocols, networks, legacy_tls, read_only, created, expires, revoked, hash, evidence, used_at, used_from, used_client) VALUES
				(?, ?, 'copier on floor 3', '["smtp"]', '["10.0.8.0/24"]', 0, 0, 1795510800000, NULL, NULL, ?,
				'{"method":"command-line","by":"root","at":"2026-11-24T09:00:00Z"}', 1795510800000, '10.0.8.9', 'copier')`,
				fmt.Sprint("id", i), fmt.Sprint("copier-", i), hash[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSignInReads is what a sign-in asks the store, on both engines: the app password, the locks and the account.
func BenchmarkSignInReads(b *testing.B) {
	for engine, dsn := range map[string]func(testing.TB) string{
		"sqlite": func(b testing.TB) string { return "sqlite:" + database(b) }, "postgres": postgrestest.DSN,
	} {
		b.Run(engine, func(b *testing.B) {
			s, err := Open(b.Context(), dsn(b), newRing(b))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			fill(b, s, 1000)
			account := Account{Provider: "contoso", Name: "alice", Standing: Standing{State: OK, Since: time.Now()}}
			if err := s.SaveEnrolment(b.Context(), account, TokenCacheKey{}, nil); err != nil {
				b.Fatal(err)
			}
			hash := sha256.Sum256([]byte("7"))
			for b.Loop() {
				_, found, byHash := s.PasswordByHash(b.Context(), [][]byte{hash[:]})
				_, _, locked := s.Locked(b.Context(), "copier-7", "device")
				_, enrolled := s.Account(b.Context(), "contoso", "alice")
				if err := errors.Join(byHash, locked, enrolled); err != nil || !found {
					b.Fatal(found, err)
				}
			}
		})
	}
}

func BenchmarkLoadTokenCache(b *testing.B) {
	s := openAt(b, database(b), newRing(b))
	key := TokenCacheKey{Provider: "contoso", TenantID: "tid", Owner: "oid", Kind: "msal-public"}
	if err := s.SaveTokenCache(b.Context(), key, make([]byte, 8<<10)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.LoadTokenCache(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccount(b *testing.B) {
	s := openAt(b, database(b), newRing(b))
	if err := s.SaveEnrolment(b.Context(), Account{Provider: "contoso", Name: "alice", Standing: Standing{State: OK, Since: time.Now()}}, TokenCacheKey{}, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Account(b.Context(), "contoso", "alice"); err != nil {
			b.Fatal(err)
		}
	}
}

// One stamp is a commit, and so one sync of the disk.
func BenchmarkStampUses(b *testing.B) {
	s := openAt(b, database(b), newRing(b))
	fill(b, s, 1000)
	uses := make([]Use, 100)
	for i := range uses {
		uses[i] = Use{ID: fmt.Sprint("id", i), At: time.Now()}
	}
	for b.Loop() {
		if err := s.StampUses(b.Context(), uses); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLocked(b *testing.B) {
	s := openAt(b, database(b), newRing(b))
	for i := range 1000 {
		if err := s.LockLogin(b.Context(), Lock{Login: fmt.Sprint("copier-", i), Since: time.Now()}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if locked, _, err := s.Locked(b.Context(), "copier-1000", "device"); err != nil || locked {
			b.Fatal(locked, err)
		}
	}
}

// What the watch of a running gateway costs, twice a second, when nothing has happened.
func BenchmarkWithdrawals(b *testing.B) {
	s := openAt(b, database(b), newRing(b))
	if err := s.LockLogin(b.Context(), Lock{Login: "alice", Since: time.Now()}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if news, err := s.Withdrawals(b.Context(), 1); err != nil || len(news) != 0 {
			b.Fatal(news, err)
		}
	}
}
