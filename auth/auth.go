// Package auth is the local policy layer. It answers one question for every proxy: may this login, with this secret,
// from this address, use this protocol? The answer is a [Grant] or a [Refusal], and it is in the audit log before the
// caller has it: decide, record, then act.
//
// The package knows nothing of how the proxies speak; they translate a refusal into their protocol's words. Nothing
// here asks upstream: a wrong guess never leaves the gateway.
package auth

import (
	"net/netip"
	"time"

	"postern/auth/apppassword"
	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/secret"
)

// Protocol is what a client speaks to the gateway.
type Protocol string

const (
	IMAP Protocol = "imap"
	SMTP Protocol = "smtp"
)

// ByAddress is the mechanism of an attempt that shows nothing but where it comes from.
const ByAddress = "address"

// Attempt is one try of a client to sign in.
type Attempt struct {
	Session   string // the connection's id, as in the log and the audit
	Protocol  Protocol
	Login     string // as the client typed it
	Identity  string // whom the client asks to act as (authzid of RFC 4616); empty for itself
	Secret    secret.Text
	Mechanism string // PLAIN, LOGIN; for IMAP's LOGIN command, LOGIN; ByAddress
	Remote    netip.AddrPort
	TLS       uint16 // version as in crypto/tls; 0 for a connection in clear
	Client    string // what the client calls itself: IMAP ID, EHLO name; written by a stranger
}

// Grant is what an allowed attempt may do.
type Grant struct {
	Login   string // in its canonical form
	Mailbox string // the mailbox that the session is for
	// Addresses are those that the session may send as, in lower case: the mailbox, the account and what the
	// configuration adds. An entry may be *@domain.
	Addresses []string
	// User is the user= of XOAUTH2 for the attempt's protocol; for a shared mailbox opened by a person's token it
	// is the mailbox for IMAP and the person for SMTP.
	User string
	// Account is whose token opens the mailbox; only that token may be presented.
	Account token.Account
	// Password is the id of the app password that was used; empty where an address stands for it.
	Password string
	// Evidence is what stands behind that password; zero where an address stands for it.
	Evidence apppassword.Evidence
	// Expires is when that password expires, and with it the session; the zero time means never.
	Expires time.Time
	// ReadOnly says that the session may look at the mailbox and change nothing in it.
	ReadOnly bool
	// Folders are the only ones that an IMAP session may open, as config.IMAP has them; none means all.
	Folders []string
	// Policy is the policy in force, never nil.
	Policy *config.Policy
}

// Reason is why an attempt was refused, for the audit; clients never see it.
type Reason string

const (
	UnknownLogin    Reason = "unknown-login"    // the configuration has no such login
	UnknownAddress  Reason = "unknown-address"  // no login has the client's address
	WrongPassword   Reason = "wrong-password"   // the login has no app password like it
	PasswordExpired Reason = "password-expired" // the app password has ended
	PasswordRevoked Reason = "password-revoked" // the app password was revoked
	LoginLocked     Reason = "login-locked"     // an administrator has locked the login
	LockedDown      Reason = "lockdown"         // in an emergency, nobody of the login's kind may sign in
	// HeldOff: too many wrong secrets came before it; this one was not looked at.
	HeldOff           Reason = "held-off"
	EvidenceMissing   Reason = "evidence-missing"   // the policy does not accept the evidence behind the password
	EvidenceExpired   Reason = "evidence-expired"   // it is older than the policy allows
	ProtocolForbidden Reason = "protocol-forbidden" // the app password or the policy is not for the protocol
	NetworkForbidden  Reason = "network-forbidden"  // the app password or the policy is not for the client's network
	LegacyTLS         Reason = "legacy-tls"         // TLS below 1.2, and the app password is not marked for it
	IdentityForbidden Reason = "identity-forbidden" // it asked to act as somebody else
	TooManySessions   Reason = "too-many-sessions"  // the login or its mailbox has as many as it may
	StoreUnavailable  Reason = "store-unavailable"  // the store cannot be read
	AuditUnavailable  Reason = "audit-unavailable"  // the audit log cannot be written; so no line has this
	// Reasons of the attempt's second half, once the policy had allowed it.
	TokenUnavailable    Reason = "token-unavailable"    // no access token for now
	SignInNeeded        Reason = "sign-in-needed"       // the account's person has to sign in at the provider
	Misconfigured       Reason = "misconfigured"        // an administrator has to change something, in the tenant or here
	UpstreamUnavailable Reason = "upstream-unavailable" // it cannot be reached, or says that it is busy
	UpstreamRefused     Reason = "upstream-refused"     // it takes the token and does not open the mailbox
)
