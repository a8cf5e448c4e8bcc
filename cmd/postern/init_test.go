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

// TestNextSteps: the commands for a service are its user's, who has to own what they make.
func TestNextSteps(t *testing.T) {
	a := setup.Answers{Mailbox: "scans@contoso.com", Login: "scans", StateDir: serviceState, Cert: "mail.pem"}
	want := []string{
		"sudo -u postern postern config check -c /etc/postern/postern.yaml",
		"sudo -u postern postern check -c /etc/postern/postern.yaml",
		`sudo -u postern postern password issue -c /etc/postern/postern.yaml scans --label "the first copier"`,
		"systemctl enable --now postern",
	}
	if diff := cmp.Diff(want, nextSteps("/etc/postern/postern.yaml", a)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
