package entra

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// device is a device code that waits for its person (RFC 8628).
type device struct {
	userCode string
	clientID string
	scope    scope
	expires  time.Time
	signIn   *signIn // nil until somebody has signed in
	declined bool
	redeemed bool
}

const (
	deviceCodeLife     = 15 * time.Minute
	devicePollInterval = 5 // seconds
	userCodeLength     = 9
	// userCodeAlphabet has no vowels and no look-alikes.
	userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXYZ23456789"
)

// deviceCode is the device authorization endpoint (RFC 8628 section 3.1). It may name several resources: those are for
// consent (reference A.3).
func (s *Server) deviceCode(w http.ResponseWriter, r *http.Request) {
	form, p := s.posted(r)
	if p != nil {
		s.fail(w, r, p)
		return
	}
	application, p := s.application(form.Get("client_id"))
	if p == nil && form.Get("scope") == "" {
		p = missing("scope")
	}
	var asked scope
	if p == nil {
		asked, p = parseScope(form.Get("scope"))
	}
	if p != nil {
		s.fail(w, r, p)
		return
	}
	d := &device{
		userCode: randomFrom(userCodeAlphabet, userCodeLength), clientID: application.ClientID, scope: asked,
		expires: s.now().Add(deviceCodeLife),
	}
	code := randomText(96)
	keep(&s.state, s.state.devices, code, d)
	page := s.url + "/devicelogin"
	writeJSON(w, http.StatusOK, map[string]any{
		"user_code": d.userCode, "device_code": code, "verification_uri": page,
		"expires_in": int(deviceCodeLife / time.Second), "interval": devicePollInterval,
		"message": fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, d.userCode),
	})
}

// redeemDeviceCode answers a poll with a device code (RFC 8628 section 3.4).
func (s *Server) redeemDeviceCode(r tokenRequest) (*tokenAnswer, *problem) {
	code := r.form.Get("device_code")
	if code == "" {
		return nil, missing("device_code")
	}
	s.state.mu.Lock()
	var p *problem
	d, known := s.state.devices[code]
	switch {
	case !known, d.clientID != r.application.ClientID:
		p = refuse(70018)
	case d.redeemed:
		p = refuse(54005)
	case d.declined:
		p = refuse(65004)
		p.word = "authorization_declined"
	case !s.now().Before(d.expires):
		p = refuse(70019)
	case d.signIn == nil:
		p = refuse(70016)
	default:
		d.redeemed = true
	}
	s.state.mu.Unlock()
	if p != nil {
		return nil, p
	}
	return s.forPerson(*d.signIn, r)
}

// deviceByCode gives a copy of what is known of a device code.
func (s *state) deviceByCode(code string) (device, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.devices[code]; ok {
		return *d, true
	}
	return device{}, false
}

// waiting finds the device code that waits for a user code, as a person types it. The caller holds the lock.
func (s *state) waiting(userCode string, now time.Time) (*device, bool) {
	userCode = strings.ToUpper(strings.TrimSpace(userCode))
	for _, d := range s.devices {
		if d.userCode == userCode && d.signIn == nil && !d.declined && now.Before(d.expires) {
			return d, true
		}
	}
	return nil, false
}

// settle ends the waiting of a user code as end says.
func (s *Server) settle(userCode string, end func(*device)) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	d, ok := s.state.waiting(userCode, s.now())
	if !ok {
		return fmt.Errorf("user code %q: is not waiting for a sign-in: it is unknown, used or expired", userCode)
	}
	end(d)
	return nil
}
