package smtpproxy

import (
	"errors"

	"postern/auth"
)

// Busy is the greeting for a client that there is no place for: in clear, and then the connection is closed (RFC 5321
// section 3.8, RFC 3463).
const Busy = "421 4.7.0 Too many connections, try again later\r\n"

// signInReply gives the reply to a refused AUTH (RFC 4954 section 6). 535 is said of a wrong, expired or revoked
// credential and of nothing else; all other trouble is temporary to the client.
func signInReply(err error) reply {
	refusal := auth.RefusalOf(err)
	switch refusal.Kind {
	case auth.Denied:
		return say(535, "5.7.8 Authentication credentials invalid")
	case auth.Limited:
		return say(454, "4.7.0 "+words(refusal, "Too many sessions at once, try again later"))
	}
	return say(454, "4.7.0 "+words(refusal, "Temporary authentication failure, try again later"))
}

// addressReply gives the reply to MAIL from a client whose address is no login's, or one that may not send.
func addressReply(err error) reply {
	if refusal := auth.RefusalOf(err); refusal.Kind != auth.Denied {
		return say(451, "4.7.0 "+words(refusal, "The gateway cannot do this at the moment, try again later"))
	}
	return say(530, "5.7.0 Authentication required: this address may not send without it")
}

// upstreamReply gives the reply to a MAIL for which upstream could not be opened. It is always temporary: the message
// has no fault, and a client that keeps it can send it when the cause is mended.
func upstreamReply(err error) (reply, auth.Reason) {
	refusal := auth.RefusalOf(err)
	switch {
	case refusal.Kind == auth.Blocked && refusal.Reason == auth.SignInNeeded:
		return say(451, "4.7.0 "+refusal.Say), refusal.Reason
	case refusal.Kind == auth.Blocked:
		return say(451, "4.3.5 "+words(refusal, "Exchange Online is not set up for this mailbox: ask your administrator")), refusal.Reason
	case refusal.Reason == auth.TokenUnavailable:
		return say(451, "4.7.0 Microsoft's sign-in service cannot be reached at the moment, try again later"), refusal.Reason
	}
	return say(451, "4.4.1 "+words(refusal, "Exchange Online cannot be reached at the moment, try again later")), refusal.Reason
}

// words gives what the refusal says, or otherwise.
func words(refusal *auth.Refusal, otherwise string) string {
	if refusal.Say != "" {
		return refusal.Say
	}
	return otherwise
}

// errNoUpstream is a provider without a submission server.
var errNoUpstream = errors.New("the provider has no SMTP upstream")
