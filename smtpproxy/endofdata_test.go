package smtpproxy

import (
	"strings"
	"testing"
)

// referenceEnd is endOfData told in another way, over a message that is there whole.
func referenceEnd(p string) (n int, ended, bare bool) {
	const start = "\r\n" // the message is as behind a line end
	message := p
	if i := strings.Index(start+p, "\r\n.\r\n"); i >= 0 {
		message, ended = p[:i+len("\r\n.\r\n")-len(start)], true
	}
	rest := strings.ReplaceAll(message, "\r\n", "")
	if strings.HasSuffix(message, "\r") { // this CR may still be half a line end
		rest = strings.TrimSuffix(rest, "\r")
	}
	return len(message), ended, strings.ContainsAny(rest, "\r\n")
}

// scanPortions has endOfData see p in portions that end where cuts has a set bit.
func scanPortions(p string, cuts uint64) (n int, ended, bare bool) {
	var e endOfData
	for from := 0; from < len(p) && !ended; {
		to := from + 1
		for to < len(p) && cuts&(1<<uint(to%64)) == 0 {
			to++
		}
		var used int
		used, ended = e.scan([]byte(p[from:to]))
		n += used
		from = to
	}
	return n, ended, e.bare
}

func checkEnd(t *testing.T, p string, cuts uint64) {
	t.Helper()
	n, ended, bare := scanPortions(p, cuts)
	wantN, wantEnded, wantBare := referenceEnd(p)
	if n != wantN || ended != wantEnded || bare != wantBare {
		t.Fatalf("%q cut at %b: got %d, ended %v, bare %v; want %d, %v, %v", p, cuts, n, ended, bare, wantN, wantEnded, wantBare)
	}
}

// TestEndOfDataOfEveryShortMessage goes through all messages of up to seven bytes that matter, cut in every way.
func TestEndOfDataOfEveryShortMessage(t *testing.T) {
	const alphabet = ".\r\na"
	var all func(prefix string)
	all = func(prefix string) {
		for cuts := range uint64(1) << max(0, len(prefix)-1) {
			checkEnd(t, prefix, cuts<<1)
		}
		if len(prefix) < 7 {
			for i := range len(alphabet) {
				all(prefix + alphabet[i:i+1])
			}
		}
	}
	all("")
}

// smuggled are endings that some server has been seen to take for the end of a message, and more of the kind. None is
// one (RFC 5321 section 4.1.1.4).
var smuggled = []struct{ name, ending string }{
	{"LF.LF", "\n.\n"},
	{"LF.CRLF", "\n.\r\n"},
	{"CRLF.LF", "\r\n.\n"},
	{"CR.CR", "\r.\r"},
	{"CR.CRLF", "\r.\r\n"},
	{"CRLF.CR", "\r\n.\r"},
	{"CR.LF", "\r.\n"},
	{"LF.CR", "\n.\r"},
	{"CRLF.CRCRLF", "\r\n.\r\r\n"},
	{"CRCRLF.CRLF alone", "\r\r\n.x\r\n"},
	{"LFCR.LFCR", "\n\r.\n\r"},
	{"CRLF.NULCRLF with LF", "\r\n.\x00\n"},
	{"a bare CR in a line", "a\rb"},
	{"a bare LF in a line", "a\nb"},
}

func TestEndOfDataIsNotFooled(t *testing.T) {
	for _, s := range smuggled {
		message := "x" + s.ending + "y\r\n.\r\n"
		for cut := range len(message) {
			n, ended, bare := scanPortions(message+"NOOP\r\n", 1<<uint(cut))
			if n != len(message) || !ended || !bare {
				t.Errorf("%s cut at %d: got %d, ended %v, bare %v; want %d, true, true", s.name, cut, n, ended, bare, len(message))
			}
		}
	}
}

func FuzzEndOfData(f *testing.F) {
	f.Add("x\r\n.\r\nNOOP\r\n", uint64(0))
	f.Add(".\r\n", uint64(2))
	f.Add("..\r\n.\r\r\n.\r\n", ^uint64(0))
	for _, s := range smuggled {
		f.Add("x"+s.ending+"y\r\n.\r\n", uint64(0x5555555555555555))
	}
	f.Fuzz(func(t *testing.T, p string, cuts uint64) { checkEnd(t, p, cuts) })
}
