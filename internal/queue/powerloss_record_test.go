package queue

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/keys"
	"postern/internal/store"
)

// databaseName is the file name of the recorded database; its log has the same name with -wal behind it.
const databaseName = "postern.db"

// recording is what a process has written, in the order in which it was done.
type recording struct {
	folder   string // where it ran; with the keys
	start    map[string][]byte
	events   []diskEvent
	failures int // calls that were made to fail
}

// diskEvent is one call to the system that is done, or something that the process said.
type diskEvent struct {
	began, ended int64  // in nanoseconds
	call         string // open, openat, pwrite64, ftruncate, fsync or fdatasync
	file         string // its base name; of the folder "."
	failed       bool
	at           int64 // place of a write; size of a truncation
	data         []byte
	what, id     string // what was said of a message
}

// counts reports whether the power is to be cut behind an event.
func (e diskEvent) counts() bool {
	return e.what != "" || strings.HasPrefix(e.call, "f") && e.call != "ftruncate"
}

// recordWrites runs [TestPowerLossChild] under strace, which can make calls fail as well.
func recordWrites(t *testing.T, inject string) *recording {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("POSTERN_TEST_TOOLS") == "require" {
			t.Fatal("strace is not installed; run `make tools`")
		}
		t.Skip("strace is not installed; run `make tools`")
	}
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v\n%s", err, out)
	}
	r := &recording{folder: t.TempDir(), start: make(map[string][]byte)}
	r.prepare(t)
	prefix := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "-ff", "-y", "-xx", "-s", "1000000", "--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns",
		"-e", "trace=?open,openat,write,pwrite64,ftruncate,fsync,fdatasync", "-o", prefix}
	if inject != "" {
		args = append(args, "-e", "inject="+inject)
	}
	cmd := exec.CommandContext(t.Context(), strace, append(args, os.Args[0], "-test.run=^TestPowerLossChild$")...)
	cmd.Env = append(os.Environ(), childFolder+"="+r.folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the process whose writes are recorded: %v\n%s", err, out)
	}
	traces, err := filepath.Glob(prefix + ".*")
	if err != nil || len(traces) == 0 {
		t.Fatalf("no recording: %v", err)
	}
	for _, trace := range traces { // one for each thread
		if err := r.read(trace); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(r.events, func(a, b diskEvent) int { return cmp.Compare(a.ended, b.ended) })
	return r
}

// prepare makes keys and an empty database, and keeps what the disk has of it.
func (r *recording) prepare(t *testing.T) {
	t.Helper()
	ring, err := keys.Create(filepath.Join(r.folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(r.folder, databaseName), ring)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r.start[databaseName], err = os.ReadFile(filepath.Join(r.folder, databaseName)); err != nil {
		t.Fatal(err)
	}
}

// read reads the calls of one thread.
func (r *recording) read(trace string) error {
	file, err := os.Open(trace)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e, found, err := r.parse(bytes.TrimRight(line, "\n"))
		if err != nil {
			return fmt.Errorf("%.200q … %q: %w", line, line[max(0, len(line)-200):], err)
		}
		if found {
			r.events = append(r.events, e)
		}
	}
}

// parse reads a line such as
//
//	1795549988.154043095 pwrite64(9<\x2f…>, "\x37…", 32, 0) = 32 <0.000022442>
//
// found is false for what does not matter here: signals, and files of others.
func (r *recording) parse(line []byte) (e diskEvent, found bool, err error) {
	stamp, rest, _ := bytes.Cut(line, []byte(" "))
	call, rest, isCall := bytes.Cut(rest, []byte("("))
	end := bytes.LastIndex(rest, []byte(") = "))
	if !isCall || end < 0 || bytes.HasPrefix(rest[end:], []byte(") = ?")) { // a signal, the end of the process, or cut off by it
		return e, false, nil
	}
	arguments, result := bytes.Split(rest[:end], []byte(", ")), string(rest[end+len(") = "):])
	e.call = string(call)
	if e.began, err = nanoseconds(string(stamp)); err != nil {
		return e, false, err
	}
	took, err := nanoseconds(strings.TrimSuffix(result[strings.LastIndex(result, "<")+1:], ">"))
	if err != nil {
		return e, false, err
	}
	e.ended, e.failed = e.began+took, strings.HasPrefix(result, "-")
	switch e.call {
	case "write":
		return r.said(e, arguments)
	case "open", "openat": // its result is the descriptor
		opened, _, _ := strings.Cut(result, " <")
		e.file = r.fileOf([]byte(opened))
		return e, e.file != "" && e.file != ".", nil
	}
	if e.file = r.fileOf(arguments[0]); e.file == "" {
		return e, false, nil
	}
	if e.failed {
		r.failures++
	}
	switch {
	case e.call == "pwrite64" && len(arguments) == 4:
		e.at, err = strconv.ParseInt(string(arguments[3]), 10, 64)
		if err == nil {
			e.data, err = unquote(arguments[1])
		}
		if err == nil && !e.failed {
			e.data, err = written(e.data, result)
		}
	case e.call == "ftruncate" && len(arguments) == 2:
		e.at, err = strconv.ParseInt(string(arguments[1]), 10, 64)
	case e.call != "fsync" && e.call != "fdatasync":
		err = errTrace
	}
	return e, true, err
}

// written gives what of a write's bytes the system took. It may take a part of them: the rest then comes with the next call.
func written(data []byte, result string) ([]byte, error) {
	size, _, _ := strings.Cut(result, " ")
	n, err := strconv.Atoi(size)
	if err != nil || n > len(data) { // more than strace has recorded
		return nil, errTrace
	}
	return data[:n], nil
}

// said reads what the process said of a message.
func (r *recording) said(e diskEvent, arguments [][]byte) (diskEvent, bool, error) {
	if !bytes.HasPrefix(arguments[0], []byte("1<")) {
		return e, false, nil
	}
	text, err := unquote(arguments[1])
	if err != nil {
		return e, false, err
	}
	e.what, e.id, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	return e, e.what == "promised" || e.what == "refused" || e.what == "sent", nil
}

// fileOf gives the name of the database's file that a descriptor with its path stands for; empty for others. The index
// of the log is not worth keeping: a recovery makes it anew.
func (r *recording) fileOf(descriptor []byte) string {
	_, path, _ := bytes.Cut(descriptor, []byte("<"))
	name, err := unescape(bytes.TrimSuffix(path, []byte(">")))
	if err != nil {
		return ""
	}
	switch relative, err := filepath.Rel(r.folder, string(name)); {
	case err != nil:
	case relative == ".", relative == databaseName, relative == databaseName+"-wal":
		return relative
	}
	return ""
}

func nanoseconds(text string) (int64, error) {
	return strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
}

func unquote(text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return nil, errTrace
	}
	return unescape(text[1 : len(text)-1])
}

// unescape reads bytes of the form \x2f.
func unescape(text []byte) ([]byte, error) {
	raw := bytes.ReplaceAll(text, []byte(`\x`), nil)
	if len(raw)*2 != len(text) {
		return nil, errTrace
	}
	out := make([]byte, len(raw)/2)
	_, err := hex.Decode(out, raw)
	return out, err
}
