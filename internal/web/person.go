package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Person is somebody who signed in with a provider. TenantID and ObjectID say who it is; the names are labels that can
// change hands (ASVS 10.3.3).
type Person struct {
	Provider string // name in the configuration
	TenantID string
	ObjectID string
	Username string // user principal name as the provider shows it
	Name     string // written by the person, or by a stranger
	// Guest is somebody whom the tenant has invited: their username proves nothing.
	Guest bool `json:",omitempty"`
	// AppRoles are the application's roles that the provider says they have.
	AppRoles []string
	// SignedInAt is when they proved to the provider who they are (auth_time); the zero time if the provider did not say.
	SignedInAt time.Time
	// Evidence is what they have proved since this session began, the latest of each method.
	Evidence []Evidence
	// Role is what they are to the portal from where this request came. It is worked out anew for each.
	Role Role `json:"-"`
}

// Evidence is a second factor that was proved.
type Evidence struct {
	Method string // totp, passkey, acrs:c1 or amr:mfa, as the policies' mfa.evidence names them
	At     time.Time
	Factor string `json:",omitempty"` // id of the factor, of totp and passkey
}

// Same reports whether two persons are one.
func (p Person) Same(other Person) bool {
	return p.Provider == other.Provider && p.TenantID == other.TenantID && p.ObjectID == other.ObjectID
}

// prove adds evidence, in the place of older evidence of its method.
func (p *Person) prove(e Evidence) {
	for i := range p.Evidence {
		if p.Evidence[i].Method == e.Method {
			p.Evidence[i] = e
			return
		}
	}
	p.Evidence = append(p.Evidence, e)
}

// personKey is the place of the session's key in a request's context.
type visitKey struct{}

// visit is a request of somebody who is signed in.
type visit struct {
	person Person
	cookie string // the session's cookie
}

// personOf gives who sent a request, in a handler behind [Portal.require].
func personOf(r *http.Request) Person { return visitOf(r).person }

func visitOf(r *http.Request) visit {
	v, _ := r.Context().Value(visitKey{}).(visit)
	return v
}

func withVisit(r *http.Request, v visit) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
}

// actor names who sent a request for the audit log: name, object id, role and address.
func actor(r *http.Request) string {
	who := personOf(r)
	return fmt.Sprintf("%s (%s, %s) at %s", who.Username, who.ObjectID, who.Role, r.RemoteAddr)
}

// splitActor takes apart what actor has made: the name, and the address with its port. Somebody else's text is a name.
func splitActor(by string) (name, remote string) {
	name, rest, found := strings.Cut(by, " (")
	if !found {
		return by, ""
	}
	_, remote, _ = strings.Cut(rest, ") at ")
	return name, remote
}

// remote gives the address that a request came from. Headers that say something else are not looked at (threat model I-36).
func remote(r *http.Request) netip.Addr {
	address, _ := netip.ParseAddrPort(r.RemoteAddr)
	return address.Addr()
}
