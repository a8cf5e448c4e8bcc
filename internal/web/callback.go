package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/secret"
)

// callback takes somebody back from the provider (RFC 6749 section 4.1.2). Everything about the answer is held against
// the attempt before the code is used, and everything about the tokens before anything is kept (threat model I-21).
func (p *Portal) callback(w http.ResponseWriter, r *http.Request) {
	a, found := p.takeAttempt(w, r)
	if !found && !p.pace.strangersAnswer() {
		p.tooMany(w, r) // nothing is known of where it comes from, and a line in the audit log costs something
		return
	}
	query := r.URL.Query()
	refused := p.checkAnswer(r, a, found, query)
	var in token.SignIn
	if refused == nil {
		in, refused = p.redeem(r, a, query.Get("code"))
	}
	if refused == nil {
		refused = p.checkPerson(a, in)
	}
	if refused != nil {
		p.refuseSignIn(w, r, a, in, *refused)
		return
	}
	p.admit(w, r, a, in)
}

// checkAnswer says what is wrong with an answer, and makes sure that it is taken once.
func (p *Portal) checkAnswer(r *http.Request, a attempt, found bool, query url.Values) *refusal {
	state := secret.New(query.Get("state"))
	switch {
	case !found:
		return &refusal{reason: otherBrowser}
	case p.now().Sub(a.Began) >= attemptLife:
		return &refusal{reason: attemptExpired}
	case a.Provider != r.PathValue("provider"):
		return &refusal{reason: otherProvider}
	case !state.Equal(secret.New(a.State)) || len(query["state"]) > 1 || len(query["code"]) > 1:
		return &refusal{reason: stateMismatch}
	}
	first, err := p.sessions.store.UsePortalState(r.Context(), hashOf(a.State), a.Began.Add(attemptLife), p.now())
	switch {
	case err != nil:
		return &refusal{reason: unavailable, err: err}
	case !first:
		return &refusal{reason: replayed}
	case query.Has("error") || query.Get("code") == "":
		return &refusal{reason: providerRefused, detail: errorWord(query), said: shorten(query.Get("error_description"))}
	}
	return nil
}

var (
	oauthWord  = regexp.MustCompile(`^[a-z_]{1,40}$`)
	aadstsWord = regexp.MustCompile(`^AADSTS[0-9]{4,9}`)
)

// errorWord gives what of an error answer has a known form: its word and Entra's number (RFC 6749 section 4.1.2.1,
// reference F.3). The rest is free text.
func errorWord(query url.Values) string {
	word := query.Get("error")
	if !oauthWord.MatchString(word) {
		word = "unreadable"
	}
	return strings.TrimSpace(word + " " + aadstsWord.FindString(query.Get("error_description")))
}

// maxSaid bounds what is shown of a provider's words, in bytes.
const maxSaid = 600

func shorten(said string) string {
	return strings.ToValidUTF8(said[:min(len(said), maxSaid)], "")
}

// redeem has the code redeemed.
func (p *Portal) redeem(r *http.Request, a attempt, code string) (token.SignIn, *refusal) {
	in, err := p.config.Authority.Redeem(r.Context(), p.request(a), secret.New(code), a.Began)
	if err == nil {
		return in, nil
	}
	var failed *token.Error
	if !errors.As(err, &failed) {
		return in, &refusal{reason: unavailable, err: err}
	}
	refused := &refusal{detail: failed.Code, err: err}
	for _, n := range failed.AADSTS {
		refused.detail += fmt.Sprintf(" AADSTS%d", n)
	}
	switch {
	case failed.Code == token.CodeNonce, failed.Code == token.CodeIdentity:
		refused.reason = identityRefused
	case failed.Code == token.CodeNotFresh:
		refused.reason = notFresh
	case failed.Code == token.CodeNoContext:
		refused.reason = contextMissing
	case failed.Class == token.Temporary:
		refused.reason = unavailable
	// A code that was used before is named as a fault in the request.
	case failed.Code == "invalid_grant", failed.Class == token.NeedsSignIn:
		refused.reason = codeRefused
	default:
		refused.reason = misconfigured
	}
	return in, refused
}

// signInAge is how old a sign-in with the provider may be for a session to begin with it. Browsers stay signed in there for
// weeks.
const signInAge = 12 * time.Hour

