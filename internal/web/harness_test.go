package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/auth/factor"
	"postern/internal/audit"
	"postern/internal/config"
)

const origin = "https://mail.contoso.example:8443"

// start is when the tests' clocks begin.
var start = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// People of the tests. Roles are by the configuration of newHarness.
var (
	alice = Person{Provider: "contoso", TenantID: "tid-contoso", ObjectID: "oid-alice", Username: "alice@contoso.example", Name: "Alice Archer", SignedInAt: start}
	bob   = Person{Provider: "contoso", TenantID: "tid-contoso", ObjectID: "oid-bob", Username: "bob@contoso.example", Name: "Bob Baker", SignedInAt: start}
	root  = Person{Provider: "contoso", TenantID: "tid-contoso", ObjectID: "oid-root", Username: "root@contoso.example", Name: "Ruth Root", SignedInAt: start}
	olga  = Person{Provider: "contoso", TenantID: "tid-contoso", ObjectID: "oid-olga", Username: "olga@contoso.example", Name: "Olga Operator", SignedInAt: start, AppRoles: []string{"Postern.Operator"}}
	carol = Person{Provider: "contoso", TenantID: "tid-contoso", ObjectID: "oid-carol", Username: "carol@contoso.example", Name: "Carol Checker", SignedInAt: start}
)

// harness is a portal with all that is around it.
type harness struct {
	t        *testing.T
	portal   *Portal
	sessions *memorySessions
	entra    *fakeAuthority
	enroller *fakeEnroller
	desk     *memoryDesk
	office   *memoryOffice
	audit    *recorder
	clock    *clock
	log      *bytes.Buffer
	factors  *memoryFactors
}

// newHarness makes a portal; adjust changes its configuration first.
func newHarness(t *testing.T, adjust ...func(*Config)) *harness {
	t.Helper()
	h := &harness{
		t: t, sessions: &memorySessions{}, entra: &fakeAuthority{}, enroller: &fakeEnroller{}, audit: &recorder{}, clock: &clock{now: start}, log: &bytes.Buffer{},
		factors: &memoryFactors{ceremonies: make(map[string]factor.Ceremony)},
	}
	h.desk = newMemoryDesk(h)
	h.office = newMemoryOffice(h)
	c := Config{
		Desk:           h.desk,
		Office:         h.office,
		URL:            origin,
		Administration: config.Administration{Administrators: []string{root.Username}, Auditors: []string{carol.ObjectID}},
		Providers:      []Provider{{"contoso", "contoso.example", []string{"c1", "c2"}}, {"fabrikam", "fabrikam.example", nil}},
		Authority:      h.entra, Enroller: h.enroller,
		Sessions: h.sessions, Keys: plainKeys{}, Audit: h.audit, Now: h.clock.Now,
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	for _, change := range adjust {
		change(&c)
	}
	c.Factors = h.keeper(c.URL)
	var err error
	if h.portal, err = New(c); err != nil {
		t.Fatal(err)
	}
	return h
}

// signedIn makes a portal and gives a client of it who is signed in as a person.
func signedIn(t *testing.T, who Person, adjust ...func(*Config)) *client {
	t.Helper()
	return newHarness(t, adjust...).signedIn(who)
}

// signedIn gives a client who is signed in as a person, with the evidence that the person has.
func (h *harness) signedIn(who Person) *client {
	h.t.Helper()
	key, err := h.portal.sessions.begin(h.t.Context(), content{Person: who}, "", h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.stranger()
	c.cookies[sessionCookie] = key
	return c
}

// stranger gives a client who is not signed in.
func (h *harness) stranger() *client {
	return &client{harness: h, cookies: make(map[string]string), remote: "192.0.2.7:50000", language: "en"}
}

// client is a browser without a window: it keeps cookies, and follows no redirects.
type client struct {
	*harness
	cookies  map[string]string
	remote   string // address and port
	language string // Accept-Language
}

// answer is what a client got.
type answer struct {
	t        *testing.T
	Status   int
	Header   http.Header
	Body     string
	Location string
}

// get asks for a page, as a link of the portal does.
func (c *client) get(path string) *answer {
	c.t.Helper()
	return c.send(c.request(http.MethodGet, path, nil))
}

// post sends a form, as a page of the portal does.
func (c *client) post(path string, form url.Values) *answer {
	c.t.Helper()
	r := c.request(http.MethodPost, path, form)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", origin)
	return c.send(r)
}

// request makes a request, for tests to change.
func (c *client) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequestWithContext(c.t.Context(), method, origin+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept-Language", c.language)
	r.RemoteAddr = c.remote
	r.TLS = &tls.ConnectionState{}
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// send sends a request and keeps the cookies that come back.
func (c *client) send(r *http.Request) *answer {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.portal.ServeHTTP(w, r)
	response := w.Result()
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
	}
	return &answer{t: c.t, Status: response.StatusCode, Header: response.Header, Body: w.Body.String(), Location: response.Header.Get("Location")}
}

// want checks the status, and that texts are on the page, as a reader sees them.
func (a *answer) want(status int, texts ...string) *answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("got status %d, want %d; page:\n%s", a.Status, status, a.Body)
	}
	shown := html.UnescapeString(a.Body)
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			a.t.Errorf("the page lacks %q:\n%s", text, a.Body)
		}
	}
	return a
}

