package token

import "time"

// askAgain is after how long the provider is asked again that has refused a person's kept sign-in for a reason that an
// administrator may mend. After these, somebody acts first: threat model I-23 allows two more requests, however often a
// device tries.
var askAgain = [...]time.Duration{5 * time.Minute, time.Hour}

// refusesSignIn reports whether a failure is about a person's kept sign-in, whoever can mend it, and not about the
// request, the application or the network. Entra's codes for it are those of reference F.3 under these words.
func (e *Error) refusesSignIn() bool {
	if e.Account.Grant != Delegated {
		return false
	}
	switch e.Code {
	case "invalid_grant", "interaction_required", "consent_required", "login_required":
		return true
	}
	return false
}

// after gives how the account stands once a request for its token has failed, and whether that is news. seen is how many
// refusals of the kind came before this one, as far as memory goes.
func (e Enrolment) after(failed *Error, seen int, now time.Time) (Enrolment, bool) {
	now = now.UTC().Truncate(time.Millisecond) // as it will be read back
	switch {
	case failed.Class == NeedsSignIn:
		return Enrolment{Identity: e.Identity, NeedsSignIn: true, Reason: failed.Advice, Since: now}, true
	case failed.Class == Temporary, !failed.refusesSignIn():
		return e, false
	}
	refused := Enrolment{Identity: e.Identity, Refused: true, Reason: failed.Advice, Since: now, Asked: seen}
	if e.Refused {
		refused.Since, refused.Asked = e.Since, max(seen, e.Asked+1)
	}
	if refused.Asked < len(askAgain) {
		refused.RetryAt = now.Add(spread(askAgain[refused.Asked]))
	}
	return refused, true
}

// good gives how the account stands once the provider has taken its sign-in again.
func (e Enrolment) good(now time.Time) Enrolment {
	return Enrolment{Identity: e.Identity, Since: now.UTC().Truncate(time.Millisecond)}
}

// conclude completes a refusal of a kept sign-in that came after seen others. One that Entra calls temporary (AADSTS50196)
// is for good when it has come as often as one may ask: it would go on for ever. What is for good says how it ends.
func (e *Error) conclude(seen int) {
	if !e.refusesSignIn() {
		return
	}
	if e.Class == Temporary && seen >= len(askAgain) {
		e.Class = Misconfigured
	}
	if e.Class == Misconfigured {
		e.Advice += "; then " + recheckCommand(e.Account)
	}
}

// recheckCommand is the command that has the provider asked again.
func recheckCommand(account Account) string { return "postern user recheck " + account.Name }
