package token

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"postern/internal/diagnosis"
)

// failure makes of a failed call what callers may see of it. The error of MSAL decides only where no answer came, and by
// its type: its text can hold whole requests and responses, secrets included (reference G.4.5).
func (m *Microsoft) failure(account Account, a answer, err error) *Error {
	e := &Error{
		Account: account, Code: a.code, Suberror: a.suberror, AADSTS: a.aadsts,
		CorrelationID: a.correlationID, TraceID: a.traceID, retryAfter: a.retryAfter,
	}
	var foreign *foreignHostError
	credential, unready := asCredentialError(err)
	switch {
	case unready:
		e.Class, e.Advice = credential.class, credential.advice
	case errors.As(err, &foreign):
		e.Class = Misconfigured
		e.Advice = fmt.Sprintf("the provider's discovery document leads to host %q, which is not %s's: check the authority "+
			"(endpoints.authority or cloud) of provider {provider}", foreign.host, m.host)
	case a.status == 0, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Advice = Temporary, unreachable(m.host, err)
	case a.status < 300:
		e.Class, e.Advice = m.badAnswer(a)
	case a.code == "", a.status == http.StatusTooManyRequests, a.status >= 500:
		e.Class, e.Advice = Temporary, refusedWithoutWord(m.host, a)
	default:
		e.Class, e.Advice = classify(a, diagnosis.Subject{App: m.clientID, Account: account.Name, Provider: account.Provider, Tenant: m.tenant})
	}
	if e.Class == NeedsSignIn && account.Grant == Application {
		// Nobody can sign in for an application, and the advice is for people.
		e.Class, e.Advice = Misconfigured, "Entra refuses the application's own sign-in: in Entra's sign-in log, under service principals, find why"
	}
	e.Advice = strings.NewReplacer("{app}", m.clientID, "{account}", account.Name, "{provider}", account.Provider,
		"{tenant}", m.tenant).Replace(e.Advice)
	return e
}

// badAnswer classifies a good status whose content was of no use.
func (m *Microsoft) badAnswer(a answer) (Class, string) {
	if len(a.declined) > 0 {
		return Misconfigured, "the tenant did not grant " + strings.Join(a.declined, ", ") +
			": an administrator has to consent: az ad app permission admin-consent --id {app}"
	}
	return Temporary, "the answer of " + m.host + " has no usable token in it"
}

// refusedWithoutWord describes an answer that is none of OAuth's: a web page, a proxy's error, a limit.
func refusedWithoutWord(host string, a answer) string {
	if a.status == http.StatusTooManyRequests {
		return host + " limits the rate of token requests (HTTP 429); it is asked again later"
	}
	text := fmt.Sprintf("%s answered HTTP %d", host, a.status)
	if !a.understood {
		text += " with something that is not JSON; where this lasts, look for a proxy or a portal between here and there"
	}
	return text
}

// unreachable says why no answer came, without the texts of libraries.
func unreachable(host string, err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		operation   *net.OpError
		network     net.Error
	)
	switch {
	case errors.As(err, &certificate):
		return "the certificate of " + host + " is not accepted: check this machine's clock, and endpoints.ca_file where the " +
			"connection passes a proxy that opens TLS: " + certificate.Err.Error()
	case errors.As(err, &dns):
		return "the name " + host + " is not resolved: check DNS on this machine"
	case errors.Is(err, errTooLong):
		return "the answer of " + host + " is too long for a token answer"
	case errors.Is(err, context.Canceled):
		return "the request was given up"
	case errors.As(err, &network) && network.Timeout():
		return host + " did not answer in time"
	case errors.As(err, &operation):
		return "no connection to " + host + ": " + operation.Err.Error()
	}
	return host + " gave no answer"
}

