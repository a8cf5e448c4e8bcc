package web

import (
	"context"
	"errors"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/secret"
	"postern/internal/session"
)

// Office looks after the logins of everybody, for those whose role allows it: the pages have asked about that before they
// ask here. What changes something is in the audit log before it is done; by says there who asked. [ErrNotThere] is for a
// login, password or session that there is not. It is safe for concurrent use.
//
// No method gives or takes a secret of a person's: app passwords are issued for device logins alone ([ErrNotDevice]).
type Office interface {
	// Logins gives the logins of the configuration, and those of its match rules of which something is known.
	Logins(ctx context.Context) ([]Overview, error)
	// Login gives one login by any of its names.
	Login(ctx context.Context, name string) (Overview, error)
	// Passwords gives the app passwords of a login, also those that are over, the newest first.
	Passwords(ctx context.Context, login string) ([]apppassword.Record, error)

	// Issue makes an app password for a device login, on evidence that who has just given.
	Issue(ctx context.Context, who Person, wanted NewPassword, evidence Evidence, by string) (apppassword.Record, secret.Text, error)
	// Renew puts new evidence behind an app password of a device login.
	Renew(ctx context.Context, who Person, id string, evidence Evidence, by string) error
	// Revoke revokes anybody's app password. It gives the password, and how many live sessions end with it.
	Revoke(ctx context.Context, id, by string) (apppassword.Record, int, error)

	// Lock locks a login, and gives how many live sessions end with that. Of one that is locked the lock stays as it is.
	Lock(ctx context.Context, login, reason, by string) (cut int, err error)
	// Unlock takes the lock from a login.
	Unlock(ctx context.Context, login, by string) error

	// Lockdowns gives the lockdowns that are on, the oldest first.
	Lockdowns(ctx context.Context) ([]Lockdown, error)

	// Sessions gives all live sessions, the oldest first.
	Sessions() []session.Info
	// CutSession ends one live session, and CutLogin all of a login; the latter gives their number.
	CutSession(ctx context.Context, id, by string) error
	CutLogin(ctx context.Context, login, by string) (int, error)

	// Factors gives the second factors of the person behind a login; none where there is no such person.
	Factors(ctx context.Context, login string) ([]factor.Factor, error)
	// ResetFactors removes them, and gives their number.
	ResetFactors(ctx context.Context, login, by string) (int, error)

	// Forecast says what will stop before a time, and what has stopped already and can be mended.
	Forecast(ctx context.Context, until time.Time) ([]Stop, error)
	// Events searches the audit log.
	Events(ctx context.Context, wanted audit.Query) ([]audit.Entry, audit.Found, error)
	// RecordExport notes in the audit log that events are about to be handed out.
	RecordExport(count int, filter, by string) error
}

// ErrNotDevice is an app password that only its owner may have: the login's mailbox is opened by a person's own token.
var ErrNotDevice = errors.New("the login is a person's: only they can have an app password for it")

// Overview is a login with all that is known of it.
type Overview struct {
	Login
	NotEnrolled bool      // its person has never signed in
	Reason      string    // why they have to sign in again
	Since       time.Time // of that state; the zero time where nobody has to sign in
	Lock        Lock      // the zero Lock when it is not locked
	Passwords   int       // app passwords in force
	Suspended   int       // of these, how many are refused for want of evidence
	LastUse     apppassword.Use
}

// Device reports whether the login is a device's: opened by the gateway's own application, and nobody's in particular.
func (s Overview) Device() bool { return isDevice(s.Mapping) }

// Lock says since when a login may not sign in, and why.
type Lock struct {
	Since      time.Time
	By, Reason string
}

// Lockdown says that nobody within a scope may sign in or send, and since when.
type Lockdown struct {
	Scope string // all, or such as login copier-3
	Lift  string // the command that ends it
	Since time.Time
	By    string
}

// Stop is something that will not work any more from some time on, or does not work now.
type Stop struct {
	Kind    string // such as password-expiry
	Subject string // what stops
	At      time.Time
	Why     string
	Remedy  string // what keeps it going
}

// Stopped reports whether it does not work now.
func (s Stop) Stopped(now time.Time) bool { return !s.At.IsZero() && !s.At.After(now) }

// isDevice reports whether a mapping is for the gateway's own application.
func isDevice(m auth.Mapping) bool { return m.Account.Name == "" }
