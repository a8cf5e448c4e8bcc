package factor

import (
	"errors"
	"fmt"
)

// Reason is why something was refused: for the audit, and for the page to put into words.
type Reason string

const (
	// WrongCode: no authenticator of the person shows this code now.
	WrongCode Reason = "wrong-code"
	// CodeUsed: the code was right, and was used before.
	CodeUsed Reason = "code-used"
	// HeldOff: there were too many wrong codes; this one was not looked at.
	HeldOff Reason = "held-off"
	// WrongPasskey: what the browser sent is no answer of a passkey of the person to the challenge.
	WrongPasskey Reason = "wrong-passkey"
	// PasskeyCopied: the signature counter did not grow, so there is a copy of the passkey.
	PasskeyCopied Reason = "passkey-copied"
	// NoPasskeys: the portal is reached by an IP address, and passkeys need a host name.
	NoPasskeys Reason = "no-passkeys"
	// NotBegun: the browser has begun nothing that this could finish, or it took too long.
	NotBegun Reason = "not-begun"
	// SignInStale: the first factor needs a fresh sign-in at the provider.
	SignInStale Reason = "sign-in-stale"
	// ProofNeeded: a change needs a factor that was proved just before.
	ProofNeeded Reason = "proof-needed"
	// TooMany: the person has as many factors as one may have.
	TooMany Reason = "too-many"
	// UnknownFactor: the person has no such factor.
	UnknownFactor Reason = "unknown-factor"
	// BadName: a name is empty, too long, or has characters that cannot be printed.
	BadName Reason = "bad-name"
)

// Refusal is the error of what was refused. Other errors of this package mean that something did not work.
type Refusal struct {
	Reason Reason
	// Err is the cause, where there is more to say; for the audit and the log, not for the person.
	Err error
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("second factor refused: %s: %v", r.Reason, r.Err)
	}
	return "second factor refused: " + string(r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason) error { return &Refusal{Reason: reason} }

// ReasonOf gives why err refused something; empty if it did not refuse but fail.
func ReasonOf(err error) Reason {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}