// classify says who can mend an error answer. As Microsoft asks of programs, the error word and its refinements decide;
// the AADSTS numbers give the advice, and tell among refusals of a person's sign-in those that an administrator or time
// mends (reference F.3).
func classify(a answer, about diagnosis.Subject) (Class, string) {
	class, advice := byWord(a)
	for _, code := range a.aadsts {
		d, mender, known := diagnosis.Entra(code, about)
		if !known {
			continue
		}
		if menders[mender] == Temporary || class == NeedsSignIn {
			class = menders[mender]
		}
		return class, d.String()
	}
	return class, advice
}

// menders says which class it is when somebody mends it.
var menders = map[diagnosis.Mender]Class{
	diagnosis.Person: NeedsSignIn, diagnosis.Administrator: Misconfigured, diagnosis.Keeper: Misconfigured, diagnosis.Time: Temporary,
}

// What is advised where Entra gives a word and no number. In these {app} stands for the client id, {account} for the
// account's name, {provider} and {tenant} for those of the configuration.
const (
	adviceEnroll            = "the person signs in again: postern user enroll {account}"
	adviceConsent           = "the application's permissions are not consented to: an administrator runs: az ad app permission admin-consent --id {app}"
	adviceConditionalAccess = "a Conditional Access policy refuses the gateway: in Entra's sign-in log find which, and exclude the application " +
		"{app} or the gateway's address from it"
)

// byWord classifies by error, suberror and claims, with general advice.
func byWord(a answer) (Class, string) {
	switch a.suberror {
	case "consent_required":
		return Misconfigured, adviceConsent
	case "protection_policy_required", "client_mismatch", "device_authentication_failed":
		return Misconfigured, adviceConditionalAccess
	}
	switch a.code {
	case "temporarily_unavailable", "server_error", "request_timeout", "slow_down":
		return Temporary, "Entra is busy or in trouble; it is asked again later"
	case "consent_required":
		return Misconfigured, adviceConsent
	case "invalid_grant", "interaction_required", "login_required":
		if a.claims {
			return NeedsSignIn, "a policy asks for more than the kept sign-in gives: " + adviceEnroll
		}
		return NeedsSignIn, adviceEnroll
	case "authorization_declined", "access_denied":
		return NeedsSignIn, "the sign-in was declined: " + adviceEnroll
	case "expired_token", "bad_verification_code", "code_expired":
		return NeedsSignIn, "the code was not used in time: " + adviceEnroll
	case "invalid_client":
		return Misconfigured, "Entra does not accept the application's credential: compare client_id and the secret or certificate of " +
			"provider {provider} with the app registration"
	case "unauthorized_client":
		return Misconfigured, "the application may not do this in the tenant: check client_id {app} and tenant {tenant} of provider {provider}"
	case "invalid_scope", "invalid_resource":
		return Misconfigured, "Entra does not know the permission or the mail resource that was asked for: check cloud and endpoints.resource " +
			"of provider {provider}, and that the tenant has Exchange Online"
	}
	return Misconfigured, "Entra refused the request; look the code up at https://login.microsoftonline.com/error"
}

// delays between requests after a failure.
const (
	minTemporaryDelay     = time.Second
	minMisconfiguredDelay = time.Minute
	maxDelay              = 4 * time.Minute // and a quarter: five minutes
)

// delay is how long not to ask again after the n-th failure in a row, n from 1, before chance adds to it. An application's
// grant that is refused is asked about hourly: nobody has to do anything once what was wrong has been mended, and one
// application is one request. For a person's, see [Enrolment.after].
func (e *Error) delay(n int) time.Duration {
	var least time.Duration
	switch {
	case e.Code == "invalid_grant", e.Code == "interaction_required":
		least = askAgain[min(n, len(askAgain))-1]
	case e.unasked:
		least = 0
	case e.Class == Misconfigured:
		least = min(minMisconfiguredDelay<<min(n-1, 16), maxDelay)
	default:
		least = min(minTemporaryDelay<<min(n-1, 16), maxDelay)
	}
	return max(least, e.retryAfter)
}

// spread adds up to a quarter by chance, so that accounts which failed together do not come back together.
func spread(d time.Duration) time.Duration { return d + rand.N(d/4+1) }
