package e2e

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// form is one way in which a secret may have been written.
type form struct{ name, text string }

// leaks looks for secrets in every form in which one may have been written by mistake.
type leaks struct {
	forms []form // each name says what it is a form of, and may be printed
}

// add makes a secret known under a name that may be printed.
func (l *leaks) add(name, secret string) {
	bare := strings.ReplaceAll(secret, "-", "") // an app password is accepted without its separators and in either case
	written := []string{secret, bare, strings.ToLower(secret), strings.ToLower(bare), strings.ToUpper(secret), strings.ToUpper(bare)}
	for _, s := range written {
		for _, f := range formsOf(s) {
			if !slices.ContainsFunc(l.forms, func(known form) bool { return known.text == f.text }) {
				l.forms = append(l.forms, form{name + " as " + f.name, f.text})
			}
		}
	}
}

// addBytes makes a secret known that is no text, such as a key.
func (l *leaks) addBytes(name string, secret []byte) {
	for _, f := range formsOf(string(secret)) {
		l.forms = append(l.forms, form{name + " as " + f.name, f.text})
	}
}

// formsOf gives the forms of a secret, the plainest first.
func formsOf(secret string) []form {
	inHex := hex.EncodeToString([]byte(secret))
	forms := []form{
		{"plain text", secret},
		{"hex", inHex},
		{"hex in capitals", strings.ToUpper(inHex)},
		{"URL query", url.QueryEscape(secret)},
		{"URL path", url.PathEscape(secret)},
		{"percent-encoding", percentEncoded(secret)},
	}
	for offset := range 3 {
		forms = append(forms,
			form{fmt.Sprintf("base64 at offset %d", offset), within(base64.RawStdEncoding.EncodeToString, 6, secret, offset)},
			form{fmt.Sprintf("base64 for URLs at offset %d", offset), within(base64.RawURLEncoding.EncodeToString, 6, secret, offset)})
	}
	for offset := range 5 {
		text := within(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString, 5, secret, offset)
		forms = append(forms, form{fmt.Sprintf("base32 at offset %d", offset), text}, form{fmt.Sprintf("base32 in small letters at offset %d", offset), strings.ToLower(text)})
	}
	return forms
}

// percentEncoded escapes every byte, which no rule demands and every rule allows (RFC 3986 section 2.1).
func percentEncoded(secret string) string {
	var b strings.Builder
	for _, c := range []byte(secret) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// within gives what an encoding of so many bits a character makes of a secret that begins offset bytes into one of its
// groups, without the characters at either end that its neighbours have a part in.
func within(encode func([]byte) string, bits int, secret string, offset int) string {
	encoded := encode(append(make([]byte, offset), secret...))
	encoded = encoded[(offset*8+bits-1)/bits:]
	if (offset+len(secret))*8%bits != 0 {
		encoded = encoded[:len(encoded)-1]
	}
	return encoded
}

// in fails the test when a text holds a secret. It names the secret and never prints it.
func (l *leaks) in(t *testing.T, where string, text []byte) {
	t.Helper()
	for _, f := range l.forms {
		if bytes.Contains(text, []byte(f.text)) {
			t.Errorf("%s holds a secret: %s", where, f.name)
		}
	}
}

// search looks through all that a running gateway wrote and said, and gives the names of the files it read. The files
// whose purpose is a secret are left out.
func (d *deployment) search(t *testing.T, g *gateway, l *leaks) []string {
	t.Helper()
	l.in(t, "stdout of "+g.name, []byte(g.stdout.String()))
	l.in(t, "stderr of "+g.name, []byte(g.stderr.String()))
	l.in(t, "the replies to clients", []byte(d.replies.String()))
	read := d.searchFiles(t, l, keyFile, secretFile)
	for _, name := range []string{"cmdline", "environ"} { // the process list, where there is one to read
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", g.cmd.Process.Pid, name)); err == nil {
			l.in(t, "the process's "+name, text)
		}
	}
	return read
}

// searchFiles looks through the files of a deployment but some, and gives the names of those that it read.
func (d *deployment) searchFiles(t *testing.T, l *leaks, but ...string) (read []string) {
	t.Helper()
	err := filepath.WalkDir(d.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || slices.Contains(but, entry.Name()) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		l.in(t, entry.Name(), text)
		read = append(read, entry.Name())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// searchTwice searches the gateway at work, with the database's write-ahead log, and again when it has stopped.
func (d *deployment) searchTwice(t *testing.T, g *gateway, l *leaks) {
	t.Helper()
	read := d.search(t, g, l)
	for _, want := range []string{"postern.audit", "postern.db", "postern.db-wal", "postern.keys", "postern.yaml"} {
		if !slices.Contains(read, want) {
			t.Errorf("searched %q while the gateway ran, want %s among them", read, want)
		}
	}
	g.stop(t)
	d.search(t, g, l)
}

// secretsOf gives the secrets that every run of a deployment has.
func secretsOf(s *simulator, g *gateway) *leaks {
	l := &leaks{}
	l.add("client secret", s.secret)
	for _, person := range s.People {
		l.add("password at Microsoft of "+person.Account, person.Password)
	}
	for _, user := range g.Users {
		l.add("app password of "+user.Login, user.Password)
	}
	return l
}

// TestLeaksAreFound holds the search to what it promises: a search that finds nothing must have been able to.
func TestLeaksAreFound(t *testing.T) {
	const secret = "abcd-EFGH-jkmn-PQRS-2345?~é"
	for _, around := range []string{"", "\x00", "\x00u", "\x00user", "Bearer ", "user=a\x01auth="} {
		text := []byte(around + secret + around)
		for name, written := range map[string]string{
			"plain":     string(text),
			"bare":      strings.ReplaceAll(string(text), "-", ""),
			"lower":     strings.ToLower(strings.ReplaceAll(string(text), "-", "")),
			"base64":    base64.StdEncoding.EncodeToString(text),
			"base64url": base64.RawURLEncoding.EncodeToString(text),
			"base32":    base32.StdEncoding.EncodeToString(text),
			"hex":       hex.EncodeToString(text),
			"HEX":       fmt.Sprintf("%X", text),
			"query":     url.QueryEscape(string(text)),
			"path":      url.PathEscape(string(text)),
		} {
			l := &leaks{}
			l.add("the secret", secret)
			if !found(l, "before "+written+" behind") {
				t.Errorf("%s, between %q: not found in %q", name, around, written)
			}
			other := &leaks{}
			other.add("another secret", "wxyz-EFGH-jkmn-PQRS-2345?~é")
			if found(other, "before "+written+" behind") {
				t.Errorf("%s, between %q: another secret was found in %q", name, around, written)
			}
		}
	}
}

// found reports whether a text holds one of the forms.
func found(l *leaks, text string) bool {
	return slices.ContainsFunc(l.forms, func(f form) bool { return strings.Contains(text, f.text) })
}
