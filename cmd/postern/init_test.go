package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/setup"
)

// TestInterview answers the questions, as on a terminal. What a flag has answered is not asked.
func TestInterview(t *testing.T) {
	var asked strings.Builder
	a := setup.Answers{Tenant: "contoso.onmicrosoft.com"}
	var networks []string
	answers := "mail.contoso.com\nscans@contoso.com\n10.0.8.0/24, 10.0.9.0/24\ny\nadmin@contoso.com\n"
	if err := interview(strings.NewReader(answers), &asked, &a, &networks); err != nil {
		t.Fatal(err)
	}
	want := setup.Answers{Domain: "mail.contoso.com", Tenant: "contoso.onmicrosoft.com", Mailbox: "scans@contoso.com", People: true, Administrator: "admin@contoso.com"}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.0.8.0/24", "10.0.9.0/24"}, networks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(asked.String(), "tenant") {
		t.Errorf("asked for what was known: %s", &asked)
	}
	if err := interview(strings.NewReader("mail.contoso.com\n"), &asked, new(setup.Answers), &networks); err == nil {
		t.Error("no error where the answers end")
	}
}
