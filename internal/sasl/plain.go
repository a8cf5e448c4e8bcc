package sasl

import (
	"strings"

	"github.com/emersion/go-sasl"

	"postern/internal/secret"
)

// PlainAuthenticator takes the credentials of a PLAIN exchange. identity is who the client wants to act as; empty
// when it names nobody. It decides; its error ends the exchange.
type PlainAuthenticator func(identity, username string, password secret.Text) error

// NewPlainServer gives the server's side of PLAIN (RFC 4616). go-sasl's own takes any number of NULs and hands the
// password on as a string.
func NewPlainServer(authenticate PlainAuthenticator) sasl.Server {
	return &plainServer{authenticate: authenticate}
}

type plainServer struct {
	authenticate PlainAuthenticator
	done         bool
}

// Next takes the one message of PLAIN; a nil response asks for it with an empty challenge.
func (s *plainServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.done {
		return nil, false, ErrUnexpected
	}
	if response == nil {
		return []byte{}, false, nil
	}
	s.done = true
	identity, username, password, err := parsePlain(string(response))
	if err != nil {
		return nil, true, err
	}
	return nil, true, s.authenticate(identity, username, secret.New(password))
}

// parsePlain reads [authzid] NUL authcid NUL passwd (RFC 4616 section 2): exactly two NULs.
func parsePlain(message string) (identity, username, password string, err error) {
	fields := strings.Split(message, "\x00")
	if len(fields) != 3 {
		return "", "", "", ErrMalformed
	}
	identity, username, password = fields[0], fields[1], fields[2]
	if identity != "" && !validUser(identity) || !validUser(username) || password == "" || !validField(password) {
		return "", "", "", ErrMalformed
	}
	return identity, username, password, nil
}
