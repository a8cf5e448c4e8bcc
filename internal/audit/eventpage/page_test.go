package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPageIsWhatTheCodeSays holds docs/events.md against the code.
func TestPageIsWhatTheCodeSays(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	s, err := readSource(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := page(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/events.md is not what the code says; run: go generate ./internal/audit\n%s", diff)
	}
}

// TestNothingIsLeftUnsaid: an event or a field without a word about it makes no page.
func TestNothingIsLeftUnsaid(t *testing.T) {
	for name, change := range map[string]func(s source){
		"SignIn has no comment":      func(s source) { delete(s.types, "SignIn") },
		"field Alias":                func(s source) { delete(s.fields["SignIn"], "Alias") },
		`constant "wrong-password"`:  func(s source) { s.words["auth.Reason"][2].meaning = "" },
		"constants of the type auth": func(s source) { delete(s.words, "auth.Reason") },
	} {
		s, err := readSource(filepath.Join("..", "..", ".."))
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		if _, err := page(s); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error that names %s", err, name)
		}
	}
}

// TestReasonsOfMessagesAreNamed: each reason that the SMTP proxy gives in its own words is in the comment of the field.
func TestReasonsOfMessagesAreNamed(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	s, err := readSource(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "smtpproxy", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	given := regexp.MustCompile(`\b[rR]eason: *"([a-z0-9-]+)"`)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range given.FindAllSubmatch(content, -1) {
			found++
			if reason := string(match[1]); !regexp.MustCompile(`\b` + reason + `\b`).MatchString(s.fields["Message"]["Reason"]) {
				t.Errorf("%s gives the reason %q, which the comment of audit.Message.Reason does not have", filepath.Base(file), reason)
			}
		}
	}
	if found < 8 {
		t.Errorf("found %d reasons in smtpproxy: are they written otherwise now?", found)
	}
}
