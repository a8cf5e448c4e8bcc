package token

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/coreos/go-oidc/v3/oidc"

	"postern/internal/secret"
)

// MicrosoftConfig is what a Microsoft tenant is asked with.
type MicrosoftConfig struct {
	// Authority is the https URL of the tenant, such as https://login.microsoftonline.com/contoso.onmicrosoft.com.
	Authority string // required
	ClientID  string // required: the application's id
	// Scopes are the delegated permissions to ask for, each with its resource before it, such as
	// https://outlook.office.com/SMTP.Send. Required where accounts are delegated.
	Scopes []string
	// ApplicationScope is the mail resource and /.default. Required where accounts are the application's.
	ApplicationScope string
	// The application's credential: one of what follows, or none for a public client. The certificate is PEM: the
	// certificate, or a chain, and its RSA private key, unencrypted.
	ClientSecret, ClientCertificate secret.Text
	// ClientAssertion reads the token of a federated credential (RFC 7523 section 2.2), anew for each request. Its errors
	// name no secret. Safe for concurrent use.
	ClientAssertion func() (secret.Text, error)
	// ManagedIdentity is [SystemIdentity], or the client id of an identity that is assigned to this Azure machine;
	// TokenExchange is then what its token is asked for, such as api://AzureADTokenExchange.
	ManagedIdentity, TokenExchange string
	// Predecessor is the provider whose place this one takes, or nil. The pace of requests to the same tenant goes on: what
	// Entra asked of the one holds for the other.
	Predecessor *Microsoft
	// Roots verify the authority's certificate; nil means the system's.
	Roots *x509.CertPool
}

// Microsoft is one tenant with one application of it, as a provider of tokens. It is safe for concurrent use.
type Microsoft struct {
	authority        string // in lower case, as MSAL compares it; no slash at the end
	host, tenant     string
	hosts            []string // the host's names, itself among them
	clientID         string
	scopes           []string
	applicationScope string
	credential       *confidential.Credential // nil for a public client
	client           *http.Client
	pace             *pace

	mu      sync.Mutex
	keysURL string
	keys    oidc.KeySet // of keysURL
}

// sharedTenants are authorities that are no tenant: whoever signed in there could be of any.
var sharedTenants = []string{"common", "organizations", "consumers"}

