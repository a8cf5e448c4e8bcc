package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes. A token of a person in very many groups is some 20 kB.
	maxAnswer = 1 << 20
	// httpTimeout bounds one request with its answer.
	httpTimeout = 30 * time.Second
	// maxConnections bounds the requests that are under way at one provider, so that a restart with thousands of
	// accounts asks in turn.
	maxConnections = 128
)

// dialFunc opens a connection, as [net.Dialer.DialContext] does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newHTTPClient makes the client that every request to one provider goes through, MSAL's too. It follows no redirect
// and talks to the given hosts alone, over verified TLS (threat model I-17). A nil dial is the network's.
func newHTTPClient(hosts []string, discoveryPath string, scopes []string, roots *x509.CertPool, dial dialFunc, pace *pace) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	t := &transport{
		base: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 25 * time.Second,
			IdleConnTimeout:       90 * time.Second,
			MaxConnsPerHost:       maxConnections,
			MaxIdleConnsPerHost:   8,
		},
		hosts:     make(map[string]bool),
		scopes:    scopes,
		discovery: newDiscovery(discoveryPath),
		pace:      pace,
	}
	for _, host := range hosts {
		t.hosts[host] = true
	}
	return &http.Client{
		Transport:     t,
		Timeout:       httpTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport stands between MSAL and the network. It keeps requests to where they may go, bounds the answers, mends the
// one thing in them that MSAL stumbles over, and notes what they said for the [call] that the request belongs to: MSAL's
// errors lose Retry-After and show secrets.
type transport struct {
	base      *http.Transport
	hosts     map[string]bool // host, with its port if it has one
	scopes    []string        // the delegated scopes that are asked for
	discovery *discovery
	pace      *pace
}

// errTooLong ends the reading of an answer that is no token answer.
var errTooLong = errors.New("the answer is too long")

// foreignHostError is a request that was not sent, since it was for a host that is not on the list.
type foreignHostError struct{ host string }

func (e *foreignHostError) Error() string {
	return fmt.Sprintf("host %q is not the provider's", e.host)
}

// RoundTrip sends a request and reads its whole answer.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	c := callOf(request.Context())
	c.asked, c.answer = true, answer{} // what an earlier request of the call was told says nothing of this one
	if request.URL.Scheme != "https" || !t.hosts[strings.ToLower(request.URL.Host)] {
		closeBody(request)
		return nil, &foreignHostError{host: request.URL.Host}
	}
	if request.Method == http.MethodGet && strings.EqualFold(request.URL.Path, t.discovery.path) {
		return t.discovery.serve(request, func() (*http.Response, []byte, error) { return t.send(request, c) })
	}
	if err := c.wait(request.Context()); err != nil {
		closeBody(request)
		return nil, err
	}
	if c.account == (Account{}) {
		t.pace.count()
	}
	response, _, err := t.send(request, c)
	if err == nil {
		t.pace.heed(c.account, c.answer)
	}
	return response, err
}

// closeBody does what a RoundTripper owes to a request that it does not send.
func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// send sends a request, and gives the response with its content read, and the content.
func (t *transport) send(request *http.Request, c *call) (*http.Response, []byte, error) {
	response, err := t.base.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	_ = response.Body.Close()
	if err != nil {
		return nil, nil, err
	}
	if len(content) > maxAnswer {
		return nil, nil, errTooLong
	}
	if request.Method == http.MethodPost && response.StatusCode == http.StatusOK {
		content = alignScopes(content, t.scopes)
	}
	c.note(response, content, t.scopes)
	setContent(response, content)
	return response, content, nil
}

// setContent puts content in the place of a response's body.
func setContent(response *http.Response, content []byte) {
	response.Body = io.NopCloser(bytes.NewReader(content))
	response.ContentLength = int64(len(content))
	response.Header.Del("Content-Length")
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through to the network's side.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }
