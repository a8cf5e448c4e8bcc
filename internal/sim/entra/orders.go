package entra

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"postern/internal/secret"
)

// ApproveDevice has a person sign in for a user code, with their second factor where they have one, as if they had been
// through the pages. It fails where no such code waits or nobody of that name can sign in.
func (s *Server) ApproveDevice(userCode, upn string) error {
	person, known := s.tenant.Person(upn)
	switch {
	case !known:
		return fmt.Errorf("account %q: is not in the tenant", upn)
	case person.Disabled:
		return fmt.Errorf("account %q: is disabled", upn)
	}
	at := s.now()
	return s.settle(userCode, func(d *device) {
		d.signIn = &signIn{objectID: person.ObjectID, clientID: d.clientID, scope: d.scope, at: at, mfa: person.MFA}
	})
}

// RevokeSessions ends a person's sign-ins: their refresh tokens are refused with AADSTS50173, and browsers must sign in
// again. Access tokens go on, as Entra's do. It reports whether there is such a person.
func (s *Server) RevokeSessions(upn string) bool {
	person, known := s.tenant.Person(upn)
	if !known {
		return false
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for _, token := range s.state.refresh {
		if token.objectID == person.ObjectID {
			token.revoked = true
		}
	}
	maps.DeleteFunc(s.state.sessions, func(_ string, in signIn) bool { return in.objectID == person.ObjectID })
	return true
}

// RefreshTokens gives the refresh tokens that were issued, the revoked ones too: for a search for what leaked.
func (s *Server) RefreshTokens() []secret.Text {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	tokens := make([]secret.Text, 0, len(s.state.refresh))
	for token := range s.state.refresh {
		tokens = append(tokens, secret.New(token))
	}
	return tokens
}

// TokenRequests gives how many requests came to the token endpoint.
func (s *Server) TokenRequests() int64 { return s.requests.Load() }

// ExpireTokens ends all access tokens that were issued so far: Verify refuses them.
func (s *Server) ExpireTokens() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.generation++
}

// RotateKeys makes a new signing key. Tokens of the old ones stay valid.
func (s *Server) RotateKeys() error { return s.keys.rotate(s.now()) }

// MFACode gives the six digits that a person's second factor shows now; empty for somebody without one. They change
// once they have been used.
func (s *Server) MFACode(upn string) string {
	person, known := s.tenant.Person(upn)
	if !known || !person.MFA {
		return ""
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.mfaCode(person.ObjectID)
}

// mfaCode gives a person's code, made at its first use. The caller holds the lock.
func (s *state) mfaCode(objectID string) string {
	if s.mfaCodes[objectID] == "" {
		s.mfaCodes[objectID] = randomFrom("0123456789", 6)
	}
	return s.mfaCodes[objectID]
}

// PendingDevice is a device code for which nobody has signed in yet.
type PendingDevice struct {
	UserCode string    `json:"user_code"`
	ClientID string    `json:"client_id"`
	Expires  time.Time `json:"expires"`
}

// PendingDevices gives the device codes that wait, the oldest first.
func (s *Server) PendingDevices() []PendingDevice {
	now := s.now()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	pending := []PendingDevice{}
	for _, d := range s.state.devices {
		if _, ok := s.state.waiting(d.userCode, now); ok {
			pending = append(pending, PendingDevice{UserCode: d.userCode, ClientID: d.clientID, Expires: d.expires})
		}
	}
	slices.SortFunc(pending, func(a, b PendingDevice) int { return a.Expires.Compare(b.Expires) })
	return pending
}
