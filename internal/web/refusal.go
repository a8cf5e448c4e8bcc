package web

import (
	"net/http"
	"net/url"

	"postern/auth/token"
	"postern/internal/audit"
)

// reason is why somebody who came back from a provider was not signed in, for the audit log; each has its page.
type reason string

const (
	otherBrowser    reason = "other-browser"    // there is no attempt in this browser
	attemptExpired  reason = "expired"          // it took longer than ten minutes
	stateMismatch   reason = "state-mismatch"   // the answer is not to this browser's attempt
	otherProvider   reason = "other-provider"   // the answer came by another provider's way
	replayed        reason = "replayed"         // the attempt has been answered before
	providerRefused reason = "provider-refused" // the provider says why not
	codeRefused     reason = "code-refused"     // the provider gave no tokens for the code
	identityRefused reason = "identity-refused" // the ID token does not prove who it is, or answers another request
	notFresh        reason = "not-fresh"        // a new sign-in was asked for, or is needed, and this one is old
	contextMissing  reason = "context-missing"  // the authentication context was not satisfied
	otherPerson     reason = "other-person"     // a further sign-in was somebody else's
	misconfigured   reason = "misconfigured"    // an administrator has to change something
	unavailable     reason = "unavailable"      // time mends it
)

// refusal is a sign-in that is not taken.
type refusal struct {
	reason reason
	detail string // the provider's word for it, for the audit log and for people
	said   string // what the provider says to people
	err    error  // for the log
}

// failedSignIn is what the page of a refused sign-in shows.
type failedSignIn struct {
	Reason reason
	Detail string // the provider's word, such as access_denied AADSTS50105
	Said   string // the provider's sentence
	Again  string // where to try again
}

// refuseSignIn records that somebody is not signed in, and says what to do.
func (p *Portal) refuseSignIn(w http.ResponseWriter, r *http.Request, a attempt, in token.SignIn, refused refusal) {
	event := p.signInEvent(r, a, in)
	event.Outcome, event.Reason, event.Detail = audit.Refused, string(refused.reason), refused.detail
	if err := p.config.Audit.Record(event); err != nil {
		p.unavailable(w, r, "recording a refused sign-in", err)
		return
	}
	if refused.err != nil {
		p.log.Warn("nobody was signed in to the portal", "reason", refused.reason, "error", refused.err)
	}
	status := http.StatusForbidden
	if refused.reason == unavailable {
		status = http.StatusServiceUnavailable
	}
	page := failedSignIn{Reason: refused.reason, Detail: refused.detail, Said: refused.said, Again: "/signin?" + url.Values{"return": {returnPath(a.Return)}}.Encode()}
	if a.ObjectID != "" || refused.reason == notFresh {
		page.Again = signInAgain(a.Context, returnPath(a.Return))
	}
	p.pageStatus(w, r, status, "signin_refused", page)
}
