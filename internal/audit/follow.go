package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// followCheck is how often a log that is followed is looked at.
const followCheck = 250 * time.Millisecond

// Tail gives the last n wanted entries of the log at path to each, the oldest of them first. With follow it then goes on
// with those that are written, until ctx ends, which is no error, also in the files that the log goes on in.
func Tail(ctx context.Context, path string, n int, q Query, follow bool, each func(Entry) error) error {
	files, err := openAll(path)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	defer closeAll(files[1:])
	f := &follower{path: path, query: q, filter: q.filter(), file: files[0].File}
	defer func() { _ = f.file.Close() }()
	var last []Entry
	f.at, err = lastLineEnd(f.file, 0, files[0].size)
	if files[0].size = f.at; err == nil && n > 0 {
		q.Limit = n
		s := search{query: q, filter: f.filter, each: func(e Entry) bool { last = append(last, e); return true }}
		err = s.run(ctx, files)
	}
	if err != nil {
		return fmt.Errorf("reading the audit log %q: %w", path, err)
	}
	for _, e := range slices.Backward(last) {
		if err := each(e); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return f.run(ctx, each)
}

// follower reads what is written to a log.
type follower struct {
	path   string
	query  Query
	filter [][][]byte
	file   *os.File
	at     int64 // where the next line begins
}

// run gives what is written to each, until ctx ends.
func (f *follower) run(ctx context.Context, each func(Entry) error) error {
	ticker := time.NewTicker(followCheck)
	defer ticker.Stop()
	for {
		if err := f.forwards(each); err != nil {
			return err
		}
		if err := f.reopen(each); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// forwards gives the whole lines from f.at on.
func (f *follower) forwards(each func(Entry) error) error {
	chunk := make([]byte, readChunk)
	for {
		n, err := f.file.ReadAt(chunk, f.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the audit log %q: %w", f.path, err)
		}
		end := bytes.LastIndexByte(chunk[:n], '\n') + 1
		switch {
		case end == 0 && n == len(chunk) && n < maxLine: // a line that is longer than the chunk
			chunk = make([]byte, 2*len(chunk))
			continue
		case end == 0 && n < len(chunk):
			return nil
		case end == 0: // longer than any that the log writes
			end = n
		}
		f.at += int64(end)
		for line := range bytes.Lines(chunk[:end]) {
			if err := f.line(bytes.TrimSuffix(line, []byte("\n")), each); err != nil {
				return err
			}
		}
	}
}

func (f *follower) line(line []byte, each func(Entry) error) error {
	if !mayFit(line, f.filter) {
		return nil
	}
	e, about, err := parse(line)
	if err != nil || !f.query.wants(e, about) || e.Time.Before(f.query.Since) {
		return nil
	}
	e.Line = bytes.Clone(line)
	return each(e)
}

// reopen goes on with the file that has the log's name now, where that is another one, and gives what is left of the
// one before.
func (f *follower) reopen(each func(Entry) error) error {
	now, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // moved away, and its successor is not there yet
	}
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	open, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("reading the audit log %q: %w", f.path, err)
	}
	if os.SameFile(now, open) {
		f.at = min(f.at, now.Size()) // somebody cut it
		return nil
	}
	if err := f.forwards(each); err != nil {
		return err
	}
	// The log may have gone on in more than one file since.
	files, err := openAll(f.path)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	next := slices.IndexFunc(files, func(file openFile) bool {
		info, err := file.Stat()
		return err == nil && os.SameFile(info, open)
	})
	if next < 0 {
		next = 1 // another log has taken the place of the one that was followed
	}
	closeAll(files[next:])
	for _, file := range slices.Backward(files[:next]) {
		_ = f.file.Close()
		f.file, f.at = file.File, 0
		if err := f.forwards(each); err != nil {
			return err
		}
	}
	return nil
}