// authorityAliases are the names of one cloud's Entra: its discovery document may lead to any of them (reference A.1).
var authorityAliases = [][]string{
	{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
	{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
}

// NewMicrosoft makes a provider. It asks nothing yet; the error names the setting that cannot work.
func NewMicrosoft(c MicrosoftConfig) (*Microsoft, error) { return newMicrosoft(c, nil) }

func newMicrosoft(c MicrosoftConfig, dial dialFunc) (*Microsoft, error) {
	authority := strings.TrimSuffix(strings.ToLower(c.Authority), "/")
	u, err := url.Parse(authority)
	tenant := ""
	if err == nil {
		tenant = strings.TrimPrefix(u.Path, "/")
	}
	// adfs and dstsv2 are no tenants: they switch MSAL to other services (reference G.3).
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		tenant == "" || strings.Contains(tenant, "/") || tenant == "adfs" || tenant == "dstsv2" {
		return nil, fmt.Errorf("authority %q: must be https, a host and the tenant, such as "+
			"https://login.microsoftonline.com/contoso.onmicrosoft.com", c.Authority)
	}
	if c.ClientID == "" {
		return nil, errors.New("client id: must be set to the application's id")
	}
	credential, err := newCredential(c)
	if err != nil {
		return nil, err
	}
	hosts := []string{u.Host}
	for _, aliases := range authorityAliases {
		if slices.Contains(aliases, u.Host) {
			hosts = aliases
		}
	}
	pace := newPace()
	if c.Predecessor != nil && c.Predecessor.authority == authority {
		pace = c.Predecessor.pace
	}
	return &Microsoft{
		authority: authority, host: u.Host, tenant: tenant, hosts: hosts,
		clientID: c.ClientID, scopes: c.Scopes, applicationScope: c.ApplicationScope, credential: credential,
		client: newHTTPClient(hosts, discoveryPath(tenant), c.Scopes, c.Roots, dial, pace), pace: pace,
	}, nil
}

// discoveryPath is where a tenant's discovery document is below its host (reference F.1).
func discoveryPath(tenant string) string {
	return "/" + tenant + "/v2.0/.well-known/openid-configuration"
}

// request is a request for one account's token.
type request struct {
	account  Account
	identity Identity // of a delegated account's person
	// current is the token that is to be replaced; zero when there is none.
	current secret.Text
	// force asks the provider even if another process has fetched a newer token meanwhile.
	force bool
}

// fetch gets a token. The second result reports whether the provider was asked: another process that shares the store
// may have fetched a newer one, which serves as well (threat model I-20). A token is returned only once the refresh
// token that came with it is durable (I-22).
func (m *Microsoft) fetch(ctx context.Context, store Store, r request) (Access, bool, *Error) {
	way := m.delegated
	if r.account.Grant == Application {
		way = m.application
	}
	w, failed := way(r)
	if failed != nil {
		return Access{}, false, failed
	}
	p, access, failed := w.look(ctx, store)
	if failed != nil || !access.Token.IsZero() {
		return access, false, failed
	}
	done, failed := m.pace.turn(ctx, r.account)
	if failed != nil {
		return Access{}, false, failed
	}
	defer done()
	release, failed := lease(ctx, store, r.account, w.lease)
	if failed != nil {
		return Access{}, false, failed
	}
	defer release()
	// Whoever had the lease before may have brought what is wanted.
	if p, access, failed = w.look(ctx, store); failed != nil || !access.Token.IsZero() {
		return access, false, failed
	}
	asking, cancel := context.WithTimeout(ctx, httpTimeout) // for all requests of it together
	defer cancel()
	access, asked, failed := w.ask(asking, p)
	if failed != nil {
		return Access{}, asked, failed
	}
	return access, true, save(ctx, store, r.account, p)
}

// way is how one account's token is had.
type way struct {
	lease CacheKey // whose lease it takes to ask
	// look reads what is kept, and gives the access token in it where that will do.
	look func(ctx context.Context, store Store) (place, Access, *Error)
	// ask asks the provider, with what is kept, and puts the answer there. It reports whether a request was made.
	ask func(ctx context.Context, p place) (Access, bool, *Error)
}

// place is a kept row and where it is kept.
type place struct {
	key CacheKey
	row *cacheRow
}

// saveTime bounds the saving of what the provider gave; it is not cut short by the end of the request that led to it.
const saveTime = 15 * time.Second

// save makes a row durable in its place.
func save(ctx context.Context, store Store, account Account, p place) *Error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := store.SaveCache(ctx, p.key, p.row.content); err != nil {
		return storeError(account, err)
	}
	return nil
}

// storeError is a failure of the store: time, or the disk's owner, mends it.
func storeError(account Account, err error) *Error {
	return &Error{Account: account, Class: Temporary, Advice: "the store does not answer as it should", cause: err}
}

// newer gives the row's access token where it can stand in for the one that is to be replaced; none where it cannot.
func (c contract) newer(r request, clientID string, scopes []string) Access {
	access, ok := c.access(clientID, scopes)
	if !ok || r.force || access.Token.Equal(r.current) || !access.fresh(time.Now()) {
		return Access{}
	}
	return access
}

// granted gives the access token of an answer. Its life is counted by the monotonic clock from when it came, so that it
// does not change when the clock is set (threat model I-48).
func granted(token string, obtained, expires time.Time) Access {
	return Access{Token: secret.New(token), Obtained: obtained, Expires: obtained.Add(expires.Round(0).Sub(obtained.Round(0)))}
}
