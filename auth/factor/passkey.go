package factor

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"postern/internal/secret"
)

const (
	enrolPasskey = "enrol-passkey"
	provePasskey = "prove-passkey"
)

// relyingParty makes what passkeys are bound to: the host and the origin of the portal. User verification is required, so
// that a passkey is possession and something else; attestation is not asked for, since no policy tells makers apart. It is
// nil for an IP address, which cannot be a relying party (WebAuthn section 5.1.2).
func relyingParty(portal *url.URL, name string) (*webauthn.WebAuthn, error) {
	if _, err := netip.ParseAddr(portal.Hostname()); err == nil {
		return nil, nil
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID:                  portal.Hostname(),
		RPDisplayName:         name,
		RPOrigins:             []string{portal.Scheme + "://" + portal.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementPreferred,
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys for %s: %w", portal, err)
	}
	return party, nil
}

// BeginPasskey gives the options that the browser makes a passkey with, as JSON
// (PublicKeyCredential.parseCreationOptionsFromJSON).
func (k *Keeper) BeginPasskey(ctx context.Context, a Actor) ([]byte, error) {
	if !k.Passkeys() {
		return nil, refuse(NoPasskeys)
	}
	factors, _, err := k.mayEnrol(ctx, a, Passkey)
	if err != nil {
		return nil, err
	}
	owner, err := newOwner(a, factors)
	if err != nil {
		return nil, err
	}
	creation, session, err := k.party.BeginRegistration(owner, webauthn.WithExclusions(webauthn.Credentials(owner.credentials).CredentialDescriptors()))
	if err != nil {
		return nil, fmt.Errorf("beginning to enrol a passkey: %w", err)
	}
	return k.challenge(ctx, a, enrolPasskey, creation.Response, session)
}

// FinishPasskey enrols the passkey that the browser has made; answer is what its toJSON gives.
func (k *Keeper) FinishPasskey(ctx context.Context, a Actor, name string, answer []byte) (Factor, Proof, error) {
	name = strings.TrimSpace(name)
	switch {
	case !k.Passkeys():
		return Factor{}, Proof{}, refuse(NoPasskeys)
	case !nameable(name):
		return Factor{}, Proof{}, refuse(BadName)
	}
	factors, first, err := k.mayEnrol(ctx, a, Passkey)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	owner, err := newOwner(a, factors)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	session, err := k.answered(ctx, a, enrolPasskey)
	if err != nil {
		return Factor{}, Proof{}, err
	}
	f := Factor{Method: Passkey, Name: name}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Factor{}, Proof{}, k.refused(a, f, WrongPasskey, complaint(err))
	}
	credential, err := k.party.CreateCredential(owner, session, parsed)
	if err != nil {
		return Factor{}, Proof{}, k.refused(a, f, WrongPasskey, complaint(err))
	}
	if err := f.keep(credential); err != nil {
		return Factor{}, Proof{}, err
	}
	return k.enrol(ctx, a, f, first)
}

// BeginProof gives the options that the browser asks a passkey with, as JSON
// (PublicKeyCredential.parseRequestOptionsFromJSON). It refuses with [UnknownFactor] a person who has no passkey.
func (k *Keeper) BeginProof(ctx context.Context, a Actor) ([]byte, error) {
	factors, err := k.store.Factors(ctx, a.Person)
	if err != nil {
		return nil, err
	}
	owner, err := newOwner(a, factors)
	if err != nil {
		return nil, err
	}
	switch {
	case !k.Passkeys():
		return nil, refuse(NoPasskeys)
	case len(owner.credentials) == 0:
		return nil, refuse(UnknownFactor)
	}
	assertion, session, err := k.party.BeginLogin(owner)
	if err != nil {
		return nil, fmt.Errorf("asking for a passkey: %w", err)
	}
	return k.challenge(ctx, a, provePasskey, assertion.Response, session)
}

