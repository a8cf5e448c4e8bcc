package auth

import (
	"strings"

	"postern/auth/token"
	"postern/internal/config"
)

// Directory maps logins to mailboxes, accounts and policies, as the configuration says. It does not change once it is
// made and is safe for concurrent use. A look-up costs the same however many users there are.
type Directory struct {
	policies map[string]*config.Policy
	users    []config.User
	exact    map[string]int // login in canonical form → index of its user
	domains  map[string]int // domain of a match rule → index of its user
}

// Mapping is what the directory knows of a login.
type Mapping struct {
	Login   string // canonical
	Mailbox string
	Account token.Account
	Policy  *config.Policy
}

// NewDirectory makes the directory of a validated configuration.
func NewDirectory(c *config.Config) *Directory {
	d := &Directory{policies: c.Policies, users: c.Users, exact: make(map[string]int), domains: make(map[string]int)}
	for i, user := range c.Users {
		index, key := d.exact, Canonical(user.Login)
		if user.Match != "" {
			index, key = d.domains, Canonical(strings.TrimPrefix(user.Match, "*@"))
		}
		if _, taken := index[key]; !taken {
			index[key] = i
		}
	}
	return d
}

// Canonical gives the form of a login in which it is compared, counted and kept: lower case.
func Canonical(login string) string { return strings.ToLower(login) }

// Lookup finds the user that a login is for: of the entries that fit, the first in the file.
func (d *Directory) Lookup(login string) (Mapping, bool) {
	login = Canonical(login)
	found, ok := d.exact[login]
	if local, domain, isAddress := strings.Cut(login, "@"); isAddress && local != "" {
		if i, fits := d.domains[domain]; fits && (!ok || i < found) {
			found, ok = i, true
		}
	}
	if !ok {
		return Mapping{}, false
	}
	return d.mapping(login, d.users[found]), true
}

// mapping fills in what the user's entry leaves out: the login is the mailbox, and the mailbox is the account.
func (d *Directory) mapping(login string, user config.User) Mapping {
	m := Mapping{
		Login:   login,
		Mailbox: Canonical(user.Mailbox),
		Account: token.Account{Provider: user.Provider, Grant: token.Grant(user.Grant)},
		Policy:  d.policies[user.Policy],
	}
	if m.Mailbox == "" {
		m.Mailbox = login
	}
	if m.Account.Grant == token.Delegated {
		if m.Account.Name = Canonical(user.Account); m.Account.Name == "" {
			m.Account.Name = m.Mailbox
		}
	}
	return m
}

// Logins gives the logins that the configuration names one by one, in its order.
func (d *Directory) Logins() []Mapping {
	var all []Mapping
	for _, user := range d.users {
		if user.Login != "" {
			all = append(all, d.mapping(Canonical(user.Login), user))
		}
	}
	return all
}

// user gives the user= of XOAUTH2. A person's token opens a shared mailbox by IMAP under the mailbox's name; by SMTP it
// submits under the person's own, with From the mailbox (reference D.4). An application's token has no mailbox of its
// own and names the mailbox for both.
func (m Mapping) user(protocol Protocol) string {
	if protocol == SMTP && m.Account.Grant == token.Delegated {
		return m.Account.Name
	}
	return m.Mailbox
}
