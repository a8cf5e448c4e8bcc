package web

import (
	"context"
	"html"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/auth/factor"
	"postern/internal/secret"
	"postern/internal/throttle"
)

// keeper makes the keeper of second factors of a harness, for a portal at a URL.
func (h *harness) keeper(at string) *factor.Keeper {
	h.t.Helper()
	portal, err := url.Parse(at)
	if err != nil {
		h.t.Fatal(err)
	}
	k, err := factor.New(factor.Config{Store: h.factors, Guesses: h.factors, Audit: h.audit, Portal: portal, Issuer: "Postern", Now: h.clock.Now})
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

var secretOnPage = regexp.MustCompile(`<p class="secret">([A-Z2-7 ]+)</p>`)

// enrolTOTP sets an authenticator up, on the pages, and gives its key.
func (c *client) enrolTOTP(name string) (key string) {
	c.t.Helper()
	c.post("/factors/totp", nil).wantRedirect("/factors/totp")
	found := secretOnPage.FindStringSubmatch(html.UnescapeString(c.get("/factors/totp").want(200).Body))
	if found == nil {
		c.t.Fatal("there is no key on the page")
	}
	key = strings.ReplaceAll(found[1], " ", "")
	c.post("/factors/totp/finish", url.Values{"name": {name}, "code": {c.code(key)}}).wantRedirect("/factors?done=enrolled")
	return key
}

// code is what an authenticator with the key shows.
func (h *harness) code(key string) string {
	h.t.Helper()
	code, err := totp.GenerateCode(key, h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return code
}

// memoryFactors is a store of factors in memory. It counts no guesses.
type memoryFactors struct {
	mu         sync.Mutex
	all        []factor.Factor
	ceremonies map[string]factor.Ceremony // browser and purpose → ceremony
	fault      error
}

func (m *memoryFactors) Admit(string, netip.Addr, secret.Text) (throttle.Check, bool) {
	return throttle.Check{}, true
}

func (m *memoryFactors) AddFactor(_ context.Context, f factor.Factor, first bool) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if first && slices.ContainsFunc(m.all, func(other factor.Factor) bool { return other.Person == f.Person }) {
		return false, m.fault
	}
	m.all = append(m.all, f)
	return true, m.fault
}

func (m *memoryFactors) Factors(_ context.Context, p factor.Person) (own []factor.Factor, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.all {
		if f.Person == p {
			own = append(own, f)
		}
	}
	return own, m.fault
}

func (m *memoryFactors) UseFactor(_ context.Context, f factor.Factor, seen int64) (bool, error) {
	return m.change(f.Person, f.ID, func(have *factor.Factor) bool {
		if have.Counter == seen {
			*have = f
			return true
		}
		return false
	})
}

func (m *memoryFactors) RenameFactor(_ context.Context, p factor.Person, id, name string) (bool, error) {
	return m.change(p, id, func(f *factor.Factor) bool { f.Name = name; return true })
}

func (m *memoryFactors) change(p factor.Person, id string, do func(*factor.Factor) bool) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.all, func(f factor.Factor) bool { return f.ID == id && f.Person == p })
	return i >= 0 && do(&m.all[i]), m.fault
}

func (m *memoryFactors) RemoveFactor(_ context.Context, p factor.Person, id string) (bool, error) {
	return m.remove(func(f factor.Factor) bool { return f.ID == id && f.Person == p }) > 0, m.fault
}

func (m *memoryFactors) RemoveFactors(_ context.Context, p factor.Person) (int, error) {
	return m.remove(func(f factor.Factor) bool { return f.Person == p }), m.fault
}

func (m *memoryFactors) remove(which func(factor.Factor) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.all)
	m.all = slices.DeleteFunc(m.all, which)
	return before - len(m.all)
}

func (m *memoryFactors) SaveCeremony(_ context.Context, c factor.Ceremony, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ceremonies[c.Browser+" "+c.Purpose] = c
	return m.fault
}

func (m *memoryFactors) Ceremony(_ context.Context, browser, purpose string) (factor.Ceremony, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, found := m.ceremonies[browser+" "+purpose]
	return c, found, m.fault
}

func (m *memoryFactors) TakeCeremony(_ context.Context, browser, purpose string) (factor.Ceremony, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, found := m.ceremonies[browser+" "+purpose]
	delete(m.ceremonies, browser+" "+purpose)
	return c, found, m.fault
}
