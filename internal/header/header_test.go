package header

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// collect has a collector take text in portions of n bytes.
func collect(text string, n int) (Block, string, error) {
	var c Collector
	for at := 0; at < len(text); at += n {
		portion := []byte(text[at:min(at+n, len(text))])
		block, rest, done, err := c.Add(portion)
		if err != nil {
			return Block{}, "", err
		}
		if done {
			return block, string(rest) + text[min(at+n, len(text)):], nil
		}
	}
	return Block{}, "", errors.New("the block has no end")
}

func TestCollector(t *testing.T) {
	type field struct{ Name, Value string }
	for _, test := range []struct {
		name, text string
		fields     []field
		ending     Ending
		rest       string
	}{
		{"plain", "From: a@b\r\nSubject: x\r\n\r\nbody\r\n.\r\n", []field{{"From", "a@b"}, {"Subject", "x"}}, Blank, "\r\nbody\r\n.\r\n"},
		{"folded", "Subject: a\r\n b\r\n\tc\r\n\r\n.\r\n", []field{{"Subject", "a b\tc"}}, Blank, "\r\n.\r\n"},
		{"no body", "From: a@b\r\n.\r\n", []field{{"From", "a@b"}}, Message, ".\r\n"},
		{"nothing", ".\r\n", nil, Message, ".\r\n"},
		{"no header", "\r\nbody\r\n.\r\n", nil, Blank, "\r\nbody\r\n.\r\n"},
		{"body at once", "Hello,\r\nFrom: a@b\r\n.\r\n", nil, Stray, "Hello,\r\nFrom: a@b\r\n.\r\n"},
		{"continues nothing", " From: a@b\r\n.\r\n", nil, Stray, " From: a@b\r\n.\r\n"},
		{"broken in the middle", "From: a@b\r\n<html>\r\nTo: c@d\r\n.\r\n", []field{{"From", "a@b"}}, Stray, "<html>\r\nTo: c@d\r\n.\r\n"},
		{"space before the colon", "From : a@b\r\n.\r\n", []field{{"From", "a@b"}}, Message, ".\r\n"},
		{"a dot hides a field", ".From: a@b\r\n.\r\n", []field{{"From", "a@b"}}, Message, ".\r\n"},
		{"a dot hides a continuation", "From: a@b\r\n. ,c@d\r\n.\r\n", []field{{"From", "a@b ,c@d"}}, Message, ".\r\n"},
		{"dots of the wire", "..From: a@b\r\n.\r\n", []field{{".From", "a@b"}}, Message, ".\r\n"},
		{"a name with a control character", "Fr\x00om: a@b\r\n.\r\n", nil, Stray, "Fr\x00om: a@b\r\n.\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for n := 1; n <= len(test.text); n++ {
				block, rest, err := collect(test.text, n)
				if err != nil {
					t.Fatal(err)
				}
				var got []field
				for _, f := range block.Fields {
					got = append(got, field{f.Name, f.Value()})
				}
				if diff := cmp.Diff(test.fields, got); diff != "" || block.Ending != test.ending || rest != test.rest {
					t.Fatalf("in portions of %d: ending %v, rest %q, fields (-want +got):\n%s", n, block.Ending, rest, diff)
				}
			}
		})
	}
}

// TestStrayLinesAreKept: the fields behind them count as well, and no byte changes.
func TestStrayLinesAreKept(t *testing.T) {
	const text = " stray\r\nFrom: a@b\r\n<html>\r\n folded\r\n: x\r\nFrom: c@d\r\n"
	c := Collector{KeepStray: true}
	block, rest, done, err := c.Add([]byte(text + "\r\nFrom: body\r\n.\r\n"))
	if err != nil || !done || string(rest) != "\r\nFrom: body\r\n.\r\n" {
		t.Fatalf("rest %q, %v, %v", rest, done, err)
	}
	if got := len(block.All("From")); got != 2 {
		t.Errorf("%d From fields, want 2", got)
	}
	if got := string(block.AppendTo(nil)); got != text {
		t.Errorf("got  %q\nwant %q", got, text)
	}
}

func TestCollectorIsBounded(t *testing.T) {
	for _, n := range []int{1000, MaxBlock + 100} {
		if _, _, err := collect(strings.Repeat("X: "+strings.Repeat("x", 500)+"\r\n", 2*MaxBlock/500), n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("many fields in portions of %d: got %v, want %v", n, err, ErrTooLarge)
		}
		if _, _, err := collect("X: "+strings.Repeat("x", 2*MaxBlock), n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("one line in portions of %d: got %v, want %v", n, err, ErrTooLarge)
		}
	}
	almost := "X: " + strings.Repeat("x", MaxBlock-10) + "\r\n\r\n.\r\n"
	if block, rest, err := collect(almost, 4096); err != nil || len(block.Fields) != 1 || rest != "\r\n.\r\n" {
		t.Errorf("a block just small enough: %d fields, rest %q, %v", len(block.Fields), rest, err)
	}
}

