package imapproxy

import (
	"errors"

	"postern/auth"
)

// sayUnavailable is what a client hears of temporary trouble that has no words of its own.
const sayUnavailable = "The mailbox cannot be opened at the moment, try again later"

// Busy is the greeting for a client that there is no place for: in clear, and then the connection is closed (RFC 9051
// section 7.1.5; RFC 5530).
const Busy = "* BYE [LIMIT] Too many connections, try again later\r\n"

// refusalText gives the response code (RFC 5530) and the text of a refused sign-in. "Authentication failed" is said of
// a wrong, expired or revoked credential and of nothing else: it makes clients ask for another password.
func refusalText(err error) string {
	var refusal *auth.Refusal
	if !errors.As(err, &refusal) {
		return "[UNAVAILABLE] " + sayUnavailable
	}
	switch refusal.Kind {
	case auth.Denied:
		return "[AUTHENTICATIONFAILED] Authentication failed"
	case auth.Limited:
		return "[LIMIT] " + say(refusal, "Too many sessions at once, try again later")
	case auth.Blocked:
		return "[CONTACTADMIN] " + say(refusal, "The administrator has to act before this mailbox can be opened")
	default:
		return "[UNAVAILABLE] " + say(refusal, sayUnavailable)
	}
}

func say(refusal *auth.Refusal, otherwise string) string {
	if refusal.Say != "" {
		return refusal.Say
	}
	return otherwise
}
