package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzReturnPath: whatever is asked for, a browser that resolves the answer stays with us.
func FuzzReturnPath(f *testing.F) {
	for _, wanted := range []string{"/", "/passwords?a=b", "//evil.example", `/\evil.example`, "https://evil.example", "/%2f/evil.example", "/;//evil", "/\t//evil.example", "/..//evil.example", "/./\\evil"} {
		f.Add(wanted)
	}
	base, err := url.Parse(origin)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wanted string) {
		got := returnPath(wanted)
		// As browsers read it: white space and controls are left out, and a backslash is a slash (WHATWG URL section 4.4).
		read := strings.ReplaceAll(strings.Map(func(r rune) rune {
			if r <= ' ' {
				return -1
			}
			return r
		}, got), `\`, "/")
		u, err := base.Parse(read)
		if err != nil || u.Scheme != "https" || u.Host != base.Host || !strings.HasPrefix(got, "/") || strings.HasPrefix(read, "//") {
			t.Fatalf("returnPath(%q) = %q, which leads to %v, %v", wanted, got, u, err)
		}
		if again := returnPath(got); again != got {
			t.Fatalf("returnPath(%q) = %q, and of that %q", wanted, got, again)
		}
	})
}

// FuzzLanguage: whatever a browser prefers, there is a language.
func FuzzLanguage(f *testing.F) {
	for _, preferred := range []string{"", "de", "en;q=0.1, de-AT;q=0.9", "*", ",,,;q=", "de;q=NaN", "de;q=1e400", "fr;q=-1"} {
		f.Add(preferred)
	}
	f.Fuzz(func(t *testing.T, preferred string) {
		r := &http.Request{Header: http.Header{"Accept-Language": {preferred}}}
		if got := languageOf(r); !slices.Contains(languages, got) {
			t.Fatalf("got language %q", got)
		}
	})
}

// FuzzErrorWord: what a provider, or a stranger, says of an error gets into the audit log in a known form only.
func FuzzErrorWord(f *testing.F) {
	f.Add("access_denied", "AADSTS65004: declined")
	f.Add("<b>", "AADSTS1")
	f.Add("a\nb", "")
	f.Fuzz(func(t *testing.T, word, description string) {
		got := errorWord(url.Values{"error": {word}, "error_description": {description}})
		if len(got) > 60 || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && r != '_' && (r < '0' || r > 'z') }) {
			t.Fatalf("got %q", got)
		}
	})
}