// ProvePasskey proves that a person has one of their passkeys; answer is what toJSON gives in the browser.
func (k *Keeper) ProvePasskey(ctx context.Context, a Actor, answer []byte) (Proof, error) {
	if !k.Passkeys() {
		return Proof{}, refuse(NoPasskeys)
	}
	factors, err := k.store.Factors(ctx, a.Person)
	if err != nil {
		return Proof{}, err
	}
	owner, err := newOwner(a, factors)
	if err != nil {
		return Proof{}, err
	}
	session, err := k.answered(ctx, a, provePasskey)
	if err != nil {
		return Proof{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Proof{}, k.refused(a, Factor{Method: Passkey}, WrongPasskey, complaint(err))
	}
	credential, err := k.party.ValidateLogin(owner, session, parsed)
	if err != nil {
		return Proof{}, k.refused(a, Factor{Method: Passkey}, WrongPasskey, complaint(err))
	}
	f := owner.factor(credential.ID)
	if credential.Authenticator.CloneWarning { // WebAuthn section 7.2 step 22
		return Proof{}, k.refused(a, f, PasskeyCopied, nil)
	}
	seen := f.Counter
	if err := f.keep(credential); err != nil {
		return Proof{}, err
	}
	return k.use(ctx, a, f, seen, PasskeyCopied)
}

// challenge keeps the session of a challenge and gives its options as the browser wants them.
func (k *Keeper) challenge(ctx context.Context, a Actor, purpose string, options any, session *webauthn.SessionData) ([]byte, error) {
	content, err := json.Marshal(session)
	if err != nil {
		return nil, fmt.Errorf("keeping a challenge: %w", err)
	}
	if err := k.begin(ctx, a, purpose, secret.New(string(content))); err != nil {
		return nil, err
	}
	return json.Marshal(options)
}

// answered takes the session of a challenge: whatever the answer is, there is no second one.
func (k *Keeper) answered(ctx context.Context, a Actor, purpose string) (session webauthn.SessionData, err error) {
	content, err := k.take(ctx, a, purpose)
	if ReasonOf(err) == NotBegun {
		return session, k.refused(a, Factor{Method: Passkey}, NotBegun, nil)
	}
	if err == nil {
		err = json.Unmarshal([]byte(content.Reveal()), &session)
	}
	return session, err
}

// keep puts a credential into its factor.
func (f *Factor) keep(credential *webauthn.Credential) error {
	content, err := json.Marshal(credential)
	if err != nil {
		return fmt.Errorf("keeping a passkey: %w", err)
	}
	f.Handle, f.Counter, f.Content = credential.ID, int64(credential.Authenticator.SignCount), secret.New(string(content))
	return nil
}

// complaint gives what a library says of an answer, for the audit: its details name what did not fit.
func complaint(err error) error {
	if e, ok := errors.AsType[*protocol.Error](err); ok && e.DevInfo != "" {
		return errors.New(cut(e.Details + ": " + e.DevInfo))
	}
	return errors.New(cut(err.Error()))
}

// maxDetail is how much of a library's words goes into the audit log, in bytes: it may repeat what the browser sent.
const maxDetail = 300

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxDetail)], "") }

// owner is a person as the library wants one.
type owner struct {
	actor       Actor
	passkeys    []Factor
	credentials []webauthn.Credential // of passkeys, in their order
}

func newOwner(a Actor, factors []Factor) (*owner, error) {
	o := &owner{actor: a}
	for _, f := range factors {
		if f.Method != Passkey {
			continue
		}
		var credential webauthn.Credential
		if err := json.Unmarshal([]byte(f.Content.Reveal()), &credential); err != nil {
			return nil, fmt.Errorf("the passkey %s: %w", f.ID, err)
		}
		o.passkeys, o.credentials = append(o.passkeys, f), append(o.credentials, credential)
	}
	return o, nil
}

// factor gives the passkey with a credential id; the library has made sure that there is one.
func (o *owner) factor(id []byte) Factor {
	for i, credential := range o.credentials {
		if string(credential.ID) == string(id) {
			return o.passkeys[i]
		}
	}
	return Factor{Method: Passkey}
}

// WebAuthnID is the user handle: it says the same of a person always, and nothing about them (WebAuthn section 14.6.1).
func (o *owner) WebAuthnID() []byte {
	input := []byte("postern/factor/person/1")
	for _, part := range []string{o.actor.Person.TenantID, o.actor.Person.ObjectID} {
		input = binary.AppendUvarint(input, uint64(len(part)))
		input = append(input, part...)
	}
	sum := sha256.Sum256(input)
	return sum[:]
}

func (o *owner) WebAuthnName() string                       { return o.actor.Username }
func (o *owner) WebAuthnDisplayName() string                { return o.actor.Username }
func (o *owner) WebAuthnCredentials() []webauthn.Credential { return o.credentials }
