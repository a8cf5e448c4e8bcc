package auth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
	"postern/internal/secret"
	"postern/internal/throttle"
)

var gateNoon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	gatePassword = "correct-horse"
	verifyTime   = 300 * time.Millisecond // what the fakes take of the clock's time
)

// gateFakes is a gate with fakes all around it that note in which order they are called.
type gateFakes struct {
	*Gate
	steps   []string
	events  []audit.SignIn
	stamps  []apppassword.Use
	waits   []time.Duration
	now     time.Time
	policy  *config.Policy
	verdict apppassword.Verdict // of the right password

	admitted             string // the login that guesses were counted for
	heldOff, locked      bool
	verifyErr, recordErr error
	lockErr              error
}

func newGateFakes() *gateFakes {
	f := &gateFakes{now: gateNoon, policy: &config.Policy{Name: "people", Protocols: []string{"imap", "smtp"}}}
	f.verdict = apppassword.Verdict{Status: apppassword.Valid, Password: apppassword.Record{ID: "pw-1", Login: "helpdesk@contoso.example",
		Protocols: []string{"imap", "smtp"}, Evidence: apppassword.Evidence{Method: "totp", At: gateNoon.Add(-time.Hour)}}}
	f.Gate = NewGate(GateConfig{
		Directory: NewDirectory(&config.Config{Policies: map[string]*config.Policy{"people": f.policy}, Users: []config.User{
			{Login: "helpdesk@contoso.example", Aliases: []string{"support"}, Account: "alice@contoso.example", Provider: "contoso", Grant: "delegated", Policy: "people"}}}),
		Passwords: f, Guesses: f, Locks: f, Audit: f,
		Stamp: func(use apppassword.Use) { f.steps, f.stamps = append(f.steps, "stamp"), append(f.stamps, use) },
		Now:   func() time.Time { return f.now },
		Wait: func(_ context.Context, d time.Duration) {
			f.steps, f.waits = append(f.steps, "wait"), append(f.waits, d)
		},
	})
	return f
}

func (f *gateFakes) Admit(login string, _ netip.Addr, _ secret.Text) (throttle.Check, bool) {
	f.steps, f.admitted = append(f.steps, "admit"), login
	return throttle.Check{}, !f.heldOff
}

func (f *gateFakes) Verify(_ context.Context, login string, attempt secret.Text) (apppassword.Verdict, error) {
	f.steps = append(f.steps, "verify "+login)
	f.now = f.now.Add(verifyTime)
	if attempt.Reveal() != gatePassword {
		return apppassword.Verdict{}, f.verifyErr
	}
	return f.verdict, f.verifyErr
}

func (f *gateFakes) Locked(context.Context, string, string) (locked, lockdown bool, err error) {
	f.steps = append(f.steps, "locked")
	return f.locked, false, f.lockErr
}

func (f *gateFakes) Record(e audit.Event) error {
	f.steps = append(f.steps, "record")
	if f.recordErr != nil {
		return f.recordErr
	}
	f.events = append(f.events, e.(audit.SignIn))
	return nil
}

// open is the second half of a sign-in, with an outcome.
func (f *gateFakes) open(outcome error) func(context.Context, Grant) error {
	return func(context.Context, Grant) error {
		f.steps = append(f.steps, "open")
		return outcome
	}
}

func goodAttempt() Attempt {
	return Attempt{Session: "s-1", Protocol: IMAP, Login: "HelpDesk@contoso.example", Secret: secret.New(gatePassword), Mechanism: "PLAIN",
		Remote: netip.MustParseAddrPort("192.0.2.1:49152"), TLS: tls.VersionTLS13, Client: "Mutt 2.2"}
}

const helpdesk = "helpdesk@contoso.example"

var (
	decided = []string{"admit", "verify " + helpdesk, "locked"}
	allowed = append(slices.Clone(decided), "open", "record", "stamp")
	opened  = append(slices.Clone(decided), "open", "record")
	refused = append(slices.Clone(decided), "record", "wait")
)

