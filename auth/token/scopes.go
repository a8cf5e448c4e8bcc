package token

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// outlookHosts are the spellings of the mail resource in each cloud: the same resource, the same audience to Exchange
// (reference A.1, A.3; for DoD the sources disagree).
var outlookHosts = [][]string{
	{"outlook.office.com", "outlook.office365.com"},
	{"outlook.office365.us", "outlook-dod.office365.us"},
}

// alignScopes gives a token answer whose scope spells the resource as it was asked for, where Entra chose the other
// spelling. MSAL compares scopes as texts: it takes another spelling for a scope that was declined and drops the token,
// and with it the rotated refresh token (reference G.4.1). What is no token answer is given back as it is.
func alignScopes(answer []byte, wanted []string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(answer, &fields) != nil {
		return answer
	}
	var scope string
	if json.Unmarshal(fields["scope"], &scope) != nil {
		return answer
	}
	granted := strings.Fields(scope)
	changed := false
	for i, g := range granted {
		if j := slices.IndexFunc(wanted, func(w string) bool { return sameScope(g, w) }); j >= 0 && granted[i] != wanted[j] {
			granted[i], changed = wanted[j], true
		}
	}
	if !changed {
		return answer
	}
	fields["scope"], _ = json.Marshal(strings.Join(granted, " ")) // a string always marshals
	aligned, err := json.Marshal(fields)
	if err != nil {
		return answer
	}
	return aligned
}

// sameScope reports whether two scopes are the same permission of the same resource.
func sameScope(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	u, errU := url.Parse(a)
	v, errV := url.Parse(b)
	if errU != nil || errV != nil || u.Scheme != "https" || v.Scheme != "https" || !strings.EqualFold(u.Path, v.Path) {
		return false
	}
	return slices.ContainsFunc(outlookHosts, func(cloud []string) bool {
		return slices.Contains(cloud, strings.ToLower(u.Host)) && slices.Contains(cloud, strings.ToLower(v.Host))
	})
}
