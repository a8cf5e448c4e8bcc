package apppassword

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"postern/internal/secret"
)

func TestAlphabetHasNoLookAlikes(t *testing.T) {
	for _, alike := range []string{"0o", "1il", "2z", "5s", "8b"} {
		n := 0
		for _, c := range alike {
			n += strings.Count(alphabet, string(c))
		}
		if n > 1 {
			t.Errorf("the alphabet has %d of %q", n, alike)
		}
	}
	if bits := fullLength * math.Log2(float64(len(alphabet))); bits < 112 {
		t.Errorf("a password carries %.1f bits, want at least 112", bits)
	}
	seen := map[rune]bool{}
	for _, c := range alphabet {
		if seen[c] {
			t.Errorf("%c is there twice", c)
		}
		seen[c] = true
	}
}

func TestDrawIsUniform(t *testing.T) {
	// Each value of a byte once: every character must come equally often, which takes throwing four values away.
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	drawn, err := draw(bytes.NewReader(all), 252)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range alphabet {
		if n := strings.Count(drawn, string(c)); n != 9 {
			t.Errorf("%c was drawn %d times of 252, want 9", c, n)
		}
	}
	if _, err := draw(bytes.NewReader(all), 253); !errors.Is(err, io.EOF) {
		t.Errorf("when randomness runs out: got %v, want EOF", err)
	}
}

func TestShowAndNormalize(t *testing.T) {
	const password = "abcdefghjkmnpqrstuvwxyz3"
	if got, want := show(password).Reveal(), "abcd-efgh-jkmn-pqrs-tuvw-xyz3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, test := range map[string]struct{ typed, want string }{
		"as shown":            {"abcd-efgh-jkmn-pqrs-tuvw-xyz3", password},
		"plain":               {password, password},
		"upper case":          {"ABCD-EFGH-JKMN-PQRS-TUVW-XYZ3", password},
		"spaces":              {" abcd efgh jkmn pqrs tuvw xyz3 ", password},
		"odd groups":          {"ab--cdefgh jkmnpqr-s tuvwxyz3", password},
		"short form":          {"abcd-efgh-jkmn-pqrs", "abcdefghjkmnpqrs"},
		"empty":               {"", malformed.Reveal()},
		"one missing":         {password[1:], malformed.Reveal()},
		"one too many":        {password + "a", malformed.Reveal()},
		"a look-alike":        {"l" + password[1:], malformed.Reveal()},
		"a line break":        {password + "\n", malformed.Reveal()},
		"not ASCII":           {"ä" + password[2:], malformed.Reveal()},
		"NUL":                 {"\x00" + password[1:], malformed.Reveal()},
		"too much separation": {strings.Repeat("-", 41) + password, malformed.Reveal()},
	} {
		if got := normalize(secret.New(test.typed)).Reveal(); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestMalformedIsNoPassword(t *testing.T) {
	if strings.ContainsAny(malformed.Reveal(), alphabet) {
		t.Errorf("%q could be drawn", malformed.Reveal())
	}
}

func TestHashInputIsUnambiguous(t *testing.T) {
	// Without the length, a login that ends like another's password begins would give the same input.
	password := "abcdefghjkmnpqrstuvwxyz3"
	a := hashInput("copier", secret.New(password))
	b := hashInput("copiera", secret.New(password[1:]))
	if bytes.Equal(a, b) {
		t.Error("two pairs have one input")
	}
	if !bytes.Equal(hashInput("Alice@Contoso.com", malformed), hashInput("alice@contoso.com", malformed)) {
		t.Error("the case of a login matters")
	}
}

// FuzzNormalize: whatever is typed becomes a password or malformed; what is normal stays as it is, shown or not.
func FuzzNormalize(f *testing.F) {
	f.Add("abcd-efgh-jkmn-pqrs-tuvw-xyz3")
	f.Add("ABCD EFGH JKMN PQRS")
	f.Add("")
	f.Add("abcdefghjkmnpqrstuvwxyz0")
	f.Fuzz(func(t *testing.T, typed string) {
		got := normalize(secret.New(typed))
		if got.Equal(malformed) {
			return
		}
		plain := got.Reveal()
		if len(plain) != 24 && len(plain) != 16 || strings.Trim(plain, alphabet) != "" {
			t.Errorf("%q became %q", typed, plain)
		}
		if again := normalize(show(plain)).Reveal(); again != plain {
			t.Errorf("%q shown and typed again became %q", plain, again)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	password, err := draw(rand.Reader, fullLength)
	if err != nil {
		b.Fatal(err)
	}
	shown := show(password)
	for b.Loop() {
		normalize(shown)
	}
}
