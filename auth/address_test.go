package auth

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/auth/token"
	"postern/internal/audit"
	"postern/internal/config"
)

// addressed is a gate whose copiers are known by their address.
func addressed() *lockWorld {
	w := newLockWorld()
	prefixes := func(list ...string) (all []netip.Prefix) {
		for _, text := range list {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	copier := config.User{Mailbox: "Scans@contoso.example", Addresses: []string{"Info@contoso.example"}, Provider: "contoso", Grant: "application", Policy: "device"}
	users := []config.User{copier, copier, copier, copier}
	users[0].Login, users[0].WithoutAuth = "Copier-1", prefixes("10.0.8.17/32", "2001:db8::17/128")
	users[1].Login, users[1].WithoutAuth = "floor-2", prefixes("10.0.8.0/24")
	users[2].Login, users[2].WithoutAuth, users[2].Policy = "reader", prefixes("10.0.9.0/24"), "person"
	users[3].Login, users[3].WithoutAuth, users[3].Policy = "strict", prefixes("10.0.10.0/24"), "proven"
	w.gate.directory.Store(NewDirectory(&config.Config{Users: users, Policies: map[string]*config.Policy{
		"device": {Name: "device", Protocols: []string{"smtp"}, Networks: prefixes("10.0.8.0/25", "2001:db8::/64")},
		"person": {Name: "person", Protocols: []string{"imap"}},
		"proven": {Name: "proven", Protocols: []string{"smtp"}, MFA: config.MFA{Evidence: []string{"totp"}}},
	}}))
	return w
}

func (w *lockWorld) byAddress(t *testing.T, from string) (Grant, *Refusal) {
	t.Helper()
	grant, err := w.gate.SignInByAddress(t.Context(), Attempt{Session: "s1", Protocol: SMTP, Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 49152)}, nil)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return grant, refusal
}

func TestSignInByAddress(t *testing.T) {
	for from, want := range map[string]struct {
		login  string
		reason Reason
	}{
		"10.0.8.17":    {"copier-1", ""},
		"2001:db8::17": {"copier-1", ""},
		"10.0.8.18":    {"floor-2", ""},
		"10.0.8.200":   {"floor-2", NetworkForbidden}, // in the login's network, and not in the policy's
		"10.0.9.1":     {"reader", ProtocolForbidden},
		"10.0.10.1":    {"strict", EvidenceMissing},
		"192.0.2.1":    {"", UnknownAddress},
	} {
		w := addressed()
		grant, refusal := w.byAddress(t, from)
		e := w.events[0]
		if e.Login != want.login || e.Reason != string(want.reason) || e.Mechanism != "address" || e.Alias != "" || len(w.events) != 1 {
			t.Errorf("%s: audit %+v, want login %q, reason %q", from, w.events, want.login, want.reason)
		}
		if want.reason == "" {
			expected := Grant{Login: want.login, Mailbox: "scans@contoso.example", User: "scans@contoso.example",
				Addresses: []string{"scans@contoso.example", "info@contoso.example"}, Account: token.Account{Provider: "contoso", Grant: token.Application},
				Policy: w.gate.directory.Load().policies["device"]}
			if diff := cmp.Diff(expected, grant, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || refusal != nil {
				t.Errorf("%s: %v (-want +got):\n%s", from, refusal, diff)
			}
		} else if refusal == nil || refusal.Kind != Denied || w.waited != 1 {
			t.Errorf("%s: got %v after %d waits, want it denied", from, refusal, w.waited)
		}
	}
}

// TestI24LockedLoginHasNoAddress: a lock holds for an address as it does for a password.
func TestI24LockedLoginHasNoAddress(t *testing.T) {
	w := addressed()
	w.locked["copier-1"] = true
	if _, refusal := w.byAddress(t, "10.0.8.17"); refusal == nil || refusal.Reason != LoginLocked || w.events[0].Outcome != audit.Refused {
		t.Errorf("got %v", refusal)
	}
	w.broken = errors.New("disk")
	if _, refusal := w.byAddress(t, "10.0.8.18"); refusal == nil || refusal.Kind != Unavailable {
		t.Errorf("where locks cannot be read: got %v, want it temporary", refusal)
	}
}
