package main

import (
	"net/netip"
	"testing"

	"postern/auth/apppassword"
)

// TestI38LastUse: what a client calls itself cannot steer the administrator's terminal.
func TestI38LastUse(t *testing.T) {
	address := netip.MustParseAddr("10.0.8.31")
	for client, want := range map[string]string{
		"":                       "10.0.8.31",
		"copier (Canon iR 2525)": "10.0.8.31 copier (Canon iR 2525)",
		"\x1b]0;owned\a\u009b2J": `10.0.8.31 \x1b]0;owned\a\u009b2J`,
	} {
		if got := from(apppassword.Use{From: address, Client: client}); got != want {
			t.Errorf("client %q: got %q want %q", client, got, want)
		}
	}
	if got, want := from(apppassword.Use{From: address, Protocol: "smtp", Client: "copier"}), "10.0.8.31 smtp copier"; got != want {
		t.Errorf("with a protocol: got %q want %q", got, want)
	}
	if got, want := from(apppassword.Use{}), "–"; got != want {
		t.Errorf("never used: got %q want %q", got, want)
	}
}