// TestSignInAllowed: decide, open, record, return.
func TestSignInAllowed(t *testing.T) {
	for _, protocol := range []Protocol{IMAP, SMTP} {
		f := newGateFakes()
		f.verdict.Password.Expires = gateNoon.Add(24 * time.Hour)
		attempt := goodAttempt()
		attempt.Protocol = protocol
		var seen Grant
		got, err := f.SignIn(t.Context(), attempt, func(ctx context.Context, grant Grant) error {
			seen = grant
			return f.open(nil)(ctx, grant)
		})
		if err != nil {
			t.Fatal(err)
		}
		want := Grant{Login: helpdesk, Mailbox: helpdesk, Addresses: []string{helpdesk, "alice@contoso.example"}, User: helpdesk, Account: delegated("alice@contoso.example"), Password: "pw-1",
			Evidence: f.verdict.Password.Evidence, Expires: gateNoon.Add(24 * time.Hour), Policy: f.policy}
		if protocol == SMTP {
			want.User = "alice@contoso.example"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: grant (-want +got):\n%s", protocol, diff)
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("%s: grant to open (-want +got):\n%s", protocol, diff)
		}
		if !slices.Equal(f.steps, allowed) {
			t.Errorf("%s: steps %q, want %q", protocol, f.steps, allowed)
		}
		event := audit.SignIn{Outcome: audit.Allowed, Session: "s-1", Protocol: string(protocol), Login: helpdesk, Mailbox: helpdesk,
			Account: "alice@contoso.example at contoso", Remote: "192.0.2.1:49152", Mechanism: "PLAIN", TLS: "TLS 1.3", Client: "Mutt 2.2", Password: "pw-1"}
		if diff := cmp.Diff([]audit.SignIn{event}, f.events); diff != "" {
			t.Errorf("%s: audit (-want +got):\n%s", protocol, diff)
		}
		use := apppassword.Use{ID: "pw-1", At: gateNoon, From: netip.MustParseAddr("192.0.2.1"), Protocol: string(protocol), Client: "Mutt 2.2"}
		if len(f.stamps) != 1 || f.stamps[0] != use {
			t.Errorf("%s: stamped %+v, want %+v once", protocol, f.stamps, use)
		}
	}
}

func TestSignInWithNothingToOpen(t *testing.T) {
	f := newGateFakes()
	if _, err := f.SignIn(t.Context(), goodAttempt(), nil); err != nil {
		t.Fatal(err)
	}
	if want := append(slices.Clone(decided), "record", "stamp"); !slices.Equal(f.steps, want) {
		t.Errorf("steps %q, want %q", f.steps, want)
	}
}

