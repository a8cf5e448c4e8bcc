package gateway

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/auth"
	"postern/auth/apppassword"
	"postern/internal/config"
	"postern/internal/store"
)

// refreshIdle is how long Entra keeps a refresh token that nobody uses (reference C, limits).
const refreshIdle = 90 * 24 * time.Hour

// Stop is something that will not work any more from some time on, or does not work now.
type Stop struct {
	Kind    string // such as password-expiry
	Subject string // what stops, in words
	At      time.Time
	Why     string
	Remedy  string // what keeps it going
}

// Forecast says what will stop before a time, and when and why: what has stopped already and can be mended first, then
// by time. What stops at a time that nobody here knows comes last, with the zero time. Passwords that have expired or were
// revoked are over, and not in it.
func (a *Admin) Forecast(ctx context.Context, now, until time.Time) ([]Stop, error) {
	var all []Stop
	for _, look := range []func(context.Context, time.Time) ([]Stop, error){
		a.passwordStops, a.accountStops, a.credentialStops, a.certificateStops,
	} {
		stops, err := look(ctx, now)
		if err != nil {
			return nil, err
		}
		all = append(all, stops...)
	}
	all = slices.DeleteFunc(all, func(s Stop) bool { return s.At.After(until) })
	slices.SortStableFunc(all, func(a, b Stop) int {
		if a.At.IsZero() != b.At.IsZero() {
			if a.At.IsZero() {
				return 1
			}
			return -1
		}
		return a.At.Compare(b.At)
	})
	return all, nil
}

// passwordStops looks at the app passwords that the configuration has a login for.
func (a *Admin) passwordStops(ctx context.Context, now time.Time) ([]Stop, error) {
	passwords, err := a.Passwords(ctx, "")
	var stops []Stop
	for _, p := range passwords {
		mapping, known := a.directory.Lookup(p.Login)
		if known && p.InForce(now) {
			stops = append(stops, passwordStops(p, mapping)...)
		}
	}
	return stops, err
}

func passwordStops(p apppassword.Record, mapping auth.Mapping) (stops []Stop) {
	subject := fmt.Sprintf("app password %s of %s (%s)", p.ID, p.Login, p.Label)
	mfa := mapping.Policy.MFA
	renew := "postern password renew " + p.ID
	if !mfa.Accepts(config.CommandLine) {
		renew = fmt.Sprintf("the owner proves MFA again, by one of: %s", strings.Join(mfa.Evidence, ", "))
	}
	if !p.Expires.IsZero() {
		stops = append(stops, Stop{"password-expiry", subject, p.Expires, "the password expires",
			fmt.Sprintf("postern password issue %s, and type the new one into the device", p.Login)})
	}
	switch {
	case !mfa.Accepts(p.Evidence.Method):
		stops = append(stops, Stop{"evidence-missing", subject, p.Evidence.At,
			fmt.Sprintf("the policy %s does not accept its evidence, %s", mapping.Policy.Name, p.Evidence.Method), renew})
	case mfa.MaxAge > 0:
		stops = append(stops, Stop{"evidence-age", subject, p.Evidence.At.Add(time.Duration(mfa.MaxAge)),
			fmt.Sprintf("the policy %s lets evidence count for %s", mapping.Policy.Name, mfa.MaxAge), renew})
	}
	return stops
}

// accountStops looks at the accounts whose persons have signed in.
func (a *Admin) accountStops(ctx context.Context, _ time.Time) ([]Stop, error) {
	accounts, err := a.state.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	var stops []Stop
	for _, account := range accounts {
		login := a.directory.LoginOf(accountOf(account))
		if login == "" { // the configuration has none for it any more
			continue
		}
		subject := fmt.Sprintf("account %s at %s", account.Name, account.Provider)
		enroll := "postern user enroll " + login
		switch account.State {
		case store.NeedsSignIn:
			stops = append(stops, Stop{"sign-in-needed", subject, account.Since, account.Reason, enroll})
			continue
		case store.Refused:
			stops = append(stops, Stop{"account-refused", subject, account.Since, account.Reason, "postern user recheck " + login})
			continue
		}
		used, err := a.refreshed(ctx, account)
		if err != nil {
			return nil, err
		}
		stops = append(stops, Stop{"account-idle", subject, used.Add(refreshIdle),
			fmt.Sprintf("its refresh token was last used on %s, and ends after 90 days without use", used.Local().Format(time.DateOnly)),
			"a gateway that runs uses it every week; after that, " + enroll})
	}
	return stops, nil
}

// refreshed gives when an account's refresh token was last used, as far as is known.
func (a *Admin) refreshed(ctx context.Context, account store.Account) (time.Time, error) {
	used, err := a.state.Store.TokensSaved(ctx, account.Provider, account.TenantID, account.ObjectID)
	if used.Before(account.Since) {
		used = account.Since
	}
	return used, err
}

// credentialStops looks at what the gateway signs in to the providers with.
func (a *Admin) credentialStops(context.Context, time.Time) ([]Stop, error) {
	var stops []Stop
	for _, name := range slices.Sorted(maps.Keys(a.config.Providers)) {
		provider := a.config.Providers[name]
		certificate, err := provider.ClientCertificate()
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", name, err)
		}
		switch {
		case !certificate.IsZero():
			end, err := notAfter([]byte(certificate.Reveal()))
			if err != nil {
				return nil, fmt.Errorf("provider %s: the client certificate: %w", name, err)
			}
			stops = append(stops, Stop{"client-certificate", "client certificate of provider " + name, end,
				"the certificate ends", "add a new one to the app registration, then put it into the file"})
		case !provider.ClientSecretExpires.IsZero():
			stops = append(stops, Stop{"client-secret", "client secret of provider " + name, provider.ClientSecretExpires.Time,
				"the secret ends, as client_secret_expires says", "az ad app credential reset --append --id " + provider.ClientID +
					" makes a new one; put it in the place of the old one, and its end into client_secret_expires"})
		case provider.HasSecret():
			stops = append(stops, Stop{Kind: "client-secret", Subject: "client secret of provider " + name,
				Why:    "a secret does not carry the date on which it ends; Entra knows it",
				Remedy: "az ad app credential list --id " + provider.ClientID + " shows it; put it into client_secret_expires"})
		}
	}
	return stops, nil
}

// notAfter gives when the first certificate of a PEM text ends, which is the owner's; the chain comes behind it.
func notAfter(text []byte) (time.Time, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return time.Time{}, errors.New("there is no certificate in it")
		}
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return time.Time{}, err
			}
			return certificate.NotAfter, nil
		}
	}
}