func TestEditing(t *testing.T) {
	block, _, err := collect("From: a@b\r\nBcc: x@y\r\nfrom: c@d\r\nSubject: z\r\n folded\r\nBCC : q@y\r\n\r\n.\r\n", 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	block.Remove("Bcc")
	block.Set(New("From", "me@b"))
	block.Set(NewList("Reply-To", "a@b", "c@d\r\nX: y"))
	const want = "Reply-To: a@b,\r\n\tc@d  X: y\r\nFrom: me@b\r\nSubject: z\r\n folded\r\n"
	if got := string(block.AppendTo(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		value string
		want  []Address // none: an error
	}{
		{"a@b.example", []Address{{"", "a@b.example"}}},
		{"Copier <a@b.example>", []Address{{"Copier", "a@b.example"}}},
		{`"ceo@b.example" <a@b.example>`, []Address{{"ceo@b.example", "a@b.example"}}},
		{"=?utf-8?q?B=C3=BCro?= <a@b.example>", []Address{{"Büro", "a@b.example"}}},
		{"=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= <a@b.example>", []Address{{"\x1b$B%F%9%H\x1b(B", "a@b.example"}}},
		{"a@b.example, C <c@d.example>", []Address{{"", "a@b.example"}, {"C", "c@d.example"}}},
		{"Everybody: a@b.example, c@d.example;", []Address{{"", "a@b.example"}, {"", "c@d.example"}}},
		{"a@b.example (ceo@b.example)", []Address{{"ceo@b.example", "a@b.example"}}},
		{"", nil}, {"(ceo@b.example) a@b.example", nil}, {"copier", nil}, {"undisclosed:;", nil}, {"<>", nil},
		{"ceo@b.example <a@b.example>", nil}, // two addresses to some, a name and an address to others
		{"<a@b.example> <c@d.example>", nil}, {"a@b.example c@d.example", nil}, {"a@b.example\x00, c@d.example", nil},
		{strings.Repeat("a@b.example, ", 1000) + "a@b.example", nil},
	} {
		got, err := Addresses(test.value)
		if test.want == nil && !errors.Is(err, ErrAddresses) || test.want != nil && err != nil {
			t.Errorf("%.80q: got %v, %v", test.value, got, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.80q (-want +got):\n%s", test.value, diff)
		}
	}
}

// FuzzCollector: however a message is cut, its block is the same, and nothing of the message is lost or changed.
func FuzzCollector(f *testing.F) {
	for _, seed := range []string{
		"From: a@b\r\nSubject: x\r\n y\r\n\r\nbody\r\n.\r\n", ".From: a@b\r\n. c\r\n.\r\n", "Hello\r\n.\r\n", ".\r\n",
		" x\r\n.\r\n", "From : \"a\" <b@c>\r\n\t(d)\r\nBcc:\r\n.\r\n", "X\xff: y\r\n.\r\n", "X: \xff\x00\r\n\r\n.\r\n", "..\r\n.\r\n", ". \r\n.\r\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, message []byte, n int) {
		// What the wire has is lines that end in CRLF, and its dot at the end.
		text := strings.NewReplacer("\r", "", "\n", "\r\n").Replace(string(message)) + "\r\n.\r\n"
		n = max(1, n%4096)
		whole, wholeRest, err := collect(text, len(text))
		block, rest, cutErr := collect(text, n)
		if (err == nil) != (cutErr == nil) {
			t.Fatalf("whole: %v, cut: %v", err, cutErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(whole, block, cmp.AllowUnexported(Field{})); diff != "" || rest != wholeRest {
			t.Fatalf("cut by %d (-whole +cut):\n%s\nrest %q and %q", n, diff, wholeRest, rest)
		}
		if got := string(block.AppendTo(nil)) + rest; got != text {
			t.Fatalf("got  %q\nwant %q", got, text)
		}
		for _, field := range block.Fields {
			if list, err := Addresses(field.Value()); err == nil && len(list) == 0 {
				t.Fatalf("%q has no address and no error", field.Value())
			}
			if strings.ContainsAny(field.Value(), "\r\n") {
				t.Fatalf("a value with a line end: %q", field.Value())
			}
		}
	})
}
