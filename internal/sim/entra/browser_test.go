package entra

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser goes through the pages as a person would.
type browser struct {
	t      *testing.T
	f      *fixture
	client *http.Client
	page   reply
	action string
	hidden url.Values
}

func (f *fixture) browse(t *testing.T) *browser { return &browser{t: t, f: f, client: f.newBrowser(t)} }

// open opens a page of the server.
func (b *browser) open(path string) *browser {
	b.t.Helper()
	response, err := b.client.Get(b.f.URL() + path)
	return b.arrive(read(b.t, response, err))
}

// enter fills a field in and sends the form.
func (b *browser) enter(name, value string) *browser {
	b.t.Helper()
	action := b.action
	if strings.HasPrefix(action, "/") {
		action = b.f.URL() + action
	}
	response, err := b.client.PostForm(action, with(b.hidden, name, value))
	return b.arrive(read(b.t, response, err))
}

var (
	formAction  = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

func (b *browser) arrive(r reply) *browser {
	b.page = r
	action := formAction.FindStringSubmatch(r.body)
	if action == nil {
		return b // a message: what was to be filled in before stays, for those who go back
	}
	b.action, b.hidden = html.UnescapeString(action[1]), url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(r.body, -1) {
		b.hidden.Set(field[1], html.UnescapeString(field[2]))
	}
	return b
}

// see holds the page to a text.
func (b *browser) see(text string) *browser {
	b.t.Helper()
	if !strings.Contains(html.UnescapeString(b.page.body), text) {
		b.t.Fatalf("got status %d and page\n%s\nwant %q in it", b.page.status, b.page.body, text)
	}
	if strings.Contains(b.page.body, "<script") {
		b.t.Error("the page has a script")
	}
	return b
}

// returned gives what the application is sent with the redirect.
func (b *browser) returned() url.Values {
	b.t.Helper()
	location := b.page.header.Get("Location")
	if b.page.status != http.StatusSeeOther || !strings.HasPrefix(location, redirectURI) {
		b.t.Fatalf("got status %d to %q, want the browser sent to the application\n%s", b.page.status, location, b.page.body)
	}
	u, err := url.Parse(location)
	if err != nil {
		b.t.Fatal(err)
	}
	if u.Fragment != "" {
		values, err := url.ParseQuery(u.EscapedFragment())
		if err != nil {
			b.t.Fatal(err)
		}
		return values
	}
	return u.Query()
}
