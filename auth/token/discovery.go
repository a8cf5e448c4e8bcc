package token

import (
	"encoding/json"
	"net/http"
	"time"
)

// discoveryLife is how long a discovery document is used; Entra says as much in its Cache-Control (reference F.1).
const discoveryLife = 24 * time.Hour

// discovery keeps the one discovery document of a provider. MSAL keeps it in the client, and here each refresh has a
// client of its own (reference G.3). Safe for concurrent use.
type discovery struct {
	path string
	// turn holds one value, which is taken to use the fields below: a caller can stop waiting for it.
	turn     chan struct{}
	content  []byte
	obtained time.Time
}

func newDiscovery(path string) *discovery {
	return &discovery{path: path, turn: make(chan struct{}, 1)}
}

// serve answers a request for the document: from memory, or with what fetch brings. Only a document that names its
// endpoints is kept.
func (d *discovery) serve(request *http.Request, fetch func() (*http.Response, []byte, error)) (*http.Response, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	if d.content != nil && time.Since(d.obtained) < discoveryLife {
		response := &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header:  http.Header{"Content-Type": {"application/json; charset=utf-8"}},
			Request: request,
		}
		setContent(response, d.content)
		return response, nil
	}
	response, content, err := fetch()
	if err != nil {
		return nil, err
	}
	if _, ok := parseDiscovery(content); ok && response.StatusCode == http.StatusOK {
		d.content, d.obtained = content, time.Now()
	}
	return response, nil
}

// document is the part of a discovery document that is used here (OpenID Connect Discovery 1.0 section 3).
type document struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	KeysURL       string `json:"jwks_uri"`
}

// parseDiscovery reads a discovery document; false when it is none.
func parseDiscovery(content []byte) (document, bool) {
	var d document
	err := json.Unmarshal(content, &d)
	return d, err == nil && d.Issuer != "" && d.TokenEndpoint != "" && d.KeysURL != ""
}
