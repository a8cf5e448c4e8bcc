package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/audit"
)

// trail is an audit log as a gateway has left it: name → content, its heads among them.
type trail struct {
	program string
	files   map[string][]byte
	names   []string // of the files with lines, the oldest first
	key     string   // a file with the public key
	head    string   // a file with a head that was kept elsewhere
}

// with gives the trail with some of its files changed.
func (l trail) with(change func(files map[string][]byte)) trail {
	l.files = maps.Clone(l.files)
	change(l.files)
	return l
}

// lines gives the lines of a file, each with its end.
func (l trail) lines(name string) [][]byte {
	lines := bytes.SplitAfter(l.files[name], []byte("\n"))
	return lines[:len(lines)-1]
}

// verify runs the command on copies of the files, and gives what it says first.
func (l trail) verify(t *testing.T) (first string, code int) {
	t.Helper()
	folder := t.TempDir()
	for name, content := range l.files {
		write(t, folder, name, string(content))
	}
	out, code := command{path: l.program, args: []string{"audit", "verify", "--dir", folder, "--key", l.key, "--head", l.head}}.try(t)
	first, _, _ = strings.Cut(out, "\n")
	return first, code
}

// wants demands that the command finds something, and that what it says first begins with one of these places.
func (l trail) wants(t *testing.T, what string, places ...string) {
	t.Helper()
	first, code := l.verify(t)
	if code != 1 || !slices.ContainsFunc(places, func(place string) bool { return strings.HasPrefix(first, place) }) {
		t.Errorf("%s: exit code %d and %q; want 1 and one of %q", what, code, first, places)
	}
}

