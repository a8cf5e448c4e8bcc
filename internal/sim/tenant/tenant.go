// Package tenant is the simulated Microsoft 365 tenant: its people, applications, mailboxes and switches, who may open
// what, and the faults that a test has ordered. It is what the simulator's Entra ID and its Exchange Online share.
//
// It holds no connection and no message. Everything is in memory and safe for concurrent use.
package tenant

import (
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/secret"
)

// Person is a user of the tenant.
type Person struct {
	ObjectID string
	UPN      string // user principal name
	Name     string
	Password secret.Text
	MFA      bool // signs in with a second factor
	Disabled bool
	AppRoles []Assignment
}

// Assignment is an application that a person is assigned to, with a role of it.
type Assignment struct {
	ClientID string
	Role     string // value of the app role, such as Postern.Administrator; empty for the default access
}

// Secret is a client secret of an application.
type Secret struct {
	Value   secret.Text
	Expires time.Time // zero for never
}

// FederatedCredential is another issuer whose token for a subject proves the application. Entra fetches the issuer's keys;
// here its one key is told.
type FederatedCredential struct {
	Issuer, Subject string // compared letter by letter
	Audience        string // such as api://AzureADTokenExchange
	Key             crypto.PublicKey
}

// Application is an app registration with its service principal in the tenant.
type Application struct {
	ClientID     string
	ObjectID     string // of the service principal, which mailbox permissions name
	Name         string
	Secrets      []Secret
	Certificates []*x509.Certificate
	Federated    []FederatedCredential
	PublicClient bool     // "Allow public client flows"
	RedirectURIs []string // of the web platform
	Delegated    []string // delegated permissions with admin consent, such as IMAP.AccessAsUser.All
	Roles        []string // application permissions with admin consent, such as SMTP.SendAsApp
	Disabled     bool
	// AssignmentRequired keeps out whom the application is not assigned to.
	AssignmentRequired bool
}

// Mailbox is a mailbox, a person's or a shared one.
type Mailbox struct {
	Address    string
	Aliases    []string
	Owner      string   // object id of the person; empty for a shared mailbox
	FullAccess []string // object ids of people and service principals
	SendAs     []string // addresses of mailboxes and object ids of people that may send as this one
	// SMTPApps are client ids with the App RBAC role Application SMTP.SendAsApp over this mailbox.
	SMTPApps     []string
	IMAPDisabled bool
	// SMTPAuthDisabled is SmtpClientAuthenticationDisabled; nil follows the tenant.
	SMTPAuthDisabled *bool
}

// Tenant is the tenant.
type Tenant struct {
	ID      string // a GUID
	Domains []string
	// Faults are the faults that were ordered.
	Faults Faults

	mu               sync.Mutex
	people           []*Person
	applications     []*Application
	mailboxes        []*Mailbox
	smtpAuthDisabled bool
}

// New makes a tenant without anybody in it.
func New(id string, domains ...string) *Tenant { return &Tenant{ID: id, Domains: domains} }

// Is reports whether name is the tenant's id or one of its domains.
func (t *Tenant) Is(name string) bool {
	return strings.EqualFold(name, t.ID) || slices.ContainsFunc(t.Domains, func(d string) bool { return strings.EqualFold(d, name) })
}

// AddPerson, AddApplication and AddMailbox put somebody or something into the tenant.
func (t *Tenant) AddPerson(p Person) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.people = append(t.people, &p)
}

func (t *Tenant) AddApplication(a Application) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applications = append(t.applications, &a)
}

func (t *Tenant) AddMailbox(m Mailbox) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mailboxes = append(t.mailboxes, &m)
}

// Person finds a person by user principal name.
func (t *Tenant) Person(upn string) (Person, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return find(t.people, func(p *Person) bool { return strings.EqualFold(p.UPN, upn) })
}

// PersonByID finds a person by object id.
func (t *Tenant) PersonByID(objectID string) (Person, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return find(t.people, func(p *Person) bool { return p.ObjectID == objectID })
}

// People gives everybody, in the order in which they came.
func (t *Tenant) People() []Person {
	t.mu.Lock()
	defer t.mu.Unlock()
	people := make([]Person, len(t.people))
	for i, p := range t.people {
		people[i] = *p
	}
	return people
}

// Application finds an application by client id.
func (t *Tenant) Application(clientID string) (Application, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return find(t.applications, func(a *Application) bool { return strings.EqualFold(a.ClientID, clientID) })
}

// Mailbox finds a mailbox by its address or an alias.
func (t *Tenant) Mailbox(address string) (Mailbox, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return find(t.mailboxes, func(m *Mailbox) bool { return m.has(address) })
}

// ownMailbox finds a person's mailbox.
func (t *Tenant) ownMailbox(objectID string) (Mailbox, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return find(t.mailboxes, func(m *Mailbox) bool { return m.Owner != "" && m.Owner == objectID })
}

// find gives a copy of the first that is.
func find[T any](all []*T, is func(*T) bool) (T, bool) {
	for _, one := range all {
		if is(one) {
			return *one, true
		}
	}
	var none T
	return none, false
}

// UpdatePerson, UpdateApplication and UpdateMailbox change one, and report whether there is one of that name.
func (t *Tenant) UpdatePerson(upn string, change func(*Person)) bool {
	return update(t, t.people, func(p *Person) bool { return strings.EqualFold(p.UPN, upn) }, change)
}

func (t *Tenant) UpdateApplication(clientID string, change func(*Application)) bool {
	return update(t, t.applications, func(a *Application) bool { return strings.EqualFold(a.ClientID, clientID) }, change)
}

func (t *Tenant) UpdateMailbox(address string, change func(*Mailbox)) bool {
	return update(t, t.mailboxes, func(m *Mailbox) bool { return m.has(address) }, change)
}

func update[T any](t *Tenant, all []*T, is func(*T) bool, change func(*T)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range all {
		if is(one) {
			change(one)
			return true
		}
	}
	return false
}

// DisableSMTPAuth sets the tenant's SmtpClientAuthenticationDisabled.
func (t *Tenant) DisableSMTPAuth(disabled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.smtpAuthDisabled = disabled
}

// has reports whether an address is the mailbox's.
func (m *Mailbox) has(address string) bool {
	return strings.EqualFold(m.Address, address) || slices.ContainsFunc(m.Aliases, func(a string) bool { return strings.EqualFold(a, address) })
}
