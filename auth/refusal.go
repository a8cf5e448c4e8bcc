package auth

import (
	"errors"
	"fmt"

	"postern/auth/token"
)

// Kind is how a refusal may be told to the client: all that a proxy needs to choose its words.
type Kind int

const (
	// Denied: the credential is wrong, expired or revoked, or not for this use. All of these look alike.
	Denied Kind = iota
	// Limited: a limit on sessions is reached; temporary.
	Limited
	// Unavailable: something that time mends is in the way; temporary.
	Unavailable
	// Blocked: the credential is right, but a person or an administrator has to act first.
	Blocked
)

// Refusal is an attempt that was not allowed. It is an error.
type Refusal struct {
	Kind   Kind
	Reason Reason
	// Say is a line that the client may see, in plain words without secrets; empty where the proxy's own words do,
	// and always for [Denied].
	Say string
	// Err is the cause, for the log and the audit; may be nil.
	Err error
}

// Error gives the reason and the cause, for the log.
func (r *Refusal) Error() string {
	if r.Err == nil {
		return string(r.Reason)
	}
	return fmt.Sprintf("%s: %v", r.Reason, r.Err)
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// TooMany gives the refusal that the open function of [Gate.SignIn] returns when a limit on sessions is reached. err says
// which.
func TooMany(err error) *Refusal { return &Refusal{Kind: Limited, Reason: TooManySessions, Err: err} }

// RefusalOf gives the refusal that stands for an error in getting a token or in opening the mailbox: of a login that
// the policy allows. What nobody classified is upstream's trouble, and so temporary (threat model I-15).
func RefusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	var failed *token.Error
	switch {
	case errors.As(err, &failed):
		return tokenRefusal(failed)
	case errors.Is(err, token.ErrRefused):
		return &Refusal{Kind: Blocked, Reason: UpstreamRefused, Err: err,
			Say: "Exchange Online does not accept the gateway's token for this mailbox: ask your administrator to look at Postern's log"}
	}
	return &Refusal{Kind: Unavailable, Reason: UpstreamUnavailable, Err: err}
}

// tokenRefusal says who has to act when there is no token.
func tokenRefusal(failed *token.Error) *Refusal {
	switch failed.Class {
	case token.NeedsSignIn:
		return &Refusal{Kind: Blocked, Reason: SignInNeeded, Err: failed,
			Say: "The owner of this mailbox has to sign in to Microsoft again; the password stays as it is"}
	case token.Misconfigured:
		return &Refusal{Kind: Blocked, Reason: Misconfigured, Err: failed,
			Say: "The gateway's access to Microsoft 365 is not set up right: ask your administrator to look at Postern's log"}
	}
	return &Refusal{Kind: Unavailable, Reason: TokenUnavailable, Err: failed}
}
