package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/internal/audit"
	"postern/internal/backup"
	"postern/internal/config"
	"postern/internal/store"
)

// The names of the files in a backup.
const (
	backupStore  = "postern.db"
	backupConfig = "postern.yaml"
)

// Backup writes a backup to a new file: the store as it is at one moment, with the queue and its messages, and the
// configuration, which must be the file at configPath. The keys file is not in it, and neither is the audit log. Whoever
// uses the gateway meanwhile notices nothing.
func (a *Admin) Backup(ctx context.Context, path, configPath, version string) (backup.Manifest, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return backup.Manifest{}, fmt.Errorf("there is something at %s: a backup overwrites nothing", path)
	}
	if err := a.state.Audit.Record(audit.BackupMade{File: filepath.Base(path), By: a.by}); err != nil {
		return backup.Manifest{}, err
	}
	m := backup.Manifest{Made: time.Now().UTC(), Version: version, Ring: a.state.Keys.ID(), Store: a.config.Store, Config: a.config.Digest}
	var err error
	if m.Audit, err = lastLine(ctx, a.config.AuditFile); err != nil {
		return m, err
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0700
	if err != nil {
		return m, err
	}
	copied := filepath.Join(folder, backupStore)
	err = a.state.Store.Snapshot(ctx, copied)
	if err == nil {
		m.Queue, err = a.queued(ctx)
	}
	if err == nil {
		m, err = backup.Write(ctx, path, m, []backup.Source{{Name: backupStore, Path: copied}, {Name: backupConfig, Path: configPath}})
	}
	return m, errors.Join(err, os.RemoveAll(folder))
}

// queued counts the messages in the queue.
func (a *Admin) queued(ctx context.Context) (n int, err error) {
	counts, err := a.state.Store.QueueCounts(ctx)
	for _, c := range counts {
		n += c.Messages
	}
	return n, err
}

// lastLine gives the last line of the audit log.
func lastLine(ctx context.Context, path string) (head backup.Head, err error) {
	_, err = audit.Search(ctx, path, audit.Query{Limit: 1}, func(e audit.Entry) bool {
		sum := sha256.Sum256(e.Line)
		head = backup.Head{Seq: e.Seq, Hash: hex.EncodeToString(sum[:])}
		return false
	})
	return head, err
}

// VerifyBackup reads a backup and holds all of it against its manifest.
func VerifyBackup(ctx context.Context, path string) (backup.Manifest, error) {
	return backup.Verify(ctx, path)
}

// Restored says what a restore has done.
type Restored struct {
	backup.Manifest
	Folder  string `json:"folder"`
	Held    int    `json:"held"`     // messages of the queue, until somebody lets them go
	Sent    int    `json:"sent"`     // of these, known to be delivered, bounced or dropped since the backup
	Revoked int    `json:"revoked"`  // app passwords that were revoked since the backup, and are so again
	Log     bool   `json:"from_log"` // the audit log was at hand
}

// Restore puts a backup into a folder that is empty or not there yet. What is in the queue is held: it may have been sent
// since the backup was made. With the audit log of the time since, what was taken away is taken away again: app passwords,
// second factors, and the right of logins to sign in. It takes no keys; the gateway that starts on it does.
func Restore(ctx context.Context, path, folder, auditLog string) (Restored, error) {
	r := Restored{Folder: folder, Log: auditLog != ""}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return r, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return r, err
	}
	if len(entries) > 0 {
		return r, fmt.Errorf("%s is not empty: there is %s; name a new folder", folder, entries[0].Name())
	}
	partial := filepath.Join(folder, "partial")
	if err := os.Mkdir(partial, 0o700); err != nil {
		return r, err
	}
	if r.Manifest, err = backup.Extract(ctx, path, partial); err != nil {
		return r, errors.Join(err, os.RemoveAll(partial))
	}
	var since store.Since
	if auditLog != "" {
		if since, err = happenedSince(ctx, auditLog, r.Made); err != nil {
			return r, errors.Join(err, os.RemoveAll(partial))
		}
	}
	mark, err := store.MarkRestored(ctx, "sqlite:"+filepath.Join(partial, backupStore), r.Made, since)
	if err != nil {
		return r, errors.Join(err, os.RemoveAll(partial))
	}
	r.Held, r.Sent, r.Revoked = mark.Held, mark.Sent, mark.Revoked
	for _, f := range r.Files {
		err = errors.Join(err, os.Rename(filepath.Join(partial, f.Name), filepath.Join(folder, f.Name)))
	}
	return r, errors.Join(err, os.Remove(partial))
}