// lacks checks that texts are not on the page.
func (a *answer) lacks(texts ...string) *answer {
	a.t.Helper()
	shown := html.UnescapeString(a.Body)
	for _, text := range texts {
		if strings.Contains(shown, text) {
			a.t.Errorf("the page has %q:\n%s", text, a.Body)
		}
	}
	return a
}

// wantRedirect checks that the browser is sent on to a path.
func (a *answer) wantRedirect(path string) *answer {
	a.t.Helper()
	if a.Status != http.StatusSeeOther || a.Location != path {
		a.t.Fatalf("got status %d, to %q; want 303, to %q; page:\n%s", a.Status, a.Location, path, a.Body)
	}
	return a
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// recorder is an audit log in memory, with a fault.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	fault  error
}

func (r *recorder) Record(e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != nil {
		return r.fault
	}
	r.events = append(r.events, e)
	return nil
}

// wantEvents checks the kinds of the events so far, in their order, and forgets them.
func (h *harness) wantEvents(kinds ...string) []audit.Event {
	h.t.Helper()
	h.audit.mu.Lock()
	defer h.audit.mu.Unlock()
	var got []string
	for _, e := range h.audit.events {
		got = append(got, e.Kind())
	}
	if !slices.Equal(got, kinds) {
		h.t.Fatalf("got events %v, want %v", got, kinds)
	}
	events := h.audit.events
	h.audit.events = nil
	return events
}

// plainKeys seals nothing, but holds content to its place.
type plainKeys struct{}

func (plainKeys) Seal(plaintext, ad []byte) ([]byte, error) {
	return append(bytes.Clone(ad), plaintext...), nil
}

func (plainKeys) Unseal(sealed, ad []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, ad)
	if !ok {
		return nil, fmt.Errorf("sealed for another place")
	}
	return plain, nil
}

// memorySessions is a session store in memory, with a fault.
type memorySessions struct {
	mu    sync.Mutex
	all   []SessionRecord
	used  map[string]bool // states
	fault error
}

func (m *memorySessions) index(hash []byte) int {
	return slices.IndexFunc(m.all, func(s SessionRecord) bool { return bytes.Equal(s.Hash, hash) })
}

func (m *memorySessions) PortalSession(_ context.Context, hash []byte, now time.Time) (SessionRecord, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.index(hash)
	if i < 0 || !m.all[i].Expires.After(now) || m.fault != nil {
		return SessionRecord{}, false, m.fault
	}
	return m.all[i], true, nil
}

func (m *memorySessions) AddPortalSession(_ context.Context, s SessionRecord, replaced []byte, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(s SessionRecord) bool { return !s.Expires.After(now) || bytes.Equal(s.Hash, replaced) })
	m.all = append(m.all, s)
	return m.fault
}

func (m *memorySessions) ChangePortalSession(_ context.Context, s SessionRecord) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.index(s.Hash)
	if i < 0 || m.all[i].Version != s.Version-1 || m.fault != nil {
		return false, m.fault
	}
	m.all[i].Expires, m.all[i].Version, m.all[i].Sealed = s.Expires, s.Version, s.Sealed
	return true, nil
}

func (m *memorySessions) UsePortalState(_ context.Context, hash []byte, _, _ time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used == nil {
		m.used = make(map[string]bool)
	}
	first := !m.used[string(hash)]
	m.used[string(hash)] = true
	return first && m.fault == nil, m.fault
}

func (m *memorySessions) EndPortalSession(_ context.Context, hash []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(s SessionRecord) bool { return bytes.Equal(s.Hash, hash) })
	return m.fault
}

func (m *memorySessions) EndPortalSessions(_ context.Context, provider, tenantID, objectID string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.all)
	m.all = slices.DeleteFunc(m.all, func(s SessionRecord) bool {
		return s.Provider == provider && s.TenantID == tenantID && s.ObjectID == objectID
	})
	return before - len(m.all), m.fault
}
