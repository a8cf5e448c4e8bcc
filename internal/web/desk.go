package web

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/session"
)

// Desk looks after the things of one person. Every method is about the logins of that person and about nothing else: what
// is another's is for it as if it were not there ([ErrNotThere]). What changes something is in the audit log before it is
// done; by says there who asked. It is safe for concurrent use.
type Desk interface {
	// Logins gives the person's logins.
	Logins(ctx context.Context, who Person) ([]Login, error)
	// Passwords gives the app passwords of all of them, also those that are over, the newest first.
	Passwords(ctx context.Context, who Person) ([]apppassword.Record, error)
	// Issue makes an app password on evidence that was just given. [ErrTooMany] is for who has too many already; any other
	// error that the policy gives has been met before, by [Login.check].
	Issue(ctx context.Context, who Person, wanted NewPassword, evidence Evidence, by string) (apppassword.Record, secret.Text, error)
	// Renew puts new evidence behind an app password.
	Renew(ctx context.Context, who Person, id string, evidence Evidence, by string) error
	// Revoke revokes an app password, and gives how many live sessions end with it.
	Revoke(ctx context.Context, who Person, id, by string) (cut int, err error)
	// Sessions gives the live sessions, the oldest first.
	Sessions(ctx context.Context, who Person) ([]session.Info, error)
	// Cut ends a live session.
	Cut(ctx context.Context, who Person, id, by string) error
	// Activity gives what the end of the audit log has of these kinds about the person and their logins, the newest first.
	// It is quick, however long the log is: it looks at so much and at so many days of it.
	Activity(ctx context.Context, who Person, kinds []string) ([]audit.Entry, audit.Found, error)
	// Doors gives the ways in for mail clients.
	Doors() []Door
}

var (
	// ErrNotThere is something that there is not, or not for this person.
	ErrNotThere = errors.New("there is no such thing of this person's")
	// ErrTooMany is one app password more than a login may have.
	ErrTooMany = errors.New("the login has as many app passwords as it may have")
)

// Login is a login of a person with what is known of it.
type Login struct {
	auth.Mapping
	NeedsSignIn bool // the provider wants the person to sign in again
	Refused     bool // the provider refuses the account, for a reason that no sign-in mends
	Locked      bool // an administrator has locked it
}

// NewPassword is an app password that somebody wants.
type NewPassword struct {
	Login     string // canonical
	Label     string
	Protocols []string
	Networks  []netip.Prefix // none means everywhere that the policy allows
	ReadOnly  bool
	LegacyTLS bool      // accepted below TLS 1.2 too
	Expires   time.Time // the zero time means as late as the policy allows
	Short     bool
}

// Door is a way in for mail clients.
type Door struct {
	Protocol  string // imap or smtp
	TLS       config.TLSMode
	Host      string // the name that clients use
	Address   string // the one address that it listens on, where it is one that clients can use; else empty
	Port      string
	LegacyTLS bool
	Networks  []netip.Prefix // who may connect; none means everybody
}
