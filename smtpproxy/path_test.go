package smtpproxy

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	long := strings.Repeat("l", 64)
	for _, test := range []struct {
		argument   string
		address    string
		parameters []parameter
	}{
		{"FROM:<>", "", nil},
		{"FROM:<a@b>", "a@b", nil},
		{"from:<a.b+c=d@b-c.example>", "a.b+c=d@b-c.example", nil},
		{"FROM:<o'neill!#$%&*/?^_`{|}~@b.example>", "o'neill!#$%&*/?^_`{|}~@b.example", nil},
		{`FROM:<"a b"@c.example>`, `"a b"@c.example`, nil},
		{`FROM:<"a>b\"c@d"@e.example> SIZE=1`, `"a>b\"c@d"@e.example`, []parameter{{"SIZE", "1"}}},
		{"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", nil},
		{"FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", nil},
		{"FROM:<ünï@bücher.example>", "ünï@bücher.example", nil},
		{"FROM:<" + long + "@b.example>", long + "@b.example", nil},
		{"FROM:<a@b> size=1 X-Y=z SMTPUTF8", "a@b", []parameter{{"SIZE", "1"}, {"X-Y", "z"}, {"SMTPUTF8", ""}}},
	} {
		address, parameters, ok := parsePath(test.argument, "FROM:", Profile{})
		if !ok || address != test.address {
			t.Errorf("%q: got %q, %v; want %q", test.argument, address, ok, test.address)
		}
		if diff := cmp.Diff(test.parameters, parameters, cmp.AllowUnexported(parameter{})); diff != "" {
			t.Errorf("%q: parameters (-want +got):\n%s", test.argument, diff)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, argument := range []string{
		"", "FROM", "FROM:", "FROM:<", "FROM:>", "FROM: <a@b>", "FROM:a@b", "FROM:<a@b", "TO:<a@b>",
		"FROM:<a>", "FROM:<@b>", "FROM:<a@>", "FROM:<a@b>x", "FROM:<<a@b>>", "FROM:<@relay.example:a@b>",
		"FROM:<a b@c>", "FROM:<.a@b>", "FROM:<a.@b>", "FROM:<a..b@c>", "FROM:<a@b@c>", "FROM:<a(x)@b>",
		`FROM:<"a@b>`, `FROM:<"a"b@c>`, `FROM:<"a"b"@c>`, "FROM:<\"a\x01\"@b>", "FROM:<\"a\\\x01\"@b>", "FROM:<a\x00@b>", "FROM:<a\x7f@b>",
		"FROM:<\"a\u0085\"@b>", "FROM:<a\u0085@b>", "FROM:<a@b\u0085>", "FROM:<\xff@b>", "FROM:<a@\xff>",
		"FROM:<a@b..c>", "FROM:<a@.b>", "FROM:<a@b.>", "FROM:<a@-b>", "FROM:<a@b->", "FROM:<a@b c>",
		"FROM:<a@[192.0.2.1>", "FROM:<a@[300.0.2.1]>", "FROM:<a@[]>", "FROM:<a@[IPv6:fe80::1%a b]>", "FROM:<a@[fe80::1%\x01]>",
		"FROM:<" + strings.Repeat("l", 65) + "@b>", "FROM:<a@" + strings.Repeat("d.", 127) + "dd>",
		"FROM:<a@b> ", "FROM:<a@b>  X", "FROM:<a@b> X=", "FROM:<a@b> =x", "FROM:<a@b> -X=y", "FROM:<a@b> X=y=z", "FROM:<a@b> X=\x01",
		"FROM:<a@b> X=1 x=2", "FROM:<a@b> A B C D E F G H I J K", "FROM:<a@b> X=\xff", "FROM:<a@b> X=\u0085",
	} {
		if address, parameters, ok := parsePath(argument, "FROM:", Profile{}); ok {
			t.Errorf("%q was taken for %q with %v", argument, address, parameters)
		}
	}
}

// FuzzParsePath: what is taken can be written again to mean the same, and can break out of no line and no brackets.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"FROM:<>", "FROM:<a@b> SIZE=1", `FROM:<"a>\"b"@c.example> X Y=z`, "FROM:<a@[IPv6:::1]>", "FROM:<a@[fe80::1%x y]>", "FROM:<ü@b>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		address, parameters, ok := parsePath(argument, "FROM:", Profile{})
		if !ok {
			return
		}
		again := "FROM:<" + address + ">"
		for _, p := range parameters {
			again += " " + p.keyword
			if p.value != "" {
				again += "=" + p.value
			}
		}
		address2, parameters2, ok := parsePath(again, "FROM:", Profile{})
		if !ok || address2 != address || !cmp.Equal(parameters, parameters2, cmp.AllowUnexported(parameter{})) {
			t.Fatalf("%q was taken for %q, and that for %q with %v, %v", argument, again, address2, parameters2, ok)
		}
		for _, r := range again {
			if isControlRune(r) {
				t.Fatalf("%q has the control character %q", again, r)
			}
		}
		unquoted := address
		if at := strings.LastIndexByte(address, '@'); strings.HasPrefix(address, `"`) {
			unquoted = address[at:]
		}
		if strings.ContainsAny(unquoted, " <>") || !utf8.ValidString(again) {
			t.Fatalf("%q can be read in another way", again)
		}
	})
}

func isControlRune(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
