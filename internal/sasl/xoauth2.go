package sasl

import (
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"

	"postern/internal/secret"
)

// MechXOAUTH2 is the name of the mechanism that carries an OAuth 2.0 access token
// (developers.google.com/workspace/gmail/imap/xoauth2-protocol; Exchange Online takes the same message).
const MechXOAUTH2 = "XOAUTH2"

// XOAUTH2 gives the initial response that opens user's mailbox with an access token:
//
//	user=USER ^A auth=Bearer TOKEN ^A ^A
//
// A user or token that could break out of its field is refused.
func XOAUTH2(user string, token secret.Text) ([]byte, error) {
	if !validUser(user) {
		return nil, fmt.Errorf("XOAUTH2 user %q: %w", user, ErrMalformed)
	}
	if !validToken(token.Reveal()) {
		return nil, fmt.Errorf("XOAUTH2 token: %w", ErrMalformed)
	}
	return []byte("user=" + user + "\x01auth=Bearer " + token.Reveal() + "\x01\x01"), nil
}

// ParseXOAUTH2 reads what [XOAUTH2] makes, strictly.
func ParseXOAUTH2(message []byte) (user string, token secret.Text, err error) {
	user, rest, ok := strings.Cut(string(message), "\x01")
	if user, ok = cutPrefix(user, "user=", ok); !ok || !validUser(user) {
		return "", secret.Text{}, ErrMalformed
	}
	rest, ok = cutPrefix(rest, "auth=Bearer ", true)
	bearer, terminated := strings.CutSuffix(rest, "\x01\x01")
	if !ok || !terminated || !validToken(bearer) {
		return "", secret.Text{}, ErrMalformed
	}
	return user, secret.New(bearer), nil
}

// cutPrefix is strings.CutPrefix with an earlier verdict carried along.
func cutPrefix(s, prefix string, ok bool) (string, bool) {
	after, found := strings.CutPrefix(s, prefix)
	return after, ok && found
}

// validToken reports whether s is a bearer token of RFC 6750 section 2.1: visible ASCII without spaces.
func validToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f })
}

// NewXOAUTH2Client gives the client's side of XOAUTH2. Where the server refuses in Google's way, with a challenge that
// describes the error, it answers with the empty response that the protocol asks for, after which the server sends its
// refusal; an error here would break the dialogue off instead.
func NewXOAUTH2Client(user string, token secret.Text) sasl.Client {
	return &xoauth2Client{user: user, token: token}
}

type xoauth2Client struct {
	user  string
	token secret.Text
}

func (c *xoauth2Client) Start() (mechanism string, initial []byte, err error) {
	initial, err = XOAUTH2(c.user, c.token)
	return MechXOAUTH2, initial, err
}

func (c *xoauth2Client) Next([]byte) (response []byte, err error) { return []byte{}, nil }
