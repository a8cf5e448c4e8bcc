package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"postern/internal/audit"
	"postern/internal/store"
)

// Lock says since when a login may not sign in, and why.
type Lock struct {
	Login  string // canonical
	Since  time.Time
	By     string
	Reason string // may be empty
}

// maxLockReason bounds the reason of a lock in bytes.
const maxLockReason = 200

// Lock locks a login: it is refused from the next sign-in on, and a running gateway ends its sessions. Of one that is
// locked already the lock stays as it is, and isNew is false.
func (a *Admin) Lock(ctx context.Context, login, reason string) (l Lock, isNew bool, err error) {
	mapping, err := a.mapping(login)
	if err != nil {
		return Lock{}, false, err
	}
	if err := checkReason(reason); err != nil {
		return Lock{}, false, err
	}
	known, err := a.lock(ctx, mapping.Login)
	if err != nil {
		return Lock{}, false, err
	}
	if known != nil {
		return *known, false, nil
	}
	if err := a.state.Audit.Record(audit.LoginLocked{Login: mapping.Login, Reason: reason, By: a.by}); err != nil {
		return Lock{}, false, err
	}
	row := store.Lock{Login: mapping.Login, Since: time.Now(), By: a.by, Reason: reason}
	return lockOf(row), true, a.state.Store.LockLogin(ctx, row)
}

// checkReason gives an error for what cannot be the reason of a lock or a lockdown.
func checkReason(reason string) error {
	if len(reason) > maxLockReason || strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("the reason of a lock is one line of at most %d bytes", maxLockReason)
	}
	return nil
}

// Unlock takes the lock from a login, also from one that the configuration does not know any more. It gives the login in
// its canonical form, also for an alias.
func (a *Admin) Unlock(ctx context.Context, login string) (string, error) {
	login = a.name(login)
	switch known, err := a.lock(ctx, login); {
	case err != nil:
		return login, err
	case known == nil:
		return login, fmt.Errorf("%s is not locked", login)
	}
	if err := a.state.Audit.Record(audit.LoginUnlocked{Login: login, By: a.by}); err != nil {
		return login, err
	}
	return login, a.state.Store.UnlockLogin(ctx, login)
}

// lock gives the lock of a login; nil when it has none.
func (a *Admin) lock(ctx context.Context, login string) (*Lock, error) {
	row, err := a.state.Store.Lock(ctx, login)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := lockOf(row)
	return &l, nil
}

func lockOf(row store.Lock) Lock {
	return Lock{Login: row.Login, Since: row.Since, By: row.By, Reason: row.Reason}
}
