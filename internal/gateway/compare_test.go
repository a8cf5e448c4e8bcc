package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/config"
)

// TestCompare: what becomes of logins is told by what decides about them, and those to whom the same happens stand together.
func TestCompare(t *testing.T) {
	user := func(login, policy string) config.User {
		return config.User{Login: login, Provider: "contoso", Grant: "delegated", Policy: policy}
	}
	rule := func(policy string) config.User {
		return config.User{Match: "*@contoso.example", Provider: "contoso", Grant: "delegated", Policy: policy}
	}
	policies := func(protocols ...string) map[string]*config.Policy {
		return map[string]*config.Policy{"person": {Name: "person", Protocols: []string{"imap", "smtp"}}, "guest": {Name: "guest", Protocols: protocols}}
	}
	before := &config.Config{Store: "a", Policies: policies("imap", "smtp"), Users: []config.User{
		user("alice@contoso.example", "guest"), user("bob@contoso.example", "guest"), user("carol@contoso.example", "person"), user("dave@contoso.example", "person"), rule("person"),
	}}
	after := &config.Config{Store: "b", Policies: policies("imap"), Users: []config.User{
		user("alice@contoso.example", "guest"), user("bob@contoso.example", "guest"), user("carol@contoso.example", "person"), user("erin@fabrikam.example", "person"), rule("guest"),
	}}
	protocols := config.Difference{Setting: "protocols", Before: "[imap, smtp]", After: "[imap]"}
	policy := config.Difference{Setting: "policy", Before: "person", After: "guest"}
	want := Comparison{
		Settings: []config.Difference{{Setting: "store", Before: "a", After: "b"}, {Setting: "policies.guest.protocols", Before: "[imap, smtp]", After: "[imap]"}},
		Waiting:  []string{"store"},
		Logins: []LoginsChange{
			{Change: "changed", Settings: []config.Difference{protocols}, Logins: []string{"alice@contoso.example", "bob@contoso.example"}},
			// Dave's entry is gone, and the rule fits him; Zoe is one whom the rule has always fitted.
			{Change: "changed", Settings: []config.Difference{policy, protocols}, Logins: []string{"dave@contoso.example", "*@contoso.example", "zoe@contoso.example"}},
			{Change: "added", Settings: []config.Difference{{Setting: "account", After: "erin@fabrikam.example at contoso"}, {Setting: "policy", After: "person"}}, Logins: []string{"erin@fabrikam.example"}},
		},
	}
	if diff := cmp.Diff(want, Compare(before, after, []string{"zoe@contoso.example", "nobody@elsewhere.example"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if after.Store != "b" {
		t.Error("a comparison has changed what it compares")
	}
	if got := Compare(before, before, nil); !got.Empty() {
		t.Errorf("of one with itself: got %+v, want nothing", got)
	}
}
