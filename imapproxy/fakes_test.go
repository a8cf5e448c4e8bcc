package imapproxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
)

const (
	goodPassword = "correct-horse"
	firstToken   = "token-one"
	secondToken  = "token-two"
)

// alice opens the shared mailbox helpdesk: login, mailbox and account differ, so that a mix-up shows.
var alice = token.Account{Provider: "contoso", Grant: token.Delegated, Name: "alice@contoso.example"}

// fakeGate lets in whoever has the password, and records one event as the real one does.
type fakeGate struct {
	audit *fakeAudit
	limit int // connections of the policy

	// Of every grant.
	readOnly bool
	folders  []string

	mu       sync.Mutex
	attempts []auth.Attempt
	refusal  *auth.Refusal      // of every attempt, where it is set
	account  token.Account      // of the grant; zero for alice
	giveUp   context.CancelFunc // ends the opening of the newest attempt
}

func (g *fakeGate) SignIn(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	g.attempts, g.giveUp = append(g.attempts, attempt), cancel
	refusal, account := g.refusal, g.account
	g.mu.Unlock()
	if account == (token.Account{}) {
		account = alice
	}
	grant := auth.Grant{Login: "helpdesk", Mailbox: "helpdesk@contoso.example", User: "helpdesk@contoso.example", Account: account,
		Password: "pw-1", ReadOnly: g.readOnly, Folders: g.folders, Policy: &config.Policy{Limits: config.Limits{Connections: g.limit}}}
	if refusal == nil && attempt.Secret.Reveal() != goodPassword {
		refusal = &auth.Refusal{Kind: auth.Denied, Reason: auth.WrongPassword}
	}
	if refusal == nil {
		if err := open(ctx, grant); err != nil {
			refusal = auth.RefusalOf(err)
		}
	}
	event := audit.SignIn{Outcome: audit.Allowed, Session: attempt.Session}
	if refusal != nil {
		event.Outcome, event.Reason = audit.Refused, string(refusal.Reason)
		if refusal.Err != nil {
			event.Detail = refusal.Err.Error()
		}
	}
	if err := g.audit.Record(event); err != nil {
		refusal = &auth.Refusal{Kind: auth.Unavailable, Reason: auth.AuditUnavailable, Err: err}
	}
	if refusal != nil {
		return auth.Grant{}, refusal
	}
	return grant, nil
}

func (g *fakeGate) seen() []auth.Attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.attempts)
}

// refuse makes every attempt end in a refusal; nil lets the password decide again.
func (g *fakeGate) refuse(refusal *auth.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusal = refusal
}

// stopOpening ends the context in which the newest attempt's mailbox is being opened.
func (g *fakeGate) stopOpening() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.giveUp()
}

// fakeTokens gives one token, and another when upstream refuses that.
type fakeTokens struct {
	mu    sync.Mutex
	given []string
	err   error // instead of a token, where it is set
}

func (s *fakeTokens) Use(ctx context.Context, account token.Account, do func(context.Context, token.Access) error) error {
	s.mu.Lock()
	failure := s.err
	s.mu.Unlock()
	if failure != nil {
		return failure
	}
	if account.Name != alice.Name {
		return errors.New("a token for an account that nobody has: " + account.String())
	}
	err := s.give(ctx, firstToken, do)
	if errors.Is(err, token.ErrRefused) {
		err = s.give(ctx, secondToken, do)
	}
	return err
}

func (s *fakeTokens) give(ctx context.Context, text string, do func(context.Context, token.Access) error) error {
	s.mu.Lock()
	s.given = append(s.given, text)
	s.mu.Unlock()
	return do(ctx, token.Access{Token: secret.New(text)})
}

func (s *fakeTokens) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.given)
}

func (s *fakeTokens) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// fakeAudit keeps events.
type fakeAudit struct {
	mu       sync.Mutex
	events   []audit.Event
	broken   string            // kind of the events that cannot be written
	onRecord map[string]func() // kind → what happens while such an event is written
}

func (a *fakeAudit) Record(event audit.Event) error {
	a.mu.Lock()
	happens := a.onRecord[event.Kind()]
	a.mu.Unlock()
	if happens != nil {
		happens()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken == event.Kind() {
		return errors.New("no space left on device")
	}
	a.events = append(a.events, event)
	return nil
}

// during has something happen while events of a kind are written; nil for nothing.
func (a *fakeAudit) during(kind string, happens func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onRecord[kind] = happens
}

// breakFor makes events of a kind impossible to write; the empty kind mends all.
func (a *fakeAudit) breakFor(kind string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = kind
}

func (a *fakeAudit) all() []audit.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

// log takes what the proxy logs, for the search for secrets.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