// TestSignInRefused has every reason. Each refusal is one event, and the secret is looked at for unknown logins too.
func TestSignInRefused(t *testing.T) {
	trouble := errors.New("disk trouble")
	tokenError := func(class token.Class) error {
		return fmt.Errorf("opening: %w", &token.Error{Account: delegated("alice@contoso.example"), Class: class, Code: "invalid_grant"})
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for name, test := range map[string]struct {
		arrange func(*gateFakes, *Attempt)
		outcome error // of open
		kind    Kind
		reason  Reason
		steps   []string
	}{
		"unknown login":        {func(_ *gateFakes, a *Attempt) { a.Login = "Nobody" }, nil, Denied, UnknownLogin, []string{"admit", "verify nobody", "locked", "record", "wait"}},
		"wrong password":       {func(_ *gateFakes, a *Attempt) { a.Secret = secret.New("wrong") }, nil, Denied, WrongPassword, refused},
		"no password":          {func(_ *gateFakes, a *Attempt) { a.Secret = secret.Text{} }, nil, Denied, WrongPassword, refused},
		"expired":              {func(f *gateFakes, _ *Attempt) { f.verdict.Status = apppassword.Expired }, nil, Denied, PasswordExpired, refused},
		"revoked":              {func(f *gateFakes, _ *Attempt) { f.verdict.Status = apppassword.Revoked }, nil, Denied, PasswordRevoked, refused},
		"locked":               {func(f *gateFakes, _ *Attempt) { f.locked = true }, nil, Denied, LoginLocked, refused},
		"held off":             {func(f *gateFakes, _ *Attempt) { f.heldOff = true }, nil, Denied, HeldOff, []string{"admit", "record", "wait"}},
		"evidence missing":     {func(f *gateFakes, _ *Attempt) { f.policy.MFA.Evidence = []string{"passkey"} }, nil, Denied, EvidenceMissing, refused},
		"evidence expired":     {func(f *gateFakes, _ *Attempt) { f.policy.MFA.MaxAge = config.Duration(time.Hour) }, nil, Denied, EvidenceExpired, refused},
		"as somebody else":     {func(_ *gateFakes, a *Attempt) { a.Identity = "bob@contoso.example" }, nil, Denied, IdentityForbidden, refused},
		"policy's protocols":   {func(f *gateFakes, _ *Attempt) { f.policy.Protocols = []string{"smtp"} }, nil, Denied, ProtocolForbidden, refused},
		"password's protocols": {func(f *gateFakes, _ *Attempt) { f.verdict.Password.Protocols = []string{"smtp"} }, nil, Denied, ProtocolForbidden, refused},
		"no protocols":         {func(f *gateFakes, _ *Attempt) { f.verdict.Password.Protocols = nil }, nil, Denied, ProtocolForbidden, refused},
		"policy's networks":    {func(f *gateFakes, _ *Attempt) { f.policy.Networks = networks }, nil, Denied, NetworkForbidden, refused},
		"password's networks":  {func(f *gateFakes, _ *Attempt) { f.verdict.Password.Networks = networks }, nil, Denied, NetworkForbidden, refused},
		"legacy TLS":           {func(_ *gateFakes, a *Attempt) { a.TLS = tls.VersionTLS11 }, nil, Denied, LegacyTLS, refused},
		"the store is away":    {func(f *gateFakes, _ *Attempt) { f.verifyErr = trouble }, nil, Unavailable, StoreUnavailable, []string{"admit", "verify " + helpdesk, "record"}},
		"the locks are away":   {func(f *gateFakes, _ *Attempt) { f.lockErr = trouble }, nil, Unavailable, StoreUnavailable, append(slices.Clone(decided), "record")},
		"the audit is away":    {func(f *gateFakes, _ *Attempt) { f.recordErr = trouble }, nil, Unavailable, AuditUnavailable, opened},
		"too many sessions":    {nil, fmt.Errorf("opening: %w", TooMany(trouble)), Limited, TooManySessions, opened},
		"no token now":         {nil, tokenError(token.Temporary), Unavailable, TokenUnavailable, opened},
		"no token for ever":    {nil, tokenError(token.NeedsSignIn), Blocked, SignInNeeded, opened},
		"misconfigured":        {nil, tokenError(token.Misconfigured), Blocked, Misconfigured, opened},
		"token refused":        {nil, fmt.Errorf("IMAP at x: %w: NO", token.ErrRefused), Blocked, UpstreamRefused, opened},
		"upstream is away":     {nil, errors.New("connection refused"), Unavailable, UpstreamUnavailable, opened},
		"out of time":          {nil, context.DeadlineExceeded, Unavailable, UpstreamUnavailable, opened},
	} {
		t.Run(name, func(t *testing.T) {
			f, attempt := newGateFakes(), goodAttempt()
			if test.arrange != nil {
				test.arrange(f, &attempt)
			}
			grant, err := f.SignIn(t.Context(), attempt, f.open(test.outcome))
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Kind != test.kind || refusal.Reason != test.reason {
				t.Fatalf("got %v, want a refusal of kind %d for %s", err, test.kind, test.reason)
			}
			if diff := cmp.Diff(Grant{}, grant); diff != "" || len(f.stamps) != 0 {
				t.Errorf("got the grant %+v and the uses %+v of a refused attempt", grant, f.stamps)
			}
			if !slices.Equal(f.steps, test.steps) {
				t.Errorf("steps %q, want %q", f.steps, test.steps)
			}
			f.checkRefusedEvent(t, test.reason)
			f.checkDenial(t, refusal)
		})
	}
}

// checkRefusedEvent demands the one event of a refused attempt, unless the audit log is what is away.
func (f *gateFakes) checkRefusedEvent(t *testing.T, reason Reason) {
	t.Helper()
	if reason == AuditUnavailable {
		return
	}
	if len(f.events) != 1 || f.events[0].Outcome != audit.Refused || f.events[0].Reason != string(reason) {
		t.Fatalf("audit: got %+v, want one sign-in refused for %s", f.events, reason)
	}
	known := reason != UnknownLogin && reason != HeldOff && reason != StoreUnavailable // else nothing is known of the mailbox
	if e := f.events[0]; (e.Mailbox == helpdesk) != known || (e.Account != "") != known {
		t.Errorf("audit: got %+v, want mailbox and account: %v", e, known)
	}
}

// checkDenial demands that a denial looks and lasts like any other, and that nothing else waits (threat model I-26).
func (f *gateFakes) checkDenial(t *testing.T, refusal *Refusal) {
	t.Helper()
	if refusal.Kind != Denied {
		if len(f.waits) != 0 {
			t.Errorf("waited %v with an answer that is no denial", f.waits)
		}
		return
	}
	if refusal.Say != "" {
		t.Errorf("a denial says %q", refusal.Say)
	}
	lasts := f.now.Sub(gateNoon) + f.waits[0]
	if lasts < denialTime || lasts >= denialTime+denialJitter {
		t.Errorf("the answer takes %v, want between %v and %v", lasts, denialTime, denialTime+denialJitter)
	}
}

// TestSignInAllowedAllTheSame has what looks like a reason to refuse, and is none.
func TestSignInAllowedAllTheSame(t *testing.T) {
	here := []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24"), netip.MustParsePrefix("192.0.2.0/24")}
	for name, arrange := range map[string]func(*gateFakes, *Attempt){
		"as oneself":                       func(_ *gateFakes, a *Attempt) { a.Identity = "HELPDESK@contoso.example" },
		"from one of the networks":         func(f *gateFakes, _ *Attempt) { f.policy.Networks, f.verdict.Password.Networks = here, here },
		"TLS 1.2":                          func(_ *gateFakes, a *Attempt) { a.TLS = tls.VersionTLS12 },
		"legacy TLS, by the password":      func(f *gateFakes, a *Attempt) { a.TLS, f.verdict.Password.LegacyTLS = tls.VersionTLS10, true },
		"in clear, which listeners see to": func(_ *gateFakes, a *Attempt) { a.TLS = 0 },
		"evidence that is accepted":        func(f *gateFakes, _ *Attempt) { f.policy.MFA.Evidence = []string{"passkey", "totp"} },
		"evidence that is fresh":           func(f *gateFakes, _ *Attempt) { f.policy.MFA.MaxAge = config.Duration(2 * time.Hour) },
	} {
		f, attempt := newGateFakes(), goodAttempt()
		arrange(f, &attempt)
		if _, err := f.SignIn(t.Context(), attempt, f.open(nil)); err != nil || !slices.Equal(f.steps, allowed) {
			t.Errorf("%s: got %v by the steps %q", name, err, f.steps)
		}
		if e := f.events[0]; (e.TLS == "") != (attempt.TLS == 0) {
			t.Errorf("%s: audit has TLS %q", name, e.TLS)
		}
	}
}

// TestAliasIsTheLogin: password, lock, guesses and audit are the login's, whichever of its names is typed, and the audit log
// has what was typed. A client may also ask to act as either of the two.
func TestAliasIsTheLogin(t *testing.T) {
	f, attempt := newGateFakes(), goodAttempt()
	attempt.Login, attempt.Identity = "Support", helpdesk
	grant, err := f.SignIn(t.Context(), attempt, f.open(nil))
	if err != nil || grant.Login != helpdesk || !slices.Equal(f.steps, allowed) {
		t.Fatalf("got %+v, %v by the steps %q", grant, err, f.steps)
	}
	if e := f.events[0]; e.Login != helpdesk || e.Alias != "support" {
		t.Errorf("audit: got %+v, want the login and what was typed", e)
	}
	if f.admitted != helpdesk {
		t.Errorf("guesses are counted for %q, want the login", f.admitted)
	}
}

// TestAuditFailureKeepsTheCause: what the audit log could not take is in the error, for the log.
func TestAuditFailureKeepsTheCause(t *testing.T) {
	f, attempt := newGateFakes(), goodAttempt()
	f.recordErr, attempt.Secret = errors.New("no space left on device"), secret.New("wrong")
	_, err := f.SignIn(t.Context(), attempt, f.open(nil))
	for _, want := range []string{"audit-unavailable", "no space left on device", "wrong-password"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to tell of %s", err, want)
		}
	}
}

