package terminal

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestText(t *testing.T) {
	for text, want := range map[string][2]string{
		"copier":             {"copier", "copier"},
		"":                   {"", `""`},
		`a "b" =`:            {`a "b" =`, `"a \"b\" ="`},
		"näme日本":             {"näme日本", "näme日本"},
		"a\x1b[2J\"":         {`a\x1b[2J"`, `"a\x1b[2J\""`},
		"\u009b2J\u202e":     {`\u009b2J\u202e`, `"\u009b2J\u202e"`},
		"raw \x9b":           {`raw \x9b`, `"raw \x9b"`},
		"tag \U000e0041\x7f": {`tag \U000e0041\x7f`, `"tag \U000e0041\x7f"`},
	} {
		if got := Text(text); got != want[0] {
			t.Errorf("Text(%q): got %s want %s", text, got, want[0])
		}
		if got := Word(text); got != want[1] {
			t.Errorf("Word(%q): got %s want %s", text, got, want[1])
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("a\x1b]0;title\a\u009b2J\x7f\u202eb \u200b\U000e0041 \"=\n")
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		safe := JSON(encoded)
		if err := json.Unmarshal(safe, &got); err != nil || got != want {
			t.Errorf("%q means %q (%v), want %q", safe, got, err, want)
		}
		if strings.ContainsFunc(string(safe), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q has something that does not show", safe)
		}
	})
}
