package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestTextNeverPrintsItself(t *testing.T) {
	const content = "hunter2-hunter2"
	type holder struct {
		Password Text
		hidden   Text
		Pointer  *Text
	}
	text := New(content)
	held := holder{Password: text, hidden: text, Pointer: &text}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", text)
		fmt.Fprintf(&out, verb+"\n", held.Pointer)
	}
	fmt.Fprintf(&out, "%v %+v %#v\n", held, held, held)
	fmt.Fprintln(&out, fmt.Errorf("refused: %v", text))
	if err := json.NewEncoder(&out).Encode(held); err != nil {
		t.Fatal(err)
	}
	if err := yaml.NewEncoder(&out).Encode(held); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", text, "held", held)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", text, "held", held)

	for _, form := range []string{content, fmt.Sprintf("%x", content), fmt.Sprintf("%X", content)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows as %q in:\n%s", form, out.String())
		}
	}
}

func TestTextEqual(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{{"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"", "", true}} {
		if got := New(test.a).Equal(New(test.b)); got != test.want {
			t.Errorf("New(%q).Equal(New(%q)) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestRedact(t *testing.T) {
	for _, test := range []struct{ secret, text, want string }{
		{"abc", "xabcyabc", "x[redacted]y[redacted]"}, {"abc", "xyz", "xyz"}, {"", "xyz", "xyz"},
	} {
		if got := New(test.secret).Redact(test.text); got != test.want {
			t.Errorf("Redact %q in %q: got %q, want %q", test.secret, test.text, got, test.want)
		}
	}
}