// TestNoSecretInEvents: neither a right nor a wrong password is in an event or an error (threat model I-41).
func TestNoSecretInEvents(t *testing.T) {
	for _, password := range []string{gatePassword, "wrong-horse"} {
		f, attempt := newGateFakes(), goodAttempt()
		attempt.Secret = secret.New(password)
		_, err := f.SignIn(t.Context(), attempt, f.open(errors.New("away")))
		line, jsonErr := json.Marshal(f.events)
		if jsonErr != nil {
			t.Fatal(jsonErr)
		}
		if shown := fmt.Sprintf("%s %+v %v %+v", line, f.events, err, attempt); strings.Contains(shown, password) {
			t.Errorf("the password shows in %s", shown)
		}
	}
}

// TestStrangersWordsAreCut: the audit's lines do not grow with what a stranger calls itself.
func TestStrangersWordsAreCut(t *testing.T) {
	f, attempt := newGateFakes(), goodAttempt()
	attempt.Login, attempt.Client = strings.Repeat("L", 5000), strings.Repeat("c", 5000)
	_, _ = f.SignIn(t.Context(), attempt, nil)
	if e := f.events[0]; e.Login != strings.Repeat("l", maxRecorded) || e.Client != strings.Repeat("c", maxRecorded) {
		t.Errorf("got a login of %d and a client of %d bytes, want %d of each", len(e.Login), len(e.Client), maxRecorded)
	}
}