// MarkRestored makes a copy of the store of a configuration that was put back by other means, such as pg_restore: see
// [Restore]. made is when that copy was made.
func MarkRestored(ctx context.Context, c *config.Config, made time.Time, auditLog string) (Restored, error) {
	r := Restored{Manifest: backup.Manifest{Made: made, Store: c.Store}, Log: auditLog != ""}
	password, err := c.StorePassword()
	if err != nil {
		return r, fmt.Errorf("the store's password: %w", err)
	}
	var since store.Since
	if auditLog != "" {
		if since, err = happenedSince(ctx, auditLog, made); err != nil {
			return r, err
		}
	}
	mark, err := store.MarkRestored(ctx, c.Store, made, since, store.WithPassword(password))
	r.Held, r.Sent, r.Revoked = mark.Held, mark.Sent, mark.Revoked
	return r, err
}

// past is an event of the audit log as far as a restore wants to know it.
type past struct {
	Password string `json:"password_id"`
	Login    string `json:"login"`
	Policy   string `json:"policy"`
	Scope    string `json:"scope"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
	Factor   string `json:"factor_id"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Queue    string `json:"queue_id"`
}

// pastKinds are the events that a restore wants to know.
var pastKinds = []string{"password-revoked", "login-locked", "login-unlocked", "lockdown-begun", "lockdown-lifted", "factor-removed", "factors-reset",
	"message-delivered", "message-bounced", "message-dropped"}

// happenedSince reads from an audit log what a copy of the store from a time has to be told. It looks back a minute further:
// an event is recorded before it is carried out.
func happenedSince(ctx context.Context, path string, made time.Time) (since store.Since, err error) {
	var entries []audit.Entry
	_, err = audit.Search(ctx, path, audit.Query{Since: made.Add(-time.Minute), Kinds: pastKinds}, func(e audit.Entry) bool {
		entries = append(entries, e)
		return true
	})
	if err != nil {
		return since, err
	}
	locks, lockdowns := make(map[string]store.Lock), make(map[store.Scope]store.Lockdown)
	for _, e := range slices.Backward(entries) { // the newest came first
		var p past
		if err := e.Decode(&p); err != nil {
			return since, fmt.Errorf("line %d of the audit log: %w", e.Seq, err)
		}
		scope := store.Scope{Kind: store.ScopeKind(p.Scope), Name: p.Login + p.Policy}
		switch e.Kind {
		case "password-revoked":
			since.Revoked = append(since.Revoked, store.Revocation{ID: p.Password, At: e.Time})
		case "login-locked":
			locks[p.Login] = store.Lock{Login: p.Login, Since: e.Time, By: p.By, Reason: p.Reason}
		case "login-unlocked":
			delete(locks, p.Login)
			since.Unlocked = append(since.Unlocked, p.Login)
		case "lockdown-begun":
			lockdowns[scope] = store.Lockdown{Scope: scope, Since: e.Time, By: p.By, Reason: p.Reason}
		case "lockdown-lifted":
			delete(lockdowns, scope)
			since.Lifted = append(since.Lifted, scope)
		case "factor-removed":
			since.Factors = append(since.Factors, p.Factor)
		case "factors-reset":
			since.Resets = append(since.Resets, [2]string{p.TenantID, p.ObjectID})
		default:
			since.Sent = append(since.Sent, p.Queue)
		}
	}
	for _, l := range locks {
		since.Locks = append(since.Locks, l)
	}
	for _, l := range lockdowns {
		since.Lockdowns = append(since.Lockdowns, l)
	}
	return since, nil
}

// ReleaseRestored lets all messages go that are held since the store was restored, but for those that are known to have been
// sent since: n went, and left did not.
func (a *Admin) ReleaseRestored(ctx context.Context) (n, left int, err error) {
	perhaps, left, err := a.state.Store.RestoredMessages(ctx)
	if err != nil {
		return 0, left, err
	}
	if err := a.state.Audit.Record(audit.RestoredReleased{Messages: perhaps, By: a.by}); err != nil {
		return 0, left, err
	}
	n, err = a.state.Store.ReleaseRestored(ctx, "released by "+a.by, a.state.Store.Now())
	return n, left, err
}

// restoredNote says that messages are held since the store was restored; empty when none are.
func restoredNote(ctx context.Context, s *store.Store) string {
	mark, is, err := s.Restored(ctx)
	if err != nil || !is {
		return ""
	}
	perhaps, sent, err := s.RestoredMessages(ctx)
	if err != nil || perhaps+sent == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("from a backup of %s; %d messages are held until postern queue release --restored",
		mark.Made.Format(time.RFC3339), perhaps+sent))
}
