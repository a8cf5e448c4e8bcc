package entra

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// shared reports whether a tenant's name stands for all tenants.
func shared(name string) bool { return name == "common" || name == "organizations" }

// named checks the tenant in a request's path, where one tenant must be meant.
func (s *Server) named(r *http.Request) *problem {
	name := r.PathValue("tenant")
	switch {
	case s.tenant.Is(name):
		return nil
	case shared(name):
		return refuse(50194)
	}
	return refuse(90002).says("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the "+
		"correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", name)
}

// issuer is the iss of id tokens.
func (s *Server) issuer() string { return s.url + "/" + s.tenant.ID + "/v2.0" }

// openIDConfiguration serves the discovery document (reference F.1).
func (s *Server) openIDConfiguration(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("tenant")
	issuer := s.issuer()
	if shared(name) {
		issuer = s.url + "/{tenantid}/v2.0" // literally: the reader puts the token's tid in
	} else if p := s.named(r); p != nil {
		s.fail(w, r, p)
		return
	}
	base := s.url + "/" + name
	host := strings.TrimPrefix(s.url, "https://")
	w.Header().Set("Cache-Control", "max-age=86400, private")
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"issuer":                                issuer,
		"request_uri_parameter_supported":       false,
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"device_authorization_endpoint":         base + "/oauth2/v2.0/devicecode",
		"end_session_endpoint":                  base + "/oauth2/v2.0/logout",
		"http_logout_supported":                 true,
		"frontchannel_logout_supported":         true,
		"claims_supported": strings.Fields("sub iss cloud_instance_name cloud_instance_host_name cloud_graph_host_name msgraph_host " +
			"aud exp iat auth_time acr nonce preferred_username name tid ver at_hash c_hash email"),
		"tenant_region_scope":   "EU",
		"cloud_instance_name":   host,
		"cloud_graph_host_name": "graph.windows.net",
		"msgraph_host":          "graph.microsoft.com",
	})
}

// publishedKeys serves the key set.
func (s *Server) publishedKeys(w http.ResponseWriter, r *http.Request) {
	if p := s.named(r); p != nil && !shared(r.PathValue("tenant")) {
		s.fail(w, r, p)
		return
	}
	w.Header().Set("Cache-Control", "max-age=86400, private")
	writeJSON(w, http.StatusOK, map[string]any{"keys": s.keys.published(s.issuer())})
}

// cloudHosts are the names of the worldwide cloud's Entra (reference A.1), for gateways that are told to find the real
// names here.
var cloudHosts = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

// instanceDiscovery tells which authorities are of one cloud.
func (s *Server) instanceDiscovery(w http.ResponseWriter, r *http.Request) {
	endpoint, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || endpoint.Scheme != "https" {
		s.fail(w, r, refuse(50049))
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(endpoint.Path, "/"), "/")
	var aliases []string
	own := strings.TrimPrefix(s.url, "https://")
	switch host := strings.ToLower(endpoint.Host); {
	case host == own:
		aliases = []string{own}
	case oneOf(cloudHosts, host):
		aliases = cloudHosts
	default:
		s.fail(w, r, refuse(50049))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + endpoint.Host + "/" + name + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{
			{"preferred_network": aliases[0], "preferred_cache": aliases[0], "aliases": aliases},
		},
	})
}

// writeJSON answers with a JSON object.
func writeJSON(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(content) // an error means that the client has gone
}