// TestDeniedTakesItsTime: with the clock of a bubble and the gate's own wait.
func TestDeniedTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, attempt := newGateFakes(), goodAttempt()
		gate := NewGate(GateConfig{Directory: f.directory.Load(), Passwords: f, Guesses: f, Locks: f, Audit: f, Stamp: func(apppassword.Use) {}})
		attempt.Login = "nobody"
		began := time.Now()
		if _, err := gate.SignIn(t.Context(), attempt, nil); err == nil {
			t.Fatal("nobody was let in")
		}
		if took := time.Since(began); took < denialTime || took >= denialTime+denialJitter {
			t.Errorf("took %v, want between %v and %v", took, denialTime, denialTime+denialJitter)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		_, _ = gate.SignIn(gone, attempt, nil)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v for a client that is gone", took)
		}
	})
}

// TestRefusalOf: a refusal that comes out of open stays itself, however it is wrapped.
func TestRefusalOf(t *testing.T) {
	own := &Refusal{Kind: Limited, Reason: TooManySessions, Say: "Not now"}
	if got := RefusalOf(fmt.Errorf("opening: %w", own)); got != own {
		t.Errorf("got %+v, want the refusal itself", got)
	}
	cause := errors.New("connection refused")
	for _, err := range []error{cause, fmt.Errorf("x: %w", token.ErrRefused), &token.Error{Class: token.NeedsSignIn}} {
		got := RefusalOf(err)
		if !errors.Is(got, err) || !strings.Contains(got.Error(), string(got.Reason)) || !strings.Contains(got.Error(), err.Error()) {
			t.Errorf("%v: got %v, want its reason and its cause", err, got)
		}
		if (got.Kind == Blocked) != (got.Say != "") {
			t.Errorf("%v: a refusal of kind %d says %q; whoever has to act is told so, and nobody else", err, got.Kind, got.Say)
		}
	}
	if got := denied(WrongPassword).Error(); got != "wrong-password" {
		t.Errorf("got %q", got)
	}
}
