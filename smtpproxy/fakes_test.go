package smtpproxy

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
)

// fakeGate lets in whoever has the password, and records one event as the real one does.
type fakeGate struct {
	audit      *fakeAudit
	limit      int // connections of the policy
	recipients int // of a day, by the policy
	send       config.Send

	mu       sync.Mutex
	attempts []auth.Attempt
	refusal  *auth.Refusal // of every attempt, where it is set
}

func (g *fakeGate) SignIn(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error) {
	g.mu.Lock()
	g.attempts = append(g.attempts, attempt)
	refusal := g.refusal
	g.mu.Unlock()
	grant := auth.Grant{Login: "copier-3", Mailbox: "scans@contoso.example", User: "scans@contoso.example", Account: copier,
		Addresses: []string{"scans@contoso.example", "*@contoso.example", "*@b.example"},
		Password:  "pw-1", Policy: &config.Policy{Limits: config.Limits{Connections: g.limit, RecipientsPerDay: g.recipients}, Send: g.send}}
	grant.Policy.Send.Delivery = cmp.Or(g.send.Delivery, direct)
	if refusal == nil && attempt.Secret.Reveal() != goodPassword {
		refusal = &auth.Refusal{Kind: auth.Denied, Reason: auth.WrongPassword}
	}
	if refusal == nil {
		if err := open(ctx, grant); err != nil {
			refusal = auth.RefusalOf(err)
		}
	}
	event := audit.SignIn{Outcome: audit.Allowed, Session: attempt.Session, Login: attempt.Login}
	if refusal != nil {
		event.Outcome, event.Reason = audit.Refused, string(refusal.Reason)
	}
	if err := g.audit.Record(event); err != nil {
		refusal = &auth.Refusal{Kind: auth.Unavailable, Reason: auth.AuditUnavailable, Err: err}
	}
	if refusal != nil {
		return auth.Grant{}, refusal
	}
	return grant, nil
}

// SignInByAddress knows every address, unless the gate refuses all.
func (g *fakeGate) SignInByAddress(ctx context.Context, attempt auth.Attempt, open func(context.Context, auth.Grant) error) (auth.Grant, error) {
	attempt.Secret, attempt.Mechanism = secret.New(goodPassword), auth.ByAddress
	return g.SignIn(ctx, attempt, open)
}

func (g *fakeGate) seen() []auth.Attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]auth.Attempt(nil), g.attempts...)
}

// fakeTokens gives one token, and another when upstream refuses that.
type fakeTokens struct {
	mu    sync.Mutex
	uses  int
	given []string
	err   error // instead of a token, where it is set
	fault bool  // it panics
}

// panics makes the next use panic, or mends it.
func (s *fakeTokens) panics(fault bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *fakeTokens) Use(ctx context.Context, account token.Account, do func(context.Context, token.Access) error) error {
	if account != copier {
		return errors.New("a token for an account that nobody has: " + account.String())
	}
	s.mu.Lock()
	s.uses++
	failure, fault := s.err, s.fault
	s.mu.Unlock()
	if fault {
		panic("a fault")
	}
	if failure != nil {
		return failure
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

func (s *fakeTokens) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// fakeAudit keeps events.
type fakeAudit struct {
	mu     sync.Mutex
	events []audit.Event
	broken string // kind of the events that cannot be written
	faulty string // kind of the events that make the program panic
}

// panicFor makes events of a kind panic; the empty kind mends all.
func (a *fakeAudit) panicFor(kind string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faulty = kind
}

func (a *fakeAudit) Record(event audit.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.faulty == event.Kind() {
		panic("a fault")
	}
	if a.broken == event.Kind() {
		return errors.New("no space left on device")
	}
	a.events = append(a.events, event)
	return nil
}

// messages gives the events of messages so far.
func (a *fakeAudit) messages() []audit.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []audit.Message
	for _, event := range a.events {
		if m, ok := event.(audit.Message); ok {
			list = append(list, m)
		}
	}
	return list
}

func (a *fakeAudit) all() []audit.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]audit.Event(nil), a.events...)
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