// writeTrail has a gateway write an audit log of three files, with traffic, and keeps a head of it before the end.
func writeTrail(t *testing.T) trail {
	t.Helper()
	program := binary(t, program)
	s := startSim(t, program)
	d, g := deploy(t, s, s.upstreams())
	d.change(t, "audit_file: postern.audit", "audit_file: postern.audit\naudit: {rotate: {size: 64KB}}")
	d.serve(t, g, program)
	user := g.named(t, "alice@contoso.example")
	closed := func() int {
		found, err := filepath.Glob(d.auditFile() + ".0*")
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for deadline := time.Now().Add(2 * time.Minute); closed() < 2; {
		if time.Now().After(deadline) {
			t.Fatal("the log has not gone on in a third file within two minutes")
		}
		for range 20 {
			g.visit(t, user)
		}
	}
	l := trail{program: program, files: make(map[string][]byte)}
	l.head = write(t, t.TempDir(), "kept.head", d.command(t, program, 0, "audit", "heads", "--sign", "--note"))
	l.key = write(t, t.TempDir(), "audit.key", d.command(t, program, 0, "audit", "key"))
	d.command(t, program, 0, "audit", "verify", "--head", l.head) // while the gateway runs
	g.visit(t, user)
	g.stop(t)
	found, err := filepath.Glob(d.auditFile() + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		name := filepath.Base(path)
		if l.files[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "postern.audit.0") {
			l.names = append(l.names, name)
		}
	}
	slices.Sort(l.names)
	l.names = append(l.names, "postern.audit")
	return l
}

// visit is a short session, for which nobody asks upstream.
func (g *gateway) visit(t *testing.T, user login) {
	t.Helper()
	l := g.signIn(t, user, "smtp")[0]
	l.say(t, "221", "QUIT")
	_ = l.conn.Close()
}

// TestI44VerifyNamesWhatWasDone: of a log that a gateway has written, in three files, the command names file and line of whatever
// somebody does to it, given one head that was kept elsewhere and the public key.
func TestI44VerifyNamesWhatWasDone(t *testing.T) {
	t.Parallel()
	whole := writeTrail(t)
	if first, code := whole.verify(t); code != 0 {
		t.Fatalf("the log as it was written: exit code %d, %s", code, first)
	}
	whole.flips(t)
	for i, name := range whole.names {
		lines := whole.lines(name)
		at := len(lines) / 2
		place := func(line int) string { return fmt.Sprintf("%s:%d: ", name, line) }
		put := func(lines ...[]byte) trail {
			return whole.with(func(files map[string][]byte) { files[name] = bytes.Join(lines, nil) })
		}
		put(slices.Delete(slices.Clone(lines), at, at+1)...).wants(t, "a line taken out", place(at+1))
		put(slices.Insert(slices.Clone(lines), at, lines[at])...).wants(t, "a line put in", place(at+1), place(at+2))
		swapped := slices.Clone(lines)
		swapped[at], swapped[at+1] = swapped[at+1], swapped[at]
		put(swapped...).wants(t, "two lines exchanged", place(at+1), place(at+2))
		next := place(at + 1)
		if i+1 < len(whole.names) {
			next = whole.names[i+1] + ":1: "
		}
		put(lines[:at]...).wants(t, "the end cut off", next, place(at), place(at+1))
		gone := whole.with(func(files map[string][]byte) { delete(files, name) })
		if i+1 < len(whole.names) {
			gone.wants(t, "a file removed", whole.names[i+1]+":1: ", name+": ")
		} else {
			gone.wants(t, "the newest file removed", name+": ")
		}
	}
	one, two := whole.names[0], whole.names[1]
	whole.with(func(files map[string][]byte) { files[one], files[two] = files[two], files[one] }).wants(t, "two files exchanged", one+":1: ")
	whole.with(func(files map[string][]byte) {
		rewriteTrail(files, whole.names)
		delete(files, "postern.audit.heads")
	}).wants(t, "the whole chain written anew, and the heads removed", "postern.audit:")
	back := whole.with(func(files map[string][]byte) { // as it was when its first file was closed
		files["postern.audit"] = files[one]
		for _, name := range whole.names[:len(whole.names)-1] {
			delete(files, name)
		}
		heads := bytes.SplitAfter(files["postern.audit.heads"], []byte("\n\n"))
		files["postern.audit.heads"] = bytes.Join(heads[:2], nil) // one head: its text, and its signature
	})
	back.wants(t, "the log with its heads set back to an earlier state", "postern.audit:")
}

// flips changes one bit of bytes all over the files: of some by the command, of many more by what the command calls.
func (l trail) flips(t *testing.T) {
	t.Helper()
	const commands, calls = 3, 60 // of each file
	key, err := os.ReadFile(l.key)
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := audit.ParseVerifiers(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile(l.head)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range l.names {
		for n := range commands + calls {
			at := rand.IntN(len(l.files[name]))
			flipped := bytes.Clone(l.files[name])
			flipped[at] ^= 1 << (n % 8)
			line := 1 + bytes.Count(l.files[name][:at], []byte("\n"))
			changed := l.with(func(files map[string][]byte) { files[name] = flipped })
			what := fmt.Sprintf("byte %d of %s, in line %d, changed from %q to %q", at, name, line, l.files[name][at], flipped[at])
			if n < commands {
				changed.wants(t, what, fmt.Sprintf("%s:%d: ", name, line))
				continue
			}
			folder := fstest.MapFS{}
			for name, content := range changed.files {
				folder[name] = &fstest.MapFile{Data: content}
			}
			report, err := audit.Verify(t.Context(), folder, audit.Verification{Log: "postern.audit", Verifiers: verifiers, Earlier: map[string][]byte{"kept": head}})
			if err != nil {
				t.Fatal(err)
			}
			if p := append(report.Problems, audit.Problem{})[0]; p.File != name || p.Line != line {
				t.Errorf("%s: the first problem is %v", what, p)
			}
		}
	}
}

// rewriteTrail makes a chain anew with another story in it, as somebody can who has the files and not the key.
func rewriteTrail(files map[string][]byte, names []string) {
	prev := ""
	for _, name := range names {
		var out bytes.Buffer
		for line := range bytes.Lines(files[name]) {
			begin, _, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(`,"prev":"`))
			line = fmt.Appendf(bytes.ReplaceAll(begin, []byte("alice@"), []byte("mallo@")), `,"prev":"%s"}`, prev)
			sum := sha256.Sum256(line)
			prev = hex.EncodeToString(sum[:])
			out.Write(append(line, '\n'))
		}
		files[name] = out.Bytes()
	}
}
