package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// link is a line of the chain, as a walk remembers it.
type link struct {
	place  Problem // where it stands
	kind   string
	seq    int64  // what it says; 0 for a half line
	count  int64  // its number, counted from the line before
	prev   string // what it says of the line before
	hash   string
	at     time.Time
	pruned LogPruned // of a line of this kind
	broken bool      // it does not fit behind the line before it
}

// torn reports whether this is no line of an audit log: half of one, which a crash left. The line after it names it like any
// other.
func (l link) torn() bool { return l.seq == 0 }

// walk goes through the lines of a log, the oldest first, and notes what does not fit. Which line is to blame is known one
// line later: see settle.
type walk struct {
	ctx    context.Context
	folder fs.FS
	due    map[int64][]SignedHead // number of a line → heads that are of it
	log    string                 // the id of the log, from its oldest line

	first, before, last link
	lines               int64   // that were read
	half                Problem // where the first of the half lines in a row stands that end with before
	pruned              []LogPruned
	report              Report
}

func (w *walk) problem(at Problem, format string, arguments ...any) {
	if len(w.report.Problems) < maxProblems {
		at.What = fmt.Sprintf(format, arguments...)
		w.report.Problems = append(w.report.Problems, at)
	}
}

// file goes through one file of the log.
func (w *walk) file(log, name string) error {
	file, err := w.folder.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		w.problem(Problem{File: name}, "it is missing")
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 32<<10)
	for n := 1; ; n++ {
		if n%1000 == 0 && w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		line, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			w.unfinished(Problem{File: name, Line: n}, line, name == log)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", name, n, err)
		}
		l := parseLink(line)
		l.place = Problem{File: name, Line: n}
		if first, closed := firstOf(log, name); closed && n == 1 && !l.torn() && l.seq != first {
			w.problem(l.place, "this file begins with line %d, and its name says %d: it has another file's name", l.seq, first)
		}
		w.push(l, line)
	}
}

// unfinished looks at what stands behind the last line end of a file: a closed file has nothing there.
func (w *walk) unfinished(at Problem, rest []byte, open bool) {
	switch {
	case len(rest) == 0:
	case open:
		w.report.Partial = true
	default:
		w.problem(at, "this line has no end, and the file is closed: it was cut or changed")
	}
}

// readLine reads one line, without its line end. Of a line without one it gives what is there, and io.EOF.
func readLine(reader *bufio.Reader) (line []byte, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line[:len(line)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			return nil, errors.New("it is longer than any line of an audit log")
		}
	}
}

// parseLink reads what a line says of its place in the chain.
func parseLink(line []byte) link {
	sum := sha256.Sum256(line)
	l := link{hash: hex.EncodeToString(sum[:])}
	var says struct {
		head
		Prev *string `json:"prev"`
	}
	if json.Unmarshal(line, &says) != nil || says.Prev == nil || says.Seq < 1 || says.Kind == "" ||
		!bytes.HasSuffix(line, []byte(`,"prev":"`+*says.Prev+`"}`)) {
		return l
	}
	at, err := time.Parse(time.RFC3339Nano, says.Time)
	if err != nil {
		return l
	}
	if l.kind = says.Kind; l.kind == (LogPruned{}).Kind() && json.Unmarshal(line, &l.pruned) != nil {
		return l
	}
	l.seq, l.prev, l.at = says.Seq, *says.Prev, at
	return l
}

// push puts a line behind those before.
func (w *walk) push(l link, line []byte) {
	if w.lines > 0 {
		w.settle(&l)
		l.count = w.last.count + 1
		l.broken = !l.torn() && (l.prev != w.last.hash || l.seq != l.count)
	} else {
		w.begin(&l, line)
	}
	if l.torn() {
		w.report.Torn++
		if !w.last.torn() || w.lines == 0 {
			w.half = l.place
		}
	}
	w.before, w.last = w.last, l
	w.lines++
}

// begin takes the oldest line that there is.
func (w *walk) begin(l *link, line []byte) {
	l.count = max(l.seq, 1)
	w.log = idOf(line)
	if l.kind == (LogContinued{}).Kind() {
		var says LogContinued
		_ = json.Unmarshal(line, &says) // it is JSON
		w.log = says.Log
	}
	if l.seq == 1 && l.prev != "" {
		w.problem(l.place, "this line is the first, and names a line before it: it was changed")
	}
	w.first = *l
}

