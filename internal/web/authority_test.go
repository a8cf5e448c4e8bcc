package web

import (
	"context"
	"net/url"
	"sync"
	"time"

	"postern/auth/token"
	"postern/internal/secret"
)

// authorizePage is where the fake has people sign in.
const authorizePage = "https://login.example/authorize"

// fakeAuthority is a provider at which everybody who comes is who the test says, and each code works once.
type fakeAuthority struct {
	mu    sync.Mutex
	in    token.SignIn // who signs in next
	fault error        // of a redemption
	down  error        // of a beginning
	used  map[string]bool
	asked []token.CodeRequest // of redemptions
}

func (f *fakeAuthority) AuthorizationURL(_ context.Context, r token.CodeRequest, challenge string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	query := url.Values{"state": {r.State}, "nonce": {r.Nonce}, "redirect_uri": {r.RedirectURI}, "code_challenge": {challenge}}
	if r.Fresh {
		query.Set("prompt", "login")
	}
	query.Set("login_hint", r.LoginHint)
	query.Set("context", r.Context)
	return authorizePage + "?" + query.Encode(), f.down
}

func (f *fakeAuthority) Redeem(_ context.Context, r token.CodeRequest, code secret.Text, _ time.Time) (token.SignIn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if f.used == nil {
		f.used = make(map[string]bool)
	}
	if f.fault != nil || f.used[code.Reveal()] {
		if f.fault == nil {
			return token.SignIn{}, &token.Error{Class: token.Misconfigured, Code: "invalid_grant", AADSTS: []int{54005}}
		}
		return token.SignIn{}, f.fault
	}
	f.used[code.Reveal()] = true
	return f.in, nil
}

// set says who signs in next.
func (f *fakeAuthority) set(who Person, more ...func(*token.SignIn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = token.SignIn{
		Identity: token.Identity{TenantID: who.TenantID, ObjectID: who.ObjectID, Username: who.Username}, Name: who.Name,
		AuthTime: who.SignedInAt, Roles: who.AppRoles,
	}
	for _, change := range more {
		change(&f.in)
	}
}

// fakeEnroller notes who was enrolled.
type fakeEnroller struct {
	mu    sync.Mutex
	by    []string
	fault error
}

func (f *fakeEnroller) Enroll(_ context.Context, _ string, _ token.SignIn, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by = append(f.by, by)
	return f.fault
}
