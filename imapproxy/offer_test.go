package imapproxy

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// passed gives what comes out of an offer for responses that come in pieces of a size.
func passed(t testing.TB, o *offer, upstream string, piece func() int) string {
	t.Helper()
	o.next = &answers{lineStart: true}
	var out bytes.Buffer
	send := func(p []byte) error { _, err := out.Write(p); return err }
	for rest := []byte(upstream); len(rest) > 0; {
		n := min(piece(), len(rest))
		if err := o.Pass(bytes.Clone(rest[:n]), send); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return out.String()
}

var offers = []struct{ upstream, want string }{
	{"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE\r\na OK done\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\na OK done\r\n"},
	{"* capability IMAP4rev1 AUTH=PLAIN\r\n", "* capability IMAP4rev1\r\n"},
	{"* OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] new\r\n", "* OK [CAPABILITY IMAP4rev1] new\r\n"},
	{"[x OK [CAPABILITY UNAUTHENTICATE IMAP4rev1] a ] b\r\n", "[x OK [CAPABILITY IMAP4rev1] a ] b\r\n"},
	{"a NO [CAPABILITY IMAP4rev1 MOVE] no\r\n", "a NO [CAPABILITY IMAP4rev1 MOVE] no\r\n"},
	{"a OK [capability X COMPRESS=DEFLATE\r\nb OK\r\n", "a OK [capability X\r\nb OK\r\n"},
	{"* 1 FETCH (BODY[] {31}\r\n* CAPABILITY COMPRESS=DEFLATE\r\n)\r\n", "* 1 FETCH (BODY[] {31}\r\n* CAPABILITY COMPRESS=DEFLATE\r\n)\r\n"},
	{"* 1 FETCH (A {0}\r\n B {2}\r\n\r\n)\r\n* CAPABILITY X STARTTLS\r\n", "* 1 FETCH (A {0}\r\n B {2}\r\n\r\n)\r\n* CAPABILITY X\r\n"},
	{"* NO text {31}\r\n* CAPABILITY X STARTTLS\r\n", "* NO text {31}\r\n* CAPABILITY X\r\n"},
	{"+ idling\r\n* 3 EXISTS\r\n*\r\n\r\nx\r\n* OK\r\n* OK [CAP] x\r\n", "+ idling\r\n* 3 EXISTS\r\n*\r\n\r\nx\r\n* OK\r\n* OK [CAP] x\r\n"},
	{strings.Repeat("t", 500) + " OK [CAPABILITY STARTTLS X] x\r\n* SEARCH " + strings.Repeat("1 ", 500) + "\r\n", ""},
}

// TestI14AnswersListOnlyWhatIsOffered: upstream's own lists have what works through the gateway; all other bytes are as
// they came, wherever they were cut.
func TestI14AnswersListOnlyWhatIsOffered(t *testing.T) {
	for _, test := range offers {
		want := test.want
		if want == "" {
			want = test.upstream
		}
		for size := 1; size <= len(test.upstream); size++ {
			if want == test.upstream || size < 100 || size == len(test.upstream) {
				if got := passed(t, &offer{}, test.upstream, func() int { return size }); got != want {
					t.Errorf("in pieces of %d: got %.200q, want %.200q", size, got, want)
					break
				}
			}
		}
	}
}

// What rules refuse is not offered either.
func TestI14RestrictedSessionsAreOfferedLess(t *testing.T) {
	const upstream = "* CAPABILITY IMAP4rev1 IDLE MOVE NOTIFY UIDPLUS METADATA LITERAL+\r\n"
	for want, r := range map[string]*rules{
		"* CAPABILITY IMAP4rev1 IDLE LITERAL+\r\n":              {readOnly: true, anywhere: true},
		"* CAPABILITY IMAP4rev1 IDLE MOVE UIDPLUS LITERAL+\r\n": {folders: newFolders([]string{"INBOX"})},
	} {
		if got := passed(t, &offer{rules: r}, upstream, func() int { return 1000 }); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A response that has only begun is not held.
func TestOfferDoesNotWait(t *testing.T) {
	for _, begun := range []string{"*", "* O", "* OK [CAPABILI", "* CAPABILITY ", "a", "hello", "+", "a OK [CAPABILITY "} {
		if got := passed(t, &offer{}, begun, func() int { return 3 }); got != begun {
			t.Errorf("got %q of %q", got, begun)
		}
	}
}

// A list without end is not held without end.
func TestOfferIsBounded(t *testing.T) {
	o := &offer{next: &answers{lineStart: true}}
	err := o.Pass([]byte("* CAPABILITY "+strings.Repeat("X", 2*maxList)), func([]byte) error { return nil })
	if err != errList {
		t.Errorf("got %v, want %v", err, errList)
	}
}

// TestOfferPassesAllElse sends random responses, cut at random.
func TestOfferPassesAllElse(t *testing.T) {
	parts := []string{"* 1 FETCH (BODY[] {10}\r\n* CAPABIL\r\n FLAGS ())\r\n", "* OK hi\r\n", "a1 OK done\r\n", "* LIST () \"/\" {3}\r\na\r\n\r\n", "+ \r\n", "* SEARCH\r\n",
		"* CAPABILITY IMAP4rev1 IDLE\r\n", "* BYE [X] {5}\r\n"}
	for range 300 {
		var b strings.Builder
		for range 20 {
			b.WriteString(parts[rand.IntN(len(parts))])
		}
		if got := passed(t, &offer{}, b.String(), func() int { return 1 + rand.IntN(1<<rand.IntN(8)) }); got != b.String() {
			t.Fatalf("got\n%q\nwant\n%q", got, b.String())
		}
	}
}

// FuzzOffer holds that the way upstream's bytes are cut makes no difference.
func FuzzOffer(f *testing.F) {
	for _, test := range offers {
		f.Add(test.upstream, 3)
	}
	f.Fuzz(func(t *testing.T, upstream string, size int) {
		if size < 1 || len(upstream) > maxList {
			t.Skip()
		}
		whole := passed(t, &offer{}, upstream, func() int { return len(upstream) })
		if got := passed(t, &offer{}, upstream, func() int { return size }); got != whole {
			t.Fatalf("in pieces of %d: got %q, whole: %q", size, got, whole)
		}
		if len(whole) > len(upstream) {
			t.Fatalf("%q became longer: %q", upstream, whole)
		}
	})
}

// BenchmarkOffer is what it costs to follow upstream: short lines, as of FETCH FLAGS.
func BenchmarkOffer(b *testing.B) {
	o := &offer{next: &answers{lineStart: true}}
	chunk := bytes.Repeat([]byte("* 12345 FETCH (UID 123456 FLAGS (\\Seen \\Answered))\r\n"), 2500)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if err := o.Pass(chunk, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
