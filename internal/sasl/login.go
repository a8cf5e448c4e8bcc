package sasl

import (
	"github.com/emersion/go-sasl"

	"postern/internal/secret"
)

// LoginAuthenticator takes the credentials of a LOGIN exchange. It decides; its error ends the exchange.
type LoginAuthenticator func(username string, password secret.Text) error

// NewLoginServer gives the server's side of LOGIN (draft-murchison-sasl-login), with the classic prompts that devices
// look for. The user name may come as the initial response, as some of them send it.
func NewLoginServer(authenticate LoginAuthenticator) sasl.Server {
	return &loginServer{authenticate: authenticate}
}

type loginServer struct {
	authenticate LoginAuthenticator
	asked        bool // the user name has been asked for
	username     string
	done         bool
}

// Next takes the user name and then the password.
func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.done:
		return nil, false, ErrUnexpected
	case response == nil && !s.asked:
		s.asked = true
		return []byte("Username:"), false, nil
	case s.username == "":
		if !validUser(string(response)) {
			s.done = true
			return nil, true, ErrMalformed
		}
		s.username = string(response)
		return []byte("Password:"), false, nil
	}
	s.done = true
	if len(response) == 0 || !validField(string(response)) {
		return nil, true, ErrMalformed
	}
	return nil, true, s.authenticate(s.username, secret.New(string(response)))
}
