package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"postern/internal/secret"
)

// SystemIdentity is the [MicrosoftConfig.ManagedIdentity] of the machine's own identity.
const SystemIdentity = "system"

const (
	// managedTime bounds one request for the machine's identity, with MSAL's three attempts.
	managedTime = 15 * time.Second
	// maxManagedAnswer bounds its answer, in bytes.
	maxManagedAnswer = 64 << 10
)

// managed is the identity of the Azure machine on which this runs: the service of the machine gives a token for it, which
// Entra takes as the application's federated credential (reference G.1). No secret is kept anywhere.
type managed struct {
	// mu lets one request through at a time: MSAL's client has a data race (reference G.4.10).
	mu       sync.Mutex
	client   managedidentity.Client
	audience string
}

// managedCredential makes the credential of a managed identity: the machine's own, or one that is assigned to it, by its
// client id. audience is what Entra wants to be asked for.
func managedCredential(identity, audience string) (confidential.Credential, error) {
	source, err := managedidentity.GetSource()
	if err == nil && source == managedidentity.ServiceFabric {
		err = errors.New("Service Fabric's identities are not supported")
	}
	var client managedidentity.Client
	if err == nil {
		id := managedidentity.SystemAssigned()
		if identity != SystemIdentity {
			id = managedidentity.UserAssignedClientID(identity)
		}
		client, err = managedidentity.New(id, managedidentity.WithHTTPClient(managedHTTPClient()))
	}
	if err != nil {
		return confidential.Credential{}, fmt.Errorf("managed identity: %w", err)
	}
	return assertionCredential((&managed{client: client, audience: audience}).assertion), nil
}

// managedHTTPClient makes the client for the machine's own service. Where that is, MSAL knows: a fixed address of the
// platform, or what the platform has put into the environment. No proxy is asked for it and no redirect followed (threat
// model I-17, I-39); no secret of ours is sent there.
func managedHTTPClient() *http.Client {
	return &http.Client{
		Timeout: managedTime,
		Transport: boundedTransport{&http.Transport{
			Proxy: nil, DisableKeepAlives: true, ResponseHeaderTimeout: managedTime,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// boundedTransport cuts answers off where they are too long to be one.
type boundedTransport struct{ base *http.Transport }

func (t boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(request)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxManagedAnswer), response.Body}
	}
	return response, err
}

// assertion gives the machine's token. MSAL keeps it until shortly before it ends. The error is a *credentialError.
func (m *managed) assertion(ctx context.Context) (secret.Text, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, managedTime)
	defer cancel()
	result, err := m.client.AcquireToken(ctx, m.audience)
	if err == nil {
		return secret.New(result.AccessToken), nil
	}
	var refused msal.CallErr
	if errors.As(err, &refused) && refused.Resp != nil && refused.Resp.StatusCode < 500 && refused.Resp.StatusCode != http.StatusTooManyRequests {
		return secret.Text{}, &credentialError{Misconfigured, fmt.Sprintf("managed_identity of provider {provider}: this machine does not have that "+
			"identity (HTTP %d): assign it to the machine, or name the client id of one that is", refused.Resp.StatusCode)}
	}
	// The text of the error may quote the answer.
	return secret.Text{}, &credentialError{Temporary, "managed_identity of provider {provider}: Azure's service for identities does not answer; " +
		"outside of Azure there is none"}
}
