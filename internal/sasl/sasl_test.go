package sasl

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"postern/internal/secret"
)

// exchange plays messages at a server and gives what it answered, challenges and errors, in a line each.
func exchange(next func([]byte) ([]byte, bool, error), messages ...[]byte) string {
	var answers []string
	for _, message := range messages {
		challenge, done, err := next(message)
		switch {
		case err != nil:
			answers = append(answers, "error: "+err.Error())
		case done:
			answers = append(answers, "done")
		default:
			answers = append(answers, "+ "+string(challenge))
		}
	}
	return strings.Join(answers, "\n")
}

func TestPlainServer(t *testing.T) {
	for _, test := range []struct {
		message string
		want    string // identity|username|password, or empty when malformed
	}{
		{"\x00alice\x00secret", "|alice|secret"},
		{"boss\x00alice\x00secret", "boss|alice|secret"},
		{"\x00ali ce\x00se cret ü", "|ali ce|se cret ü"},
		{"alice\x00secret", ""},
		{"\x00alice\x00secret\x00", ""},
		{"\x00\x00secret", ""},
		{"\x00alice\x00", ""},
		{"\x00al\x01ice\x00secret", ""},
		{"\x00al\r\nice\x00secret", ""},
		{"b\noss\x00alice\x00secret", ""},
		{"\x00alice\x00\xff\xfe", ""},
		{"\x00" + strings.Repeat("a", 1025) + "\x00secret", ""},
		{"", ""},
	} {
		var got string
		server := NewPlainServer(func(identity, username string, password secret.Text) error {
			got = identity + "|" + username + "|" + password.Reveal()
			return nil
		})
		answer := exchange(server.Next, []byte(test.message))
		if got != test.want || (answer == "done") != (test.want != "") {
			t.Errorf("PLAIN %q: got %q, %s; want %q", test.message, got, answer, test.want)
		}
	}
}

func TestPlainServerAsksWhenThereIsNoInitialResponse(t *testing.T) {
	server := NewPlainServer(func(_, _ string, _ secret.Text) error { return errors.New("no") })
	got := exchange(server.Next, nil, []byte("\x00a\x00b"), []byte("more"))
	if want := "+ \nerror: no\nerror: unexpected SASL message"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoginServer(t *testing.T) {
	for _, test := range []struct {
		name     string
		messages [][]byte
		want     string
		creds    string
	}{
		{"classic", [][]byte{nil, []byte("copier-3"), []byte("pw")}, "+ Username:\n+ Password:\ndone", "copier-3|pw"},
		{"initial response", [][]byte{[]byte("copier-3"), []byte("pw")}, "+ Password:\ndone", "copier-3|pw"},
		{"no user name", [][]byte{nil, {}}, "+ Username:\nerror: malformed SASL message", ""},
		{"no password", [][]byte{[]byte("a"), {}}, "+ Password:\nerror: malformed SASL message", ""},
		{"control character", [][]byte{[]byte("a\x01b")}, "error: malformed SASL message", ""},
		{"one too many", [][]byte{[]byte("a"), []byte("b"), []byte("c")},
			"+ Password:\ndone\nerror: unexpected SASL message", "a|b"},
	} {
		var creds string
		server := NewLoginServer(func(username string, password secret.Text) error {
			creds = username + "|" + password.Reveal()
			return nil
		})
		if got := exchange(server.Next, test.messages...); got != test.want || creds != test.creds {
			t.Errorf("%s: got %q with %q, want %q with %q", test.name, got, creds, test.want, test.creds)
		}
	}
}

// TestXOAUTH2Vector holds the message against the published one (reference B.1).
func TestXOAUTH2Vector(t *testing.T) {
	const want = "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ=="
	token := secret.New("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA")
	mechanism, initial, err := NewXOAUTH2Client("test@contoso.onmicrosoft.com", token).Start()
	if err != nil || mechanism != "XOAUTH2" {
		t.Fatal(mechanism, err)
	}
	if got := base64.StdEncoding.EncodeToString(initial); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestXOAUTH2FieldsCannotBeSplit(t *testing.T) {
	for _, test := range []struct{ user, token string }{
		{"", "t"}, {"a", ""}, {"a\x01auth=Bearer x", "t"}, {"a\x00", "t"}, {"a\r\n", "t"}, {"a", "t\x01"}, {"a", "t t"}, {"a", "t\n"},
	} {
		message, err := XOAUTH2(test.user, secret.New(test.token))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("XOAUTH2(%q, %q) = %q, %v; want an error", test.user, test.token, message, err)
		}
		if test.token != "t" && test.token != "" && strings.Contains(err.Error(), test.token) {
			t.Errorf("the error %q shows the token", err)
		}
	}
}

func TestXOAUTH2ClientAnswersAnErrorChallenge(t *testing.T) {
	response, err := NewXOAUTH2Client("a", secret.New("t")).Next([]byte(`{"status":"400"}`))
	if err != nil || response == nil || len(response) != 0 {
		t.Errorf("got %q, %v; want an empty response", response, err)
	}
}

func FuzzParseXOAUTH2(f *testing.F) {
	f.Add([]byte("user=a@b\x01auth=Bearer tok\x01\x01"))
	f.Add([]byte("user=a\x01auth=bearer tok\x01\x01"))
	f.Add([]byte("user=\x01auth=Bearer \x01\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		user, token, err := ParseXOAUTH2(message)
		if err != nil {
			return
		}
		again, err := XOAUTH2(user, token)
		if err != nil || string(again) != string(message) {
			t.Fatalf("%q parsed to %q, printed to %q, %v", message, user, again, err)
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00a\x00b"))
	f.Add([]byte("c\x00a\x00b"))
	f.Fuzz(func(t *testing.T, message []byte) {
		NewPlainServer(func(identity, username string, password secret.Text) error {
			if again := identity + "\x00" + username + "\x00" + password.Reveal(); again != string(message) {
				t.Fatalf("%q was taken for %q", message, again)
			}
			return nil
		}).Next(message)
	})
}

func FuzzLogin(f *testing.F) {
	f.Add([]byte("a"), []byte("b"))
	f.Fuzz(func(t *testing.T, username, password []byte) {
		server := NewLoginServer(func(u string, p secret.Text) error {
			if u != string(username) || p.Reveal() != string(password) {
				t.Fatalf("%q %q were taken for %q %q", username, password, u, p.Reveal())
			}
			return nil
		})
		exchange(server.Next, nil, username, password)
	})
}
