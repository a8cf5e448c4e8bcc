package smtpproxy

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// repaired gives what becomes of a message, how much of it belongs to it, and whether it has ended, in portions of n bytes.
func repaired(r *repair, text string, n int) (out string, used int, ended bool) {
	var all bytes.Buffer
	for at := 0; at < len(text) && !ended; at += n {
		portion, taken, end := r.take([]byte(text[at:min(at+n, len(text))]), 0)
		all.Write(portion)
		used, ended = used+taken, end
	}
	return all.String(), used, ended
}

func TestRepair(t *testing.T) {
	for _, test := range []struct {
		name, text string
		lines      bool
		want       string
		used       int // 0: all of it
	}{
		{"nothing to repair", "a\r\n..b\r\n.\r\n", false, "a\r\n..b\r\n.\r\n", 0},
		{"lone LF", "a\nb\n\nc\r\n.\r\n", false, "a\r\nb\r\n\r\nc\r\n.\r\n", 0},
		{"LF . LF is text", "a\n.\nb\r\n.\r\n", false, "a\r\n..\r\nb\r\n.\r\n", 0},
		{"LF . CRLF is text", "a\n.\r\nb\r\n.\r\n", false, "a\r\n..\r\nb\r\n.\r\n", 0},
		{"CRLF . LF is text", "a\r\n.\nb\r\n.\r\n", false, "a\r\n..\r\nb\r\n.\r\n", 0},
		{"LF .. is text", "a\n..b\r\n.\r\n", false, "a\r\n...b\r\n.\r\n", 0},
		{"LF at once", "\n.\n\r\n.\r\n", false, "\r\n..\r\n\r\n.\r\n", 0},
		{"a device that knows LF only", "a\n\n..b\n.\nQUIT\n", true, "a\r\n\r\n..b\r\n.\r\n", 9},
		{"LF only, and CRLF within", "a\r\n.\r\nQUIT\n", true, "a\r\n.\r\n", 6},
		{"LF only, nothing in it", ".\n", true, ".\r\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.used == 0 {
				test.used = len(test.text)
			}
			for n := 1; n <= len(test.text); n++ {
				r := &repair{lines: test.lines}
				got, used, ended := repaired(r, test.text, n)
				if got != test.want || used != test.used || !ended || r.bare {
					t.Fatalf("in portions of %d: got %q, %d bytes, ended %v, bare %v; want %q, %d bytes", n, got, used, ended, r.bare, test.want, test.used)
				}
			}
		})
	}
}

func TestRepairForgivesNoCR(t *testing.T) {
	for _, text := range []string{"a\rb", "a\r\r\n", "\r.\r\n", "a\r\n.\rb", "a\r\n.\r\r\n", ".\r.\r\n"} {
		r := &repair{}
		if got, _, _ := repaired(r, text+"\r\n.\r\n", 1<<10); !r.bare {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// wireEnd is the end of a message.
var wireEnd = regexp.MustCompile(`(^|\r\n)\.\r\n`)

// FuzzFraming: whatever a client sends, what goes on has line ends of CRLF alone, and an end at its end and nowhere else
// (threat model I-05, I-06); how it was cut makes no difference.
func FuzzFraming(f *testing.F) {
	for _, s := range smuggled {
		f.Add([]byte("a"+s.ending+"b\r\n.\r\n"), 2, uint8(0))
		f.Add([]byte("a"+s.ending+"b\r\n.\r\n"), 5, uint8(1))
		f.Add([]byte("a"+s.ending+"b\n.\n"), 1, uint8(2))
	}
	f.Fuzz(func(t *testing.T, text []byte, n int, kind uint8) {
		var first string
		for i, n := range []int{len(text) + 1, max(1, n%1000)} {
			end := [...]framing{&endOfData{}, &repair{}, &repair{lines: true}}[kind%3]
			got, ended := framed(end, text, n)
			if end.isBare() {
				return // nothing of it counts
			}
			if i == 0 {
				first = got
			} else if got != first {
				t.Fatalf("whole: %q, cut by %d: %q", first, n, got)
			}
			rest := strings.ReplaceAll(got, "\r\n", "")
			ends := wireEnd.FindAllStringIndex(got, -1)
			if strings.ContainsAny(rest, "\r\n") || len(ends) > 1 || ended != (len(ends) == 1 && ends[0][1] == len(got)) {
				t.Fatalf("%q goes on as %q, ended %v", text, got, ended)
			}
		}
	})
}

// framed has a framing take text in portions as a dialogue does.
func framed(end framing, text []byte, n int) (out string, ended bool) {
	var all bytes.Buffer
	var block []byte
	for len(text) > 0 && !ended {
		portion := text[:min(n, len(text))]
		text = text[len(portion):]
		held := len(block)
		block = append(block, portion...)
		ready, used, e := end.take(block, held)
		all.Write(ready)
		block = append([]byte(nil), block[held+used-end.undecided():held+used]...)
		ended = e
	}
	return all.String(), ended
}
