package token

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

// maxSignInTime bounds a sign-in by device code, whatever the provider says of the code's life.
const maxSignInTime = 30 * time.Minute

var userCodeForm = regexp.MustCompile(`^[A-Za-z0-9-]{4,32}$`)

// signInByDeviceCode has a person sign in (RFC 8628). It gives the row with their tokens and the ID token, as yet
// unverified.
func (m *Microsoft) signInByDeviceCode(ctx context.Context, account Account, show func(DeviceCode)) (*cacheRow, string, *Error) {
	signIn, cancel := context.WithTimeout(ctx, maxSignInTime)
	defer cancel()
	row, c := new(cacheRow), &call{paced: true}
	signIn = withCall(signIn, c)
	client, err := m.publicClient(row)
	if err != nil {
		return nil, "", m.failure(account, c.answer, err)
	}
	code, err := client.AcquireTokenByDeviceCode(signIn, m.scopes)
	if err != nil {
		return nil, "", m.failure(account, c.answer, err)
	}
	page, err := url.Parse(code.Result.VerificationURL)
	// What is shown to a person at a terminal comes from the network (threat model I-38).
	if err != nil || page.Scheme != "https" || !userCodeForm.MatchString(code.Result.UserCode) {
		return nil, "", &Error{Account: account, Class: Temporary, Advice: "the answer of " + m.host + " has no usable device code in it"}
	}
	show(DeviceCode{UserCode: code.Result.UserCode, VerificationURL: page.String(), Expires: code.Result.ExpiresOn})
	result, err := code.AuthenticationResult(signIn)
	switch {
	case ctx.Err() != nil:
		return nil, "", &Error{Account: account, Class: Temporary, Advice: "the sign-in was given up", cause: ctx.Err()}
	case errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(code.Result.ExpiresOn):
		return nil, "", m.failure(account, answer{status: http.StatusBadRequest, code: "expired_token"}, nil)
	case err != nil:
		return nil, "", m.failure(account, c.answer, err)
	}
	return row, result.IDToken.RawToken, nil
}
