package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/keys"
	"postern/internal/preflight"
	"postern/internal/store"
)

// CheckOptions say what [Check] is to try.
type CheckOptions struct {
	Logins    []string // only these; nothing means all that the configuration names, and those that have enrolled
	Providers []string // only these, and their logins; nothing means all
	Offline   bool     // connect to nothing
	SendTo    string   // an address to which each login sends a message; empty for none
	Log       *slog.Logger
}

// Check tries everything between here and the mailboxes of a configuration, before the first start and beside a running gateway,
// and tells of each step. It makes no state where there is none yet. Tokens that a person's sign-in is kept for are had as a
// gateway has them, under the account's lease; the application's are asked for anew, which costs nobody anything.
func Check(ctx context.Context, c *config.Config, o CheckOptions, told func([]preflight.Line)) error {
	up, err := newUpstreams(c.Providers, nil)
	if err != nil {
		return err
	}
	state, lines := openForCheck(ctx, c)
	defer state.Close()
	plan := preflight.Plan{Config: c, Offline: o.Offline, SendTo: o.SendTo, Now: time.Now}
	for _, name := range slices.Sorted(maps.Keys(c.Providers)) {
		if len(o.Providers) == 0 || slices.Contains(o.Providers, name) {
			plan.Providers = append(plan.Providers, preflight.Provider{Name: name, Settings: c.Providers[name], IMAP: up[name].imap, SMTP: up[name].smtp})
		}
	}
	if len(plan.Providers) < len(o.Providers) {
		return fmt.Errorf("of the providers %s not all are in the configuration; it has %s", strings.Join(o.Providers, ", "),
			strings.Join(slices.Sorted(maps.Keys(c.Providers)), ", "))
	}
	if plan.Logins, err = state.toCheck(ctx, c, o); err != nil {
		return err
	}
	_, err = Reach(c.AdminSocket).Sessions(ctx)
	plan.Running = err == nil
	source := token.NewSource(token.Config{Providers: up.tokens(), Store: state, Audit: state, Log: o.Log})
	defer source.Close()
	plan.Tokens = source
	told(lines)
	preflight.Run(ctx, plan, told)
	return ctx.Err()
}

// stateForCheck is the state as far as it could be opened. It serves the source of tokens, with the store where there is one and
// with nothing where there is none.
type stateForCheck struct {
	token.Store
	store *store.Store // nil where there is none
	audit *audit.Log   // likewise
}

// Record writes the audit log, where there is one: before the first start nobody's state is decided about.
func (s *stateForCheck) Record(event audit.Event) error {
	if s.audit == nil {
		return nil
	}
	return s.audit.Record(event)
}

// Cache gives what is kept of a person. The application's tokens are asked for anew: whether they are to be had is the question.
func (s *stateForCheck) Cache(ctx context.Context, key token.CacheKey) ([]byte, error) {
	if key.Kind == token.KindApplication {
		return nil, nil
	}
	return s.Store.Cache(ctx, key)
}

// Close closes what was opened.
func (s *stateForCheck) Close() error {
	var errs []error
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	return errors.Join(errs...)
}

// toCheck gives the logins to be tried.
func (s *stateForCheck) toCheck(ctx context.Context, c *config.Config, o CheckOptions) ([]auth.Mapping, error) {
	directory := auth.NewDirectory(c)
	var all []auth.Mapping
	add := func(m auth.Mapping) {
		wanted := len(o.Providers) == 0 || slices.Contains(o.Providers, m.Account.Provider)
		if wanted && !slices.ContainsFunc(all, func(other auth.Mapping) bool { return other.Login == m.Login }) {
			all = append(all, m)
		}
	}
	for _, login := range o.Logins {
		m, err := mappingOf(directory, login)
		if err != nil {
			return nil, err
		}
		add(m)
	}
	if len(o.Logins) > 0 {
		return all, nil
	}
	for _, m := range directory.Logins() {
		add(m)
	}
	if s.store == nil {
		return all, nil
	}
	accounts, err := s.store.Accounts(ctx)
	for _, row := range accounts {
		if m, known := directory.Lookup(row.Name); known && m.Account == accountOf(row) {
			add(m)
		}
	}
	return all, err
}

