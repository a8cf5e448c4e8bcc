package audit

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// Verification is what [Verify] holds a log against.
type Verification struct {
	// Log is the name of the file that lines are added to, such as postern.audit. Everything else of the log stands beside it.
	Log string
	// Verifiers are the keys that may have signed its heads.
	Verifiers Verifiers
	// Earlier are heads that were kept elsewhere: name → content of a file as the log's own heads have it. They are what shows
	// that a log, with its heads, was set back to an earlier state or written anew.
	Earlier map[string][]byte
}

// Report is what a verification found.
type Report struct {
	Files   []string  // that were read, the oldest first
	First   int64     // the number of the first line that is still there
	Last    int64     // the number of the last line
	Torn    int       // half lines, which crashes left; the chain covers them
	Pruned  int64     // how many lines retention has removed; a line of the log says so
	Heads   int       // heads that fit
	Head    Head      // the newest of them
	Since   int64     // lines behind the newest head: the chain covers all of them but the last
	Until   time.Time // of the last line
	Partial bool      // the last line has no end: somebody is writing it, or a crash cut it

	// Problems are everything that is wrong, as the files stand in the chain. Nothing means that the log is what it was.
	Problems []Problem
}

// Problem is one thing that is wrong with a log.
type Problem struct {
	File string // its name
	Line int    // in the file, from 1 on; 0 for the file as a whole
	What string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.What)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What)
}

// maxProblems bounds what a report holds: a log that is another one altogether has a problem in each line.
const maxProblems = 100

// Verify reads all of a log's files in a folder and says whether anything was changed, removed, moved, cut off or written
// anew. It needs nothing but the files: they may be copies. An error is one of reading, and says nothing about the log.
func Verify(ctx context.Context, folder fs.FS, v Verification) (Report, error) {
	w := &walk{ctx: ctx, folder: folder, due: make(map[int64][]SignedHead)}
	content, err := readHeads(folder, headsName(v.Log))
	if err != nil {
		return w.report, err
	}
	heads, problems := v.Verifiers.parseHeads(headsName(v.Log), content)
	for _, name := range slices.Sorted(maps.Keys(v.Earlier)) {
		earlier, wrong := v.Verifiers.parseHeads(name, v.Earlier[name])
		heads, problems = append(heads, earlier...), append(problems, wrong...)
		if len(earlier)+len(wrong) == 0 {
			problems = append(problems, Problem{File: name, What: "there is no head in it"})
		}
	}
	for _, h := range heads {
		w.due[h.Seq] = append(w.due[h.Seq], h)
	}
	names, err := closedFiles(folder, v.Log)
	if err != nil {
		return w.report, err
	}
	w.report.Files = append(names, v.Log)
	for _, name := range w.report.Files {
		if err := w.file(v.Log, name); err != nil {
			return w.report, err
		}
	}
	w.end(v.Log)
	w.report.Problems = append(w.report.Problems, problems...)
	return w.report, nil
}
