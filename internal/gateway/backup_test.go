package gateway

import (
	"path/filepath"
	"testing"
	"time"

	"postern/internal/audit"
)

// TestI46WhatHappenedSinceIsReadFromAllFiles: the audit log that a restore is given may have gone on in other files since the
// backup, and what counts is the last word on each.
func TestI46WhatHappenedSinceIsReadFromAllFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	log, err := audit.Open(path, func() time.Time { now = now.Add(time.Minute); return now })
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	record := func(events ...audit.Event) {
		t.Helper()
		for _, e := range events {
			if err := log.Record(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	record(audit.PasswordRevoked{ID: "before"}, audit.LoginLocked{Login: "copier-1"})
	made := now.Add(5 * time.Minute)
	now = made
	record(audit.PasswordRevoked{ID: "p1"}, audit.LoginLocked{Login: "copier-2"}, audit.LoginLocked{Login: "copier-3"})
	record(audit.LoginUnlocked{Login: "copier-2"}, audit.MessageDelivered{ID: "m1"})
	record(audit.LockdownBegun{Scope: "all"}, audit.MessageDropped{ID: "m2"})
	since, err := happenedSince(t.Context(), path, made)
	if err != nil {
		t.Fatal(err)
	}
	if len(since.Revoked) != 1 || since.Revoked[0].ID != "p1" {
		t.Errorf("revoked: %+v, want p1", since.Revoked)
	}
	if len(since.Locks) != 1 || since.Locks[0].Login != "copier-3" || len(since.Unlocked) != 1 || since.Unlocked[0] != "copier-2" {
		t.Errorf("locks: %+v, and unlocked %q; want copier-3, and copier-2", since.Locks, since.Unlocked)
	}
	if len(since.Lockdowns) != 1 || string(since.Lockdowns[0].Kind) != "all" {
		t.Errorf("lockdowns: %+v, want one of all", since.Lockdowns)
	}
	if len(since.Sent) != 2 || since.Sent[0] != "m1" || since.Sent[1] != "m2" {
		t.Errorf("sent: %q, want m1 and m2", since.Sent)
	}
}