// openForCheck opens what there is of the state, makes nothing, and says of each part how it is.
func openForCheck(ctx context.Context, c *config.Config) (*stateForCheck, []preflight.Line) {
	s := &stateForCheck{Store: nothingKept{}}
	var lines []preflight.Line
	add := func(check string, verdict preflight.Verdict, fix, format string, arguments ...any) {
		lines = append(lines, preflight.Line{Subject: preflight.Machine, Check: check, Verdict: verdict, Seen: fmt.Sprintf(format, arguments...), Fix: fix})
	}
	const asGateway = "run this as the user that the gateway runs as, or correct the path in the configuration"
	ring, err := keys.Open(c.KeysFile)
	password, unread := c.StorePassword()
	exists, unknown := store.Exists(ctx, c.Store, store.WithPassword(password))
	unknown = errors.Join(unread, unknown)
	switch {
	case err == nil:
		add("keys", preflight.OK, "", "%s opens", c.KeysFile)
	case errors.Is(err, fs.ErrNotExist) && unknown == nil && !exists:
		add("keys", preflight.OK, "", "%s will be made on the first start", c.KeysFile)
	case errors.Is(err, fs.ErrNotExist):
		add("keys", preflight.Failed, "bring the file back from a copy; without it the store has to be moved away and everybody enrolled anew",
			"%s is missing, and the store is sealed with it", c.KeysFile)
	default:
		add("keys", preflight.Failed, asGateway, "%v", err)
	}
	switch {
	case unknown != nil:
		add("store", preflight.Failed, "correct store and store_password_file in the configuration, or start the database", "%v", unknown)
	case !exists:
		add("store", preflight.OK, "", "will be made on the first start")
	case ring == nil:
		add("store", preflight.Skipped, "", "it does not open without its keys")
	default:
		if s.store, err = store.Open(ctx, c.Store, ring, store.WithPassword(password)); err != nil {
			add("store", preflight.Failed, asGateway, "%v", err)
			break
		}
		s.Store = tokenStore{s.store}
		add("store", preflight.OK, "", "opens, and its schema is this version's")
	}
	if _, err := os.Stat(c.AuditFile); errors.Is(err, fs.ErrNotExist) {
		add("audit log", preflight.OK, "", "%s will be made on the first start", c.AuditFile)
	} else if s.audit, err = audit.Open(c.AuditFile, nil); err != nil {
		s.audit = nil
		add("audit log", preflight.Failed, asGateway+"; without its audit log the gateway serves nobody", "%v", err)
	} else {
		if ring != nil && ring.Signs() {
			s.audit.Sign(ring)
		}
		add("audit log", preflight.OK, "", "%s can be written", c.AuditFile)
	}
	return s, lines
}

// nothingKept is a store of tokens before there is a store.
type nothingKept struct{}

func (nothingKept) Enrolment(_ context.Context, account token.Account) (token.Enrolment, error) {
	return token.Enrolment{}, fmt.Errorf("%s: %w", account, token.ErrNotEnrolled)
}

func (nothingKept) SaveEnrolment(context.Context, token.Account, token.Enrolment, token.CacheKey, []byte) error {
	return errors.New("there is no store yet")
}

func (nothingKept) SetStanding(context.Context, token.Account, token.Enrolment) error { return nil }

func (nothingKept) Idle(context.Context, time.Time, time.Time, int) ([]token.Account, error) {
	return nil, nil
}

func (nothingKept) Used(context.Context, token.Account, token.Identity) (time.Time, error) {
	return time.Time{}, nil
}

func (nothingKept) Cache(context.Context, token.CacheKey) ([]byte, error)   { return nil, nil }
func (nothingKept) SaveCache(context.Context, token.CacheKey, []byte) error { return nil }

func (nothingKept) TakeLease(context.Context, token.CacheKey, string, time.Time, time.Duration) (bool, error) {
	return true, nil
}

func (nothingKept) ReleaseLease(context.Context, token.CacheKey, string) error { return nil }
