package auth

import (
	"net/netip"
	"slices"
	"strings"

	"postern/auth/token"
	"postern/internal/config"
)

// Directory maps logins to mailboxes, accounts and policies, as the configuration says. It does not change once it is
// made and is safe for concurrent use. A look-up costs the same however many users there are.
type Directory struct {
	policies  map[string]*config.Policy
	users     []config.User
	exact     map[string]int // login or alias in canonical form → index of its user
	domains   map[string]int // domain of a match rule → index of its user
	addressed []int          // indexes of the users that are known by their address
	// byAccount has the entries that name a login: account → their indexes.
	byAccount map[token.Account][]int
}

// Mapping is what the directory knows of a login.
type Mapping struct {
	Login   string // canonical; never an alias
	Mailbox string
	Account token.Account
	Policy  *config.Policy // with what the entry overrides laid over it
	Rule    Rule
	// Addresses are those of the entry that the login may send as, its aliases among them, canonical.
	Addresses []string
}

// Rule is the entry of the configuration that decided.
type Rule struct {
	Entry int    // its place in users, from 0
	Line  int    // where it begins in the file; 0 where there is none
	Match string // the rule that fits; empty for an entry that names the login
	Alias string // the alias by which the entry was found; empty for the login itself
}

// NewDirectory makes the directory of a validated configuration.
func NewDirectory(c *config.Config) *Directory {
	d := &Directory{policies: c.Policies, users: c.Users, exact: make(map[string]int), domains: make(map[string]int),
		byAccount: make(map[token.Account][]int)}
	for i, user := range c.Users {
		if user.Match != "" {
			addFirst(d.domains, strings.TrimPrefix(user.Match, "*@"), i)
			continue
		}
		addFirst(d.exact, user.Login, i)
		if len(user.WithoutAuth) > 0 {
			d.addressed = append(d.addressed, i)
		}
		account := d.mapping(Canonical(user.Login), i).Account
		d.byAccount[account] = append(d.byAccount[account], i)
		for _, alias := range user.Aliases {
			addFirst(d.exact, alias, i)
		}
	}
	return d
}

// addFirst adds a name to an index, unless an entry before has it.
func addFirst(index map[string]int, name string, i int) {
	if _, taken := index[Canonical(name)]; !taken {
		index[Canonical(name)] = i
	}
}

// LookupAddress finds the user that a client without a sign-in is: of the entries that have its address, the first in the
// file.
func (d *Directory) LookupAddress(from netip.Addr) (Mapping, bool) {
	for _, i := range d.addressed {
		if within(d.users[i].WithoutAuth, from) {
			return d.mapping(Canonical(d.users[i].Login), i), true
		}
	}
	return Mapping{}, false
}

// Canonical gives the form of a login in which it is compared, counted and kept: lower case.
func Canonical(login string) string { return strings.ToLower(login) }

// Lookup finds the user that a login is for: of the entries that fit, the first in the file. A name that could alter a
// message of some protocol is nobody's.
func (d *Directory) Lookup(login string) (Mapping, bool) {
	if !config.IsLogin(login) {
		return Mapping{}, false
	}
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
	return d.mapping(login, found), true
}

// mapping fills in what the user's entry leaves out: the login is the mailbox, and the mailbox is the account.
func (d *Directory) mapping(name string, entry int) Mapping {
	user := d.users[entry]
	m := Mapping{
		Login:   name,
		Mailbox: Canonical(user.Mailbox),
		Account: token.Account{Provider: user.Provider, Grant: token.Grant(user.Grant)},
		Policy:  d.policies[user.Policy],
		Rule:    Rule{Entry: entry, Line: user.Line, Match: user.Match},
	}
	if login := Canonical(user.Login); user.Match == "" && login != name {
		m.Login, m.Rule.Alias = login, name
	}
	if user.Effective != nil {
		m.Policy = user.Effective
	}
	if m.Mailbox == "" {
		m.Mailbox = m.Login
	}
	for _, address := range slices.Concat(user.Addresses, user.Aliases) {
		if strings.Contains(address, "@") {
			m.Addresses = append(m.Addresses, Canonical(address))
		}
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
	for i, user := range d.users {
		if user.Login != "" {
			all = append(all, d.mapping(Canonical(user.Login), i))
		}
	}
	return all
}

// LoginsOf gives the logins whose mailboxes the token of an account opens: those that the configuration names, in its
// order, and the account's own name where a match rule maps it.
func (d *Directory) LoginsOf(account token.Account) []Mapping {
	var all []Mapping
	add := func(login string) {
		m, known := d.Lookup(login) // an entry before may have taken the login
		if known && m.Account == account && !slices.ContainsFunc(all, func(other Mapping) bool { return other.Login == m.Login }) {
			all = append(all, m)
		}
	}
	for _, entry := range d.byAccount[account] {
		add(d.users[entry].Login)
	}
	if account.Grant == token.Delegated {
		add(account.Name)
	}
	return all
}

// senders gives the addresses that the login may send as (RFC 6409 section 6.1): the mailbox, the person whose account
// it is, and what the user's entry adds.
func (m Mapping) senders() []string {
	own := append([]string{m.Mailbox}, m.Addresses...)
	if m.Account.Name != "" && m.Account.Name != m.Mailbox {
		own = append(own, m.Account.Name)
	}
	return own
}

// HasAccount reports whether a login, or a rule that fits some login, has an account.
func (d *Directory) HasAccount(account token.Account) bool {
	if m, ok := d.Lookup(account.Name); ok && m.Account == account {
		return true
	}
	return len(d.byAccount[account]) > 0
}

// LoginOf gives a login that has an account, of those that the configuration names the first; empty where there is none.
func (d *Directory) LoginOf(account token.Account) string {
	if entries := d.byAccount[account]; len(entries) > 0 {
		return Canonical(d.users[entries[0]].Login)
	}
	if m, ok := d.Lookup(account.Name); ok && m.Account == account {
		return m.Login
	}
	return ""
}

// User gives the user= of XOAUTH2. A person's token opens a shared mailbox by IMAP under the mailbox's name; by SMTP it
// submits under the person's own, with From the mailbox (reference D.4). An application's token has no mailbox of its
// own and names the mailbox for both.
func (m Mapping) User(protocol Protocol) string {
	if protocol == SMTP && m.Account.Grant == token.Delegated {
		return m.Account.Name
	}
	return m.Mailbox
}
