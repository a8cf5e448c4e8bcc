package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// testKey signs heads in tests. The seed makes it always the same.
type testKey struct{ private ed25519.PrivateKey }

func newTestKey(seed byte) testKey {
	return testKey{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (k testKey) Sign(message []byte) ([]byte, error) { return ed25519.Sign(k.private, message), nil }
func (k testKey) Verifiers() []ed25519.PublicKey {
	return []ed25519.PublicKey{k.private.Public().(ed25519.PublicKey)}
}

// evidence is a log as its files are, with what verifies it.
type evidence struct {
	files   map[string][]byte
	earlier map[string][]byte // heads that were kept elsewhere
	keys    Verifiers
}

// kept is the log of these tests: three files of a few lines each, of which heads were signed at the start, on the way and
// at the end.
func kept(t testing.TB) evidence {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern.audit")
	log, err := Open(path, clock())
	if err != nil {
		t.Fatal(err)
	}
	key := newTestKey(1)
	log.Sign(key)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	head := func() { _, err := log.SignHead(); must(err) }
	must(log.Record(GatewayStarted{Version: "test", Listeners: []string{"smtp"}}))
	head()
	for file := range 3 {
		for i := range 3 {
			must(log.Record(SignIn{Login: fmt.Sprintf("copier-%d", 3*file+i), Outcome: Allowed}))
		}
		head()
		must(log.Record(PasswordRevoked{ID: "p1", By: "root"}))
		if file < 2 {
			must(log.Rotate())
		}
	}
	must(log.Close()) // signs
	return collect(t, path, key)
}

// collect reads the files of a log.
func collect(t testing.TB, path string, key testKey) evidence {
	t.Helper()
	e := evidence{files: map[string][]byte{}, earlier: map[string][]byte{}}
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if e.files[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	e.keys = VerifiersOf(key)
	return e
}

func (e evidence) clone() evidence {
	e.files, e.earlier = maps.Clone(e.files), maps.Clone(e.earlier)
	return e
}

func (e evidence) verify(t testing.TB) Report {
	t.Helper()
	folder := fstest.MapFS{}
	for name, content := range e.files {
		folder[name] = &fstest.MapFile{Data: content}
	}
	report, err := Verify(t.Context(), folder, Verification{Log: "postern.audit", Verifiers: e.keys, Earlier: e.earlier})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// lastHead gives the last head of the log, as somebody may have kept it.
func (e evidence) lastHead() []byte {
	heads := bytes.SplitAfter(e.files["postern.audit.heads"], []byte("\n\n"))
	return slices.Concat(heads[len(heads)-3], heads[len(heads)-2])
}

// wants holds that a log is not taken for what it was, and that the first problem names a place; line 0 means the file.
func (e evidence) wants(t *testing.T, file string, line int, what string) {
	t.Helper()
	report := e.verify(t)
	if len(report.Problems) == 0 {
		t.Errorf("%s:%d: nothing was found", file, line)
		return
	}
	if p := report.Problems[0]; p.File != file || line > 0 && p.Line != line || !strings.Contains(p.What, what) {
		t.Errorf("got %v; want %s:%d and %q", p, file, line, what)
	}
}

const (
	fileOne   = "postern.audit.000000000001"
	fileTwo   = "postern.audit.000000000007"
	fileThree = "postern.audit"
)

func TestI44AnUntouchedLogIsWhole(t *testing.T) {
	e := kept(t)
	e.earlier["kept"] = e.lastHead()
	report := e.verify(t)
	if len(report.Problems) > 0 {
		t.Fatalf("got %v", report.Problems)
	}
	if got := strings.Join(report.Files, " "); got != fileOne+" "+fileTwo+" "+fileThree {
		t.Errorf("got the files %s", got)
	}
	if report.First != 1 || report.Last != 17 || report.Head.Seq != 17 || report.Since != 0 || report.Torn != 0 {
		t.Errorf("got %+v", report)
	}
}

// TestI44AnyFlippedByteIsNamed flips each byte of each file, one bit at a time in turn: the file and the line are named.
func TestI44AnyFlippedByteIsNamed(t *testing.T) {
	whole := kept(t)
	for name, content := range whole.files {
		line := 1
		for i, b := range content {
			e := whole.clone()
			e.files[name] = bytes.Clone(content)
			e.files[name][i] ^= 1 << (i % 8)
			report := e.verify(t)
			named := func(p Problem) bool { return p.File == name && (p.Line == line || p.Line == 0) }
			if name == "postern.audit.heads" { // a head has several lines, and a problem names where it begins
				named = func(p Problem) bool { return p.File == name && p.Line <= line && line-p.Line < 14 }
			} else if len(report.Problems) > 0 && !named(report.Problems[0]) {
				t.Fatalf("%s: byte %d (%q, in line %d): the first problem is %v", name, i, b, line, report.Problems[0])
			}
			if !slices.ContainsFunc(report.Problems, named) {
				t.Fatalf("%s: byte %d (%q, in line %d): got %v", name, i, b, line, report.Problems)
			}
			if b == '\n' {
				line++
			}
		}
	}
}

// TestI44AnyRemovedLineIsNamed takes each line out of each file, all lines from it on, and everything up to it.
func TestI44AnyRemovedLineIsNamed(t *testing.T) {
	whole := kept(t)
	for _, name := range []string{fileOne, fileTwo, fileThree} {
		lines := bytes.SplitAfter(bytes.TrimSuffix(whole.files[name], []byte("\n")), []byte("\n"))
		for i := range lines {
			without := whole.clone()
			without.files[name] = bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
			cut := whole.clone()
			cut.files[name] = bytes.Join(lines[:i], nil)
			behead := whole.clone()
			behead.files[name] = bytes.Join(lines[i+1:], nil)
			for what, e := range map[string]evidence{"one line": without, "the rest": cut, "the beginning": behead} {
				report := e.verify(t)
				near := func(p Problem) bool {
					return p.File == name && p.Line <= i+2 || p.Line == 1 || strings.Contains(p.What, "missing")
				}
				if len(report.Problems) == 0 || !near(report.Problems[0]) {
					t.Errorf("%s of %s without line %d: got %v", what, name, i+1, report.Problems)
				}
			}
		}
	}
}

// TestI44AnySwapIsNamed exchanges each line with the next, also the last of a file with the first of its successor.
func TestI44AnySwapIsNamed(t *testing.T) {
	whole := kept(t)
	type place struct {
		file string
		line int
	}
	var places []place
	lines := map[string][][]byte{}
	for _, name := range []string{fileOne, fileTwo, fileThree} {
		lines[name] = bytes.SplitAfter(bytes.TrimSuffix(whole.files[name], []byte("\n")), []byte("\n"))
		lines[name][len(lines[name])-1] = append(lines[name][len(lines[name])-1], '\n')
		for i := range lines[name] {
			places = append(places, place{name, i})
		}
	}
	for i := range places[1:] {
		a, b := places[i], places[i+1]
		x, y := lines[a.file][a.line], lines[b.file][b.line]
		lines[a.file][a.line], lines[b.file][b.line] = y, x
		e := whole.clone()
		for name := range lines {
			e.files[name] = bytes.Join(lines[name], nil)
		}
		lines[a.file][a.line], lines[b.file][b.line] = x, y
		first := append(e.verify(t).Problems, Problem{})[0]
		if first.File != a.file && first.File != b.file || first.Line != a.line+1 && first.Line != b.line+1 {
			t.Errorf("%v exchanged with the next: the first problem is %v", a, first)
		}
	}
}

func TestI44FilesThatAreMissingOrExchanged(t *testing.T) {
	whole := kept(t)
	e := whole.clone()
	delete(e.files, fileOne)
	e.wants(t, fileTwo, 1, "no line says that retention removed them")
	e = whole.clone()
	delete(e.files, fileTwo)
	e.wants(t, fileThree, 1, "lines are missing before this one")
	e = whole.clone()
	delete(e.files, fileThree)
	e.wants(t, fileThree, 0, "missing")
	e = whole.clone()
	e.files[fileOne], e.files[fileTwo] = e.files[fileTwo], e.files[fileOne]
	e.wants(t, fileOne, 1, "another file's name")
	e = whole.clone()
	delete(e.files, "postern.audit.heads")
	e.wants(t, "postern.audit.heads", 0, "no head fits this log")
}

// rewrite makes the whole chain anew, as somebody who has the files and not the key can: with other text from a line on.
func rewrite(files map[string][]byte, from, to string) {
	prev := ""
	for i, name := range []string{fileOne, fileTwo, fileThree} {
		var out []byte
		for line := range bytes.Lines(files[name]) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			begin, _, _ := bytes.Cut(line, []byte(`,"prev":"`))
			line = fmt.Appendf(bytes.ReplaceAll(begin, []byte(from), []byte(to)), `,"prev":"%s"}`, prev)
			sum := sha256.Sum256(line)
			prev = hex.EncodeToString(sum[:])
			out = append(append(out, line...), '\n')
		}
		files[[]string{fileOne, fileTwo, fileThree}[i]] = out
	}
}

// TestI44ARewrittenChainIsFound: with the heads that lie beside it, without them, and with heads by another key, by one head that was
// kept elsewhere.
func TestI44ARewrittenChainIsFound(t *testing.T) {
	whole := kept(t)
	e := whole.clone()
	rewrite(e.files, "copier-4", "copier-9")
	e.wants(t, fileTwo, 4, "it was changed, or the log was written anew")

	e = whole.clone()
	e.earlier["kept"] = whole.lastHead()
	rewrite(e.files, "copier-4", "copier-9")
	delete(e.files, "postern.audit.heads")
	e.wants(t, fileThree, 5, "is not the line that was signed")

	forged := newTestKey(2)
	resigned := forge(t, forged)
	resigned.keys = whole.keys
	resigned.wants(t, "postern.audit.heads", 0, "")
	resigned.earlier["kept"] = whole.lastHead()
	resigned.wants(t, fileThree, 5, "is not the line that was signed")
}

// forge makes a log like kept, by another key and with another story.
func forge(t *testing.T, key testKey) evidence {
	t.Helper()
	e := kept(t)
	rewrite(e.files, "copier-4", "copier-9")
	folder := t.TempDir()
	for name, content := range e.files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "postern.audit")
	if err := os.Remove(path + ".heads"); err != nil {
		t.Fatal(err)
	}
	log := open(t, path)
	log.Sign(key)
	if _, err := log.SignHead(); err != nil {
		t.Fatal(err)
	}
	return collect(t, path, key)
}

// TestI44AStateOfBeforeIsFoundByALaterHead: a log that was set back, heads and all, is whole by itself.
func TestI44AStateOfBeforeIsFoundByALaterHead(t *testing.T) {
	whole := kept(t)
	e := whole.clone()
	lines := bytes.SplitAfter(e.files[fileThree], []byte("\n"))
	e.files[fileThree] = bytes.Join(lines[:4], nil)
	heads := bytes.SplitAfter(e.files["postern.audit.heads"], []byte("\n\n"))
	e.files["postern.audit.heads"] = bytes.Join(heads[:len(heads)-5], nil) // without the last two
	if report := e.verify(t); len(report.Problems) > 0 {
		t.Fatalf("got %v of a log that was whole then", report.Problems)
	}
	e.earlier["kept"] = whole.lastHead()
	e.wants(t, fileThree, 5, "lines are cut off")
}

// TestCrashesLeaveALogThatVerifies: half lines and half heads are passed over, and counted.
func TestCrashesLeaveALogThatVerifies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.audit")
	key := newTestKey(1)
	add := func(name, text string) {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	for range 3 {
		log, err := Open(path, clock())
		if err != nil {
			t.Fatal(err)
		}
		log.Sign(key)
		mustRecord(t, log, SignIn{Login: "a"})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		add(path, `{"time":"2026-11-24T0`)
		add(path+".heads", "postern/audit/0000\n1")
	}
	log := open(t, path)
	log.Sign(key)
	mustRecord(t, log, SignIn{Login: "b"})
	if _, err := log.SignHead(); err != nil {
		t.Fatal(err)
	}
	report := collect(t, path, key).verify(t)
	if len(report.Problems) > 0 || report.Torn != 3 || report.Last != 7 || report.Heads != 4 {
		t.Errorf("got %+v", report)
	}
}

func FuzzHeads(f *testing.F) {
	e := kept(f)
	good := e.files["postern.audit.heads"]
	f.Add(good)
	f.Add(e.lastHead())
	f.Add([]byte("\n\n— \n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		heads, problems := e.keys.parseHeads("heads", content)
		if len(heads) == 0 && len(problems) == 0 && len(content) > 0 {
			t.Errorf("%q is neither good nor bad", content)
		}
		for _, h := range heads {
			if text, err := h.text(); err != nil || !bytes.Contains(good, []byte(text)) {
				t.Errorf("a head was taken that nobody signed: %q", text)
			}
		}
	})
}
