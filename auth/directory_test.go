package auth

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/auth/token"
	"postern/internal/config"
)

var (
	people  = &config.Policy{Name: "people", Protocols: []string{"imap", "smtp"}}
	devices = &config.Policy{Name: "devices", Protocols: []string{"smtp"}}
)

// listed is a directory of users in this order, of the provider contoso.
func listed(users ...config.User) *Directory {
	for i := range users {
		users[i].Provider = "contoso"
	}
	return NewDirectory(&config.Config{Policies: map[string]*config.Policy{"people": people, "devices": devices}, Users: users})
}

func delegated(name string) token.Account {
	return token.Account{Provider: "contoso", Grant: token.Delegated, Name: name}
}

var application = token.Account{Provider: "contoso", Grant: token.Application}

func TestDirectoryLookup(t *testing.T) {
	d := listed(
		config.User{Login: "Alice@Contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "helpdesk@contoso.example", Account: "ALICE@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "support", Mailbox: "Helpdesk@contoso.example", Account: "alice@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "Copier-3", Mailbox: "Scans@contoso.example", Grant: "application", Policy: "devices"},
		config.User{Match: "*@Contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "late@contoso.example", Mailbox: "other@contoso.example", Grant: "application", Policy: "devices"},
		config.User{Match: "*@fabrikam.example", Mailbox: "box@fabrikam.example", Grant: "application", Policy: "devices"},
		config.User{Match: "*@contoso.example", Mailbox: "other@contoso.example", Grant: "application", Policy: "devices"},
		config.User{Login: "copier-3", Mailbox: "other@contoso.example", Grant: "application", Policy: "devices"},
	)
	for login, want := range map[string]Mapping{
		"alice@contoso.example":    {"alice@contoso.example", "alice@contoso.example", delegated("alice@contoso.example"), people, Rule{Entry: 0}, nil},
		"ALICE@CONTOSO.EXAMPLE":    {"alice@contoso.example", "alice@contoso.example", delegated("alice@contoso.example"), people, Rule{Entry: 0}, nil},
		"helpdesk@contoso.example": {"helpdesk@contoso.example", "helpdesk@contoso.example", delegated("alice@contoso.example"), people, Rule{Entry: 1}, nil},
		"support":                  {"support", "helpdesk@contoso.example", delegated("alice@contoso.example"), people, Rule{Entry: 2}, nil},
		"COPIER-3":                 {"copier-3", "scans@contoso.example", application, devices, Rule{Entry: 3}, nil}, // the first of two entries
		// Match rules: the first in the file that fits, be it a rule or a login.
		"Bob@contoso.example":      {"bob@contoso.example", "bob@contoso.example", delegated("bob@contoso.example"), people, Rule{Entry: 4, Match: "*@Contoso.example"}, nil},
		"late@contoso.example":     {"late@contoso.example", "late@contoso.example", delegated("late@contoso.example"), people, Rule{Entry: 4, Match: "*@Contoso.example"}, nil},
		"anybody@Fabrikam.EXAMPLE": {"anybody@fabrikam.example", "box@fabrikam.example", application, devices, Rule{Entry: 6, Match: "*@fabrikam.example"}, nil},
	} {
		got, ok := d.Lookup(login)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%q (-want +got):\n%s", login, diff)
		}
	}
	for _, stranger := range []string{
		"", "copier-4", "alice", "@contoso.example", "@", "alice@", "alice@sub.contoso.example", "alice@contoso.example.org",
		"alice@x@contoso.example", "*@contoso.example@", " alice@contoso.example ", "contoso.example",
	} {
		if got, ok := d.Lookup(stranger); ok {
			t.Errorf("%q is nobody, and got %+v", stranger, got)
		}
	}
}

// TestDirectoryUser: whose name stands in XOAUTH2 (reference D.4).
func TestDirectoryUser(t *testing.T) {
	const alice, shared, scans = "alice@contoso.example", "helpdesk@contoso.example", "scans@contoso.example"
	for name, test := range map[string]struct {
		mapping    Mapping
		imap, smtp string
	}{
		"a person's own mailbox":             {Mapping{Mailbox: alice, Account: delegated(alice)}, alice, alice},
		"a shared mailbox, by a person":      {Mapping{Mailbox: shared, Account: delegated(alice)}, shared, alice},
		"a mailbox, by an application token": {Mapping{Mailbox: scans, Account: application}, scans, scans},
	} {
		if got := test.mapping.User(IMAP); got != test.imap {
			t.Errorf("%s: IMAP opens %q, want %q", name, got, test.imap)
		}
		if got := test.mapping.User(SMTP); got != test.smtp {
			t.Errorf("%s: SMTP submits as %q, want %q", name, got, test.smtp)
		}
	}
}

// TestDirectoryLogins: those that the file names, in its order, and none that a rule stands for.
func TestDirectoryLogins(t *testing.T) {
	d := listed(
		config.User{Match: "*@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "Zoe@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "copier-3", Mailbox: "scans@contoso.example", Grant: "application", Policy: "devices"},
	)
	want := []Mapping{
		{"zoe@contoso.example", "zoe@contoso.example", delegated("zoe@contoso.example"), people, Rule{Entry: 1}, nil},
		{"copier-3", "scans@contoso.example", application, devices, Rule{Entry: 2}, nil},
	}
	if diff := cmp.Diff(want, d.Logins()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDirectoryAliases: an alias is the login itself, whatever its own form, and whichever entry comes first has a name.
func TestDirectoryAliases(t *testing.T) {
	own := &config.Policy{Name: "devices", Protocols: []string{"imap"}}
	d := listed(
		config.User{Login: "Copier-3", Aliases: []string{`OFFICE\Copier`, "old@contoso.example", "bob@contoso.example"}, Mailbox: "scans@contoso.example",
			Grant: "application", Policy: "devices", Effective: own, Line: 30},
		config.User{Match: "*@contoso.example", Grant: "delegated", Policy: "people", Line: 31},
		config.User{Login: "late", Mailbox: "late@contoso.example", Aliases: []string{"late@contoso.example"}, Grant: "delegated", Policy: "people", Line: 32},
	)
	for name, alias := range map[string]string{"copier-3": "", `office\COPIER`: `office\copier`, "Old@contoso.example": "old@contoso.example", "bob@contoso.example": "bob@contoso.example"} {
		want := Mapping{"copier-3", "scans@contoso.example", application, own, Rule{Line: 30, Alias: alias},
			[]string{"old@contoso.example", "bob@contoso.example"}}
		if got, ok := d.Lookup(name); !ok || cmp.Diff(want, got) != "" {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	if got, _ := d.Lookup("late@contoso.example"); got.Rule.Match == "" || got.Login != "late@contoso.example" {
		t.Errorf("an alias behind a match rule that takes it: got %+v, want the rule", got)
	}
	if n := len(d.Logins()); n != 2 {
		t.Errorf("%d logins, want 2: an alias is none", n)
	}
}

// TestDirectoryLoginsOf: an account opens the logins that name it, one of a match rule, and none that another entry took.
func TestDirectoryLoginsOf(t *testing.T) {
	d := listed(
		config.User{Login: "alice@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "helpdesk@contoso.example", Account: "Alice@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "alice@contoso.example", Mailbox: "other@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Match: "*@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "support@contoso.example", Account: "alice@contoso.example", Grant: "delegated", Policy: "people"},
		config.User{Login: "copier-3", Mailbox: "alice@contoso.example", Grant: "application", Policy: "devices"},
	)
	for name, want := range map[string][]string{
		"alice@contoso.example":    {"alice@contoso.example", "helpdesk@contoso.example"},
		"bob@contoso.example":      {"bob@contoso.example"},
		"bob@fabrikam.example":     nil,
		"helpdesk@contoso.example": nil,
	} {
		var got []string
		for _, mapping := range d.LoginsOf(delegated(name)) {
			got = append(got, mapping.Login)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