// checkPerson says what is wrong with who signed in.
func (p *Portal) checkPerson(a attempt, in token.SignIn) *refusal {
	switch {
	case a.ObjectID != "" && (a.ObjectID != in.ObjectID || a.TenantID != in.TenantID):
		return &refusal{reason: otherPerson}
	case !in.AuthTime.IsZero() && p.now().Sub(in.AuthTime) > signInAge:
		return &refusal{reason: notFresh, detail: "auth_time " + in.AuthTime.Format(time.RFC3339)}
	}
	return nil
}

// admit records a sign-in, has its tokens kept for the accounts that are the person's, and begins the session: with a new
// key, so that one that somebody put into the browser before is worth nothing (ASVS 7.2.4).
func (p *Portal) admit(w http.ResponseWriter, r *http.Request, a attempt, in token.SignIn) {
	who := p.personOf(a, in)
	who.Role = p.roleOf(who, remote(r))
	event := p.signInEvent(r, a, in)
	event.Outcome, event.Role = audit.Allowed, string(who.Role)
	var methods []string
	for _, e := range who.Evidence {
		methods = append(methods, e.Method)
	}
	event.Evidence = strings.Join(methods, " ")
	err := p.config.Audit.Record(event)
	if err == nil {
		err = p.enroll(r, a, in, who)
	}
	var key string
	if err == nil {
		key, err = p.beginSession(r, a, who)
	}
	if err != nil {
		p.unavailable(w, r, "signing somebody in", err)
		return
	}
	setCookie(w, sessionCookie, key)
	redirect(w, r, a.Return)
}

// enroll has the tokens kept for the accounts that are the person's. Where that is refused, the person is signed in all
// the same: what is wrong is in the audit log, and shows in the state of the account.
func (p *Portal) enroll(r *http.Request, a attempt, in token.SignIn, who Person) error {
	err := p.config.Enroller.Enroll(r.Context(), a.Provider, in, actor(withVisit(r, visit{person: who})))
	var refused *token.Error
	if errors.As(err, &refused) && refused.Class != token.Temporary {
		p.log.Warn("a sign-in was not kept for an account", "username", in.Username, "error", err)
		return nil
	}
	return err
}

// beginSession begins the session of a person: a new one, or, where they were signed in already, that with a new key.
func (p *Portal) beginSession(r *http.Request, a attempt, who Person) (key string, err error) {
	before := visitOf(r)
	if a.ObjectID != "" && before.person.Same(who) {
		key, err = p.sessions.renew(r.Context(), before.cookie, func(c *content) {
			evidence := c.Person.Evidence
			proved := who.Evidence
			c.Person = who
			c.Person.Evidence = evidence
			for _, e := range proved {
				c.Person.prove(e)
			}
		})
		if !errors.Is(err, errGone) {
			return key, err
		}
	}
	return p.sessions.begin(r.Context(), content{Person: who}, before.cookie, p.now())
}

// personOf makes a person of a sign-in, with the evidence that it is in itself: an authentication context that was asked
// for and that is asserted, and multi-factor authentication where the token says so (reference F.4). It counts from
// when they proved to the provider who they are.
func (p *Portal) personOf(a attempt, in token.SignIn) Person {
	who := Person{
		Provider: a.Provider, TenantID: in.TenantID, ObjectID: in.ObjectID, Username: in.Username, Name: legible(in.Name),
		Guest: in.Guest, AppRoles: in.Roles, SignedInAt: in.AuthTime,
	}
	if who.Name == "" {
		who.Name = in.Username
	}
	if in.AuthTime.IsZero() {
		return who
	}
	if now := p.now(); who.SignedInAt.After(now) { // the provider's clock is a little ahead; nothing was proved tomorrow
		who.SignedInAt = now
	}
	if authContext := p.knownContext(a.Provider, a.Context); authContext != "" && slices.Contains(in.Contexts, authContext) {
		who.prove(Evidence{Method: "acrs:" + a.Context, At: who.SignedInAt})
	}
	if slices.Contains(in.Methods, "mfa") {
		who.prove(Evidence{Method: "amr:mfa", At: who.SignedInAt})
	}
	return who
}

// legible gives a name without what cannot be seen, such as marks that turn the direction of the text around it. Names of
// accounts stay as they are: they are compared.
func legible(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
}

// signInEvent begins the event of a sign-in.
func (p *Portal) signInEvent(r *http.Request, a attempt, in token.SignIn) audit.PortalSignIn {
	provider := a.Provider
	if provider == "" && p.knows(r.PathValue("provider")) {
		provider = r.PathValue("provider")
	}
	return audit.PortalSignIn{
		Provider: provider, Username: in.Username, TenantID: in.TenantID, ObjectID: in.ObjectID, Remote: r.RemoteAddr,
	}
}
