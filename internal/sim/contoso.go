package sim

import (
	"crypto/rand"

	"postern/internal/secret"
	"postern/internal/sim/tenant"
)

// ClientID is the client id of Contoso's application "Postern".
const ClientID = "5f0f5a5c-7b1d-4d0e-9a3f-6c2c1b7e4d21"

// PortalRedirect is where the application "Postern" has people sent back to, for a portal on port 1443.
const PortalRedirect = "https://localhost:1443/signin/contoso/callback"

// domain is Contoso's domain.
const domain = "contoso.example"

// Object ids of Contoso. They are fixed, so that what a gateway has stored about a person fits the next run.
const (
	tenantID    = "c0a7050e-41c7-4b5e-8f4e-2f7d0b8a9e10"
	aliceID     = "a11ce000-0b5e-4f6e-9d3a-5c1f7e2b8d01"
	bobID       = "b0b00000-3c2d-4e1f-8a7b-9d6e5f4c3b02"
	principalID = "9057e49a-1f2e-4d3c-8b5a-7e6f9d8c0b03"
)

// Contoso makes the tenant of the demo: alice, who signs in with a second factor, and bob, each with a mailbox; the
// shared mailboxes helpdesk, which is alice's to open and to send as, and scans; and the application "Postern", with
// consent to all mail permissions, for people and of its own, and access to the mailboxes of alice and scans. Passwords
// and the client secret are new each time.
func Contoso() *tenant.Tenant {
	t := tenant.New(tenantID, domain)
	t.AddPerson(tenant.Person{ObjectID: aliceID, UPN: "alice@" + domain, Name: "Alice Archer", Password: newSecret(), MFA: true})
	t.AddPerson(tenant.Person{ObjectID: bobID, UPN: "bob@" + domain, Name: "Bob Baker", Password: newSecret()})
	t.AddApplication(tenant.Application{
		ClientID: ClientID, RedirectURIs: []string{PortalRedirect}, ObjectID: principalID, Name: "Postern", Secrets: []tenant.Secret{{Value: newSecret()}}, PublicClient: true,
		Delegated: []string{"IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "SMTP.Send"},
		Roles:     []string{"IMAP.AccessAsApp", "SMTP.SendAsApp"},
	})
	t.AddMailbox(tenant.Mailbox{Address: "alice@" + domain, Owner: aliceID, FullAccess: []string{principalID}})
	t.AddMailbox(tenant.Mailbox{Address: "bob@" + domain, Owner: bobID})
	t.AddMailbox(tenant.Mailbox{Address: "helpdesk@" + domain, FullAccess: []string{aliceID}, SendAs: []string{aliceID}})
	t.AddMailbox(tenant.Mailbox{Address: "scans@" + domain, FullAccess: []string{principalID}})
	return t
}

func newSecret() secret.Text { return secret.New(rand.Text()) }