// settle decides on the last line, now that the one after it is known, which is nil at the end. A line that was changed does not
// fit what the line after it says of it; one whose own prev was changed, or that was moved, fits neither side.
func (w *walk) settle(next *link) {
	l := &w.last
	if l.broken {
		switch {
		case w.before.torn():
			w.problem(w.half, "this line was changed: it is no line of an audit log, and the line after it belongs behind another one")
			l.count = l.seq
		case next != nil && !next.torn() && next.prev != l.hash, next == nil && l.seq == l.count && w.contradicted(l):
			w.problem(l.place, "this line was changed or moved: it fits neither the line before it nor what comes after it")
			if next != nil && next.seq == l.count+1 {
				next.prev = l.hash // what it says is explained
			}
		case l.seq > l.count:
			w.problem(l.place, "%d lines are missing before this one: it is line %d, and the line before it is %d", l.seq-l.count, l.seq, l.count-1)
			l.count = l.seq
		case l.seq < l.count:
			w.problem(l.place, "this is line %d, and stands behind line %d: lines were moved, or put in", l.seq, l.count-1)
			l.count = l.seq
		default:
			w.problem(w.before.place, "this line was changed: it is not the one that the line after it names")
		}
	}
	for _, h := range w.due[l.count] {
		if h.Hash != l.hash {
			w.problem(l.place, "this is not the line that was signed on %s (%s:%d): it was changed, or the log was written anew",
				h.Time.Format(time.DateTime), h.file, h.line)
		} else if h.Log == w.log {
			w.fits(h)
		}
	}
	if l.kind == (LogPruned{}).Kind() {
		w.pruned = append(w.pruned, l.pruned)
	}
}

// contradicted reports whether a head says something else of a line.
func (w *walk) contradicted(l *link) bool {
	return slices.ContainsFunc(w.due[l.count], func(h SignedHead) bool { return h.Hash != l.hash })
}

// fits counts a head that says what the log says.
func (w *walk) fits(h SignedHead) {
	w.report.Heads++
	if h.Seq >= w.report.Head.Seq {
		w.report.Head = h.Head
	}
}

// end looks at what can be said once all lines were read.
func (w *walk) end(log string) {
	r := &w.report
	if w.lines == 0 {
		w.problem(Problem{File: log}, "there is no line in it")
		return
	}
	w.settle(nil)
	r.First, r.Last, r.Until = w.first.count, w.last.count, w.last.at
	w.missing()
	behind := Problem{File: w.last.place.File, Line: w.last.place.Line + 1}
	if w.last.place.File != log {
		behind = Problem{File: log, Line: 1}
	}
	for _, seq := range slices.Backward(slices.Sorted(maps.Keys(w.due))) {
		h := w.due[seq][0]
		if seq > r.Last {
			w.problem(behind, "lines are cut off: the log ends with line %d, and line %d was signed on %s (%s:%d)",
				r.Last, h.Seq, h.Time.Format(time.DateTime), h.file, h.line)
			break
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(w.due)) {
		strange := slices.IndexFunc(w.due[seq], func(h SignedHead) bool { return h.Log != w.log })
		if strange >= 0 {
			h := w.due[seq][strange]
			w.problem(Problem{File: h.file, Line: h.line}, "this head is of another log, %s, and this one is %s", h.Log, w.log)
			break // where one is, all are
		}
	}
	if r.Heads == 0 && len(r.Problems) == 0 {
		w.problem(Problem{File: headsName(log)}, "no head fits this log: nothing shows that it was not written anew; give one that was kept elsewhere with --head")
	}
	r.Since = r.Last - r.Head.Seq
}

// missing looks at what came before the first line that is there: retention has removed it and said so, or somebody else has.
func (w *walk) missing() {
	r := &w.report
	if w.first.seq <= 1 {
		return
	}
	gone := w.first.seq - 1
	for _, h := range w.due[gone] {
		if h.Hash != w.first.prev {
			w.problem(w.first.place, "line %d, before this one, was signed on %s (%s:%d), and this line names another one",
				gone, h.Time.Format(time.DateTime), h.file, h.line)
		} else if h.Log == w.log {
			w.fits(h)
		}
	}
	told := func(p LogPruned) bool { return p.Last == gone && p.Hash == w.first.prev }
	if w.first.kind != (LogContinued{}).Kind() || !slices.ContainsFunc(w.pruned, told) {
		w.problem(w.first.place, "the lines before this one, which is line %d, are missing, and no line says that retention removed them", w.first.seq)
		return
	}
	r.Pruned = gone
}
