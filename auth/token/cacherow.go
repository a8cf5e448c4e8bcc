package token

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"

	"postern/internal/secret"
)

// cacheRow is the serialized cache of one MSAL client: of one person, or of one application. It is MSAL's
// [cache.ExportReplace], and keeps what MSAL exports in memory only: the caller looks at the result before it saves the
// row, so that a record never holds another account's material.
//
// One row, one client: the hints of MSAL's partitions are ignored on purpose (reference G.2). Not safe for concurrent
// use.
type cacheRow struct {
	content []byte // JSON; empty for a new row
}

// Replace gives MSAL the row. An empty row empties MSAL's memory as well: leaving it as it is is how one account's
// tokens get into another's record.
func (r *cacheRow) Replace(_ context.Context, into cache.Unmarshaler, _ cache.ReplaceHints) error {
	if len(r.content) == 0 {
		return into.Unmarshal([]byte("{}"))
	}
	return into.Unmarshal(r.content)
}

// Export takes the row from MSAL.
func (r *cacheRow) Export(_ context.Context, from cache.Marshaler, _ cache.ExportHints) (err error) {
	r.content, err = from.Marshal()
	return err
}

// contract is the part of MSAL's cache format that is read here. The format is shared by the MSALs of all languages and
// cannot change without them (apps/internal/base/storage/items.go, v1.10.1).
type contract struct {
	AccessTokens map[string]struct {
		HomeAccountID string   `json:"home_account_id"`
		ClientID      string   `json:"client_id"`
		Secret        string   `json:"secret"`
		Target        string   `json:"target"` // scopes
		CachedAt      unixTime `json:"cached_at"`
		ExpiresOn     unixTime `json:"expires_on"`
	} `json:"AccessToken"`
	RefreshTokens map[string]struct {
		HomeAccountID string `json:"home_account_id"`
	} `json:"RefreshToken"`
	Accounts map[string]struct {
		HomeAccountID  string `json:"home_account_id"`
		LocalAccountID string `json:"local_account_id"` // object id
	} `json:"Account"`
}

// unixTime is a time that the format writes as a quoted number of seconds.
type unixTime struct{ at time.Time }

// UnmarshalText reads the number.
func (t *unixTime) UnmarshalText(text []byte) error {
	seconds, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("a time is not a number of seconds")
	}
	t.at = time.Unix(seconds, 0)
	return nil
}

// parse reads the row. Its errors do not show the content, which is secret.
func (r *cacheRow) parse() (contract, error) {
	var c contract
	if len(r.content) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(r.content, &c); err != nil {
		return contract{}, fmt.Errorf("the token cache is not in MSAL's format")
	}
	return c, nil
}

// dropAccessTokens leaves MSAL nothing to answer from, so that its next silent call asks the provider, once
// (reference G.2).
func (r *cacheRow) dropAccessTokens() error {
	if len(r.content) == 0 {
		return nil
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(r.content, &sections); err != nil {
		return fmt.Errorf("the token cache is not in MSAL's format")
	}
	delete(sections, "AccessToken")
	content, err := json.Marshal(sections)
	if err != nil {
		return fmt.Errorf("writing the token cache without its access tokens")
	}
	r.content = content
	return nil
}

// access gives the access token that the row holds for a client and all of some scopes; false when it holds none.
func (c contract) access(clientID string, scopes []string) (Access, bool) {
	for _, t := range c.AccessTokens {
		if t.Secret != "" && strings.EqualFold(t.ClientID, clientID) && covers(strings.Fields(t.Target), scopes) {
			return Access{Token: secret.New(t.Secret), Obtained: t.CachedAt.at, Expires: t.ExpiresOn.at}, true
		}
	}
	return Access{}, false
}

// belongsTo reports whether the row is of one person, by object id, and holds nothing of another (threat model I-19).
func (c contract) belongsTo(identity Identity) bool {
	homes := make(map[string]bool) // home account ids: of a guest, not its object id in this tenant
	for _, a := range c.Accounts {
		if a.LocalAccountID != identity.ObjectID {
			return false
		}
		homes[a.HomeAccountID] = true
	}
	for _, t := range c.RefreshTokens {
		homes[t.HomeAccountID] = true
	}
	for _, t := range c.AccessTokens {
		homes[t.HomeAccountID] = true
	}
	return len(c.Accounts) > 0 && len(homes) == 1
}

// home gives the home account id of the row's person; empty when it has none.
func (c contract) home() string {
	for _, a := range c.Accounts {
		return a.HomeAccountID
	}
	return ""
}

// covers reports whether all of some scopes were granted. Scopes compare without case, as MSAL compares them.
func covers(granted, wanted []string) bool {
	return len(missing(granted, wanted)) == 0
}

// missing gives the wanted scopes that were not granted.
func missing(granted, wanted []string) []string {
	has := make(map[string]bool, len(granted))
	for _, scope := range granted {
		has[strings.ToLower(scope)] = true
	}
	var absent []string
	for _, scope := range wanted {
		if !has[strings.ToLower(scope)] {
			absent = append(absent, scope)
		}
	}
	return absent
}
