package e2e

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// reader is a browser without scripts: it keeps cookies, follows redirects, and sends the forms of the page that it is at.
type reader struct {
	client *http.Client
	at     *url.URL
	status int
	page   string // as a person reads it: without the encoding of HTML
}

// openReader opens one that trusts the demo's certificates.
func openReader(t *testing.T, g *gateway) *reader {
	t.Helper()
	client := (&simulator{CAFile: g.CAFile}).client(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	return &reader{client: client}
}

func (r *reader) do(t *testing.T, request *http.Request, err error) *reader {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.at, r.status, r.page = response.Request.URL, response.StatusCode, html.UnescapeString(string(page))
	return r
}

// visit opens a page.
func (r *reader) visit(t *testing.T, address string) *reader {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, address, nil)
	return r.do(t, request, err)
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// send sends the form of the page whose action begins with this, with its hidden fields and what is filled in: names and
// values by turns.
func (r *reader) send(t *testing.T, action string, fill ...string) *reader {
	t.Helper()
	begin := strings.Index(r.page, `<form method="post" action="`+action)
	if begin < 0 {
		t.Fatalf("%s has no form for %s:\n%s", r.at, action, r.page)
	}
	form, _, _ := strings.Cut(r.page[begin:], "</form>")
	target, _, _ := strings.Cut(strings.TrimPrefix(form, `<form method="post" action="`), `"`)
	values := url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(form, -1) {
		values.Set(field[1], field[2])
	}
	for i := 0; i < len(fill); i += 2 {
		values.Set(fill[i], fill[i+1])
	}
	to, err := r.at.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err == nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", to.Scheme+"://"+to.Host)
	}
	return r.do(t, request, err)
}

// sees demands that texts are on the page.
func (r *reader) sees(t *testing.T, texts ...string) *reader {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.page, text) {
			t.Fatalf("%s (status %d) lacks %q:\n%s", r.at, r.status, text, r.page)
		}
	}
	return r
}

// finds gives what a pattern's group stands for on the page.
func (r *reader) finds(t *testing.T, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(r.page)
	if found == nil {
		t.Fatalf("%s has nothing like %s:\n%s", r.at, pattern, r.page)
	}
	return found[1]
}

// signIn signs in to the portal by way of the simulator's pages.
func (r *reader) signIn(t *testing.T, g *gateway, account string) *reader {
	t.Helper()
	password := ""
	for _, p := range g.People {
		if p.Account == account {
			password = p.Password
		}
	}
	r.visit(t, g.Portal+"/").send(t, "/signin/contoso").sees(t, "Email address")
	login := "/" + r.finds(t, `action="/([^"]*/login)"`)
	r.send(t, login, "login", account).sees(t, "Enter password")
	r.send(t, login, "passwd", password)
	if code := shownCode.FindStringSubmatch(r.page); code != nil {
		r.send(t, login, "otc", code[1])
	}
	return r.sees(t, "Sign out")
}
