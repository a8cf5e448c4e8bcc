package web

import (
	"net/http"
	"net/url"
	"strings"

	"postern/auth/factor"
	"postern/internal/config"
)

// proven gives the second factor that the sender of a request has proved within the last ten minutes and that mfa accepts,
// the latest if there are several. Where there is none it sends the browser to prove one and to come back to the page
// back, and reports false: the handler is done.
func (p *Portal) proven(w http.ResponseWriter, r *http.Request, mfa config.MFA, back string) (Evidence, bool) {
	latest, found, err := p.freshProof(r, mfa)
	switch {
	case err != nil:
		p.unavailable(w, r, "looking at a second factor", err)
	case !found:
		redirect(w, r, provePath(mfa, back))
	}
	return latest, found
}

// freshProof gives what proven does, and leaves it to the handler what to do where there is none.
func (p *Portal) freshProof(r *http.Request, mfa config.MFA) (latest Evidence, found bool, err error) {
	for _, e := range personOf(r).Evidence {
		if !mfa.Accepts(e.Method) || !factor.IsFresh(e.At, p.now()) || !e.At.After(latest.At) {
			continue
		}
		holds, err := p.holds(r, e)
		if err != nil {
			return Evidence{}, false, err
		}
		if holds {
			latest, found = e, true
		}
	}
	return latest, found, nil
}

// holds reports whether evidence counts still: a proof by a factor that was removed since does not.
func (p *Portal) holds(r *http.Request, e Evidence) (bool, error) {
	if e.Factor == "" {
		return true, nil
	}
	_, err := p.config.Factors.Factor(r.Context(), ownerOf(personOf(r)), e.Factor)
	if factor.ReasonOf(err) == factor.UnknownFactor {
		return false, nil
	}
	return err == nil, err
}

// provePath is the page that asks for one of the proofs that mfa accepts, and leads back to another.
func provePath(mfa config.MFA, back string) string {
	query := url.Values{"return": {back}}
	if len(mfa.Evidence) > 0 {
		query.Set("for", strings.Join(mfa.Evidence, ","))
	}
	return "/factors/prove?" + query.Encode()
}

// ownerOf is who somebody is to package factor.
func ownerOf(who Person) factor.Person {
	return factor.Person{TenantID: who.TenantID, ObjectID: who.ObjectID}
}
