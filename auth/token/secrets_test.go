package token

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/diagnosis"
)

// secretForms gives what a secret looks like in the encodings in which it could slip out, as substrings of any of them.
func secretForms(text string) []string {
	forms := []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))), url.QueryEscape(text)}
	for offset := range 3 {
		padded := append(make([]byte, offset), text...)
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			encoded := encoding.EncodeToString(padded)
			// The first and the last characters depend on the neighbours.
			forms = append(forms, encoded[4:len(encoded)-4])
		}
	}
	return forms
}

// TestNoSecretShows is threat model I-41: whatever goes wrong, and however much a provider tells back of what it was
// sent, no error, log or event has a secret in it.
func TestNoSecretShows(t *testing.T) {
	faults := map[string]func(w http.ResponseWriter, form url.Values) bool{
		"none": func(http.ResponseWriter, url.Values) bool { return false },
		"refusal": func(w http.ResponseWriter, f url.Values) bool {
			refuse(w, f, 400, "invalid_request", 90014)
			return true
		},
		"trouble":  func(w http.ResponseWriter, f url.Values) bool { refuse(w, f, 503, "server_error"); return true },
		"page":     func(w http.ResponseWriter, f url.Values) bool { _, _ = io.WriteString(w, f.Encode()); return true },
		"bad page": func(w http.ResponseWriter, f url.Values) bool { http.Error(w, f.Encode(), 500); return true },
		"secrets as words": func(w http.ResponseWriter, f url.Values) bool {
			all := f.Encode()
			reply(w, 400, map[string]any{"error": all, "suberror": all, "trace_id": all, "correlation_id": all, "claims": all})
			return true
		},
		"token of a wrong type": func(w http.ResponseWriter, f url.Values) bool {
			reply(w, 200, map[string]any{"access_token": secretMark + "-odd", "expires_in": "soon", "id_token": secretMark})
			return true
		},
		"cut": func(w http.ResponseWriter, f url.Values) bool { panic(http.ErrAbortHandler) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.enroll(aliceAccount, alice)
				h.entra.set(func() { h.entra.token = fault })
				var out strings.Builder
				for _, account := range []Account{aliceAccount, appAccount} {
					access, err := h.use(account)
					fmt.Fprintf(&out, "%v %+v %#v %v\n", err, err, err, access)
				}
				_, err := h.source.Enroll(t.Context(), bobAccount, "root", func(DeviceCode) {})
				fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
				time.Sleep(time.Hour)
				h.source.Close()
				events, err := json.Marshal(h.audit.events)
				if err != nil {
					t.Fatal(err)
				}
				out.Write(events)
				out.Write(h.log.Bytes())
				for _, form := range secretForms(secretMark) {
					if i := strings.Index(out.String(), form); i >= 0 {
						t.Errorf("a secret shows as %q near %q", form, out.String()[max(0, i-80):i])
					}
				}
			})
		})
	}
}

// FuzzAnswer: whatever an upstream answers is read without a fault, and what is kept of it is harmless to show.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_grant","error_description":"AADSTS70008: x","error_codes":[70008],"suberror":"bad_token"}`), "60")
	f.Add([]byte(`{"access_token":"a","scope":"https://outlook.office365.com/SMTP.Send openid"}`), "")
	f.Add([]byte(`{"error":"\u001b[2J","trace_id":"<script>","error_description":"AADSTS999999999999999"}`), "-1")
	f.Add([]byte(`<html>`), "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, content []byte, after string) {
		scopes := []string{imapScope, smtpScope}
		aligned := alignScopes(content, scopes)
		if json.Valid(content) != json.Valid(aligned) {
			t.Fatalf("%q became %q", content, aligned)
		}
		a := readAnswer(&http.Response{StatusCode: 400, Header: http.Header{"Retry-After": {after}}}, aligned, scopes)
		if a.retryAfter < 0 || a.retryAfter > maxRetryAfter {
			t.Errorf("got Retry-After %v", a.retryAfter)
		}
		for _, word := range []string{a.code, a.suberror, a.traceID, a.correlationID} {
			if len(word) > 64 || strings.ContainsFunc(word, func(r rune) bool { return r < '!' || r > '~' || strings.ContainsRune(`<>&"'`, r) }) {
				t.Errorf("kept %q", word)
			}
		}
		if class, advice := classify(a, diagnosis.Subject{}); class == "" || advice == "" {
			t.Error("an answer without a class or advice")
		}
	})
}

// FuzzCacheRow: a record is read without a fault, and without its access tokens it is still one.
func FuzzCacheRow(f *testing.F) {
	f.Add([]byte(`{"AccessToken":{"k":{"home_account_id":"o.t","client_id":"c","secret":"s","target":"a b","cached_at":"1","expires_on":"2"}},
		"RefreshToken":{"r":{"home_account_id":"o.t"}},"Account":{"a":{"home_account_id":"o.t","local_account_id":"o"}}}`))
	f.Add([]byte(`{"AccessToken":{"k":{"cached_at":"x"}}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		row := &cacheRow{content: content}
		before, err := row.parse()
		if err != nil || row.dropAccessTokens() != nil {
			return
		}
		after, err := row.parse()
		if err != nil {
			t.Fatalf("%q became %q", content, row.content)
		}
		if len(after.RefreshTokens) != len(before.RefreshTokens) || len(after.Accounts) != len(before.Accounts) {
			t.Errorf("%q became %q", content, row.content)
		}
	})
}
