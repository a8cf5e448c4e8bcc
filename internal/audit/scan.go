package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Scan gives the wanted entries of the log at path, of all its files, to each, the oldest first. It takes no lock, and ends with
// what is there when it comes to the end. MaxBytes of the query does not count.
func Scan(ctx context.Context, path string, q Query, each func(Entry) error) (Found, error) {
	files, err := openAll(path)
	if err != nil {
		return Found{}, fmt.Errorf("reading the audit log: %w", err)
	}
	defer closeAll(files)
	found := Found{Whole: true}
	given, filter := 0, q.filter()
	for i, file := range slices.Backward(files) {
		if i > 0 && !q.Since.IsZero() {
			if next, err := readBeginning(files[i-1]); err == nil && next.at.Before(q.Since.Add(-clockSlack)) {
				continue // all of it is older
			}
		}
		reader := bufio.NewReaderSize(io.NewSectionReader(file, 0, file.size), readChunk)
		for ctx.Err() == nil {
			line, err := readLine(reader)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return found, fmt.Errorf("reading the audit log %q: %w", file.Name(), err)
			}
			at, ok := lineTime(line)
			if !ok {
				found.Unreadable++
				continue
			}
			if !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) || !mayFit(line, filter) {
				continue
			}
			e, about, err := parse(line)
			if err != nil || !q.wants(e, about) {
				continue
			}
			e.Line = line
			if err := each(e); err != nil {
				return found, err
			}
			if given++; given == q.Limit {
				return found, nil
			}
		}
	}
	return found, ctx.Err()
}

// Place is a place in a log: behind a line. The zero value is before the first.
type Place struct {
	Seq   int64 `json:"seq"`    // of the line
	First int64 `json:"first"`  // number of the first line of the file that it is in
	At    int64 `json:"offset"` // where the next line begins in that file, in bytes
}

// Sequel reads a log on from a place, while it is written and rotated. It is not safe for concurrent use.
type Sequel struct {
	path   string
	place  Place
	file   *os.File
	reader *bufio.Reader
	rest   []byte // of a line whose end is not there yet
	over   bool   // the file is closed, and was read to its end

	// Missed is how many lines were removed before they could be read.
	Missed int64
}

// errNoPlace is a log in which nothing comes after a place.
var errNoPlace = errors.New("it does not have the place to go on from")

// Newest gives the place at the beginning of the file that lines are added to.
func Newest(path string) (Place, error) {
	file, err := os.Open(path)
	if err != nil {
		return Place{}, fmt.Errorf("reading the audit log: %w", err)
	}
	defer file.Close()
	b, err := readBeginning(file)
	if info, failed := file.Stat(); failed == nil && info.Size() == 0 {
		return Place{}, nil
	}
	if err != nil {
		return Place{}, fmt.Errorf("reading the audit log %q: %w", path, err)
	}
	return Place{Seq: b.first - 1, First: b.first}, nil
}

// Continue opens a log at a place. Where the file of that place was removed, it goes on with the oldest that there is.
func Continue(path string, place Place) (*Sequel, error) {
	s := &Sequel{path: path, place: place}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("reading the audit log %q: %w", path, err)
	}
	return s, nil
}

// open opens the file of the place, or the oldest one after it.
func (s *Sequel) open() error {
	files, err := openAll(s.path)
	if err != nil {
		return err
	}
	defer func() { closeAll(files) }()
	for i, file := range slices.Backward(files) {
		b, err := readBeginning(file)
		if err != nil && file.size > 0 {
			return fmt.Errorf("%s: %w", filepath.Base(file.Name()), err)
		}
		if file.size > 0 && b.first < s.place.First {
			continue
		}
		if b.first != s.place.First {
			if s.place.First > 0 || b.first > 1 {
				s.Missed += max(0, b.first-1-s.place.Seq)
			}
			s.place = Place{Seq: max(b.first-1, 0), First: b.first}
		}
		if s.place.At > file.size {
			return fmt.Errorf("%s has been cut: it has %d bytes, and was read up to %d", filepath.Base(file.Name()), file.size, s.place.At)
		}
		s.file = file.File
		files = slices.Delete(files, i, i+1)
		if _, err := s.file.Seek(s.place.At, io.SeekStart); err != nil {
			return err
		}
		s.reader = bufio.NewReaderSize(s.file, readChunk)
		return nil
	}
	return errNoPlace
}

// Next gives the next line as an entry, and io.EOF where there is none yet. Half lines, which crashes left, are passed over.
func (s *Sequel) Next() (Entry, error) {
	if s.over {
		if err := s.follow(); err != nil {
			return Entry{}, err
		}
	}
	for {
		line, err := readLine(s.reader)
		if errors.Is(err, io.EOF) {
			s.rest = append(s.rest, line...)
			return Entry{}, io.EOF
		}
		if err != nil {
			return Entry{}, fmt.Errorf("reading the audit log %q: %w", s.path, err)
		}
		if len(s.rest) > 0 {
			line, s.rest = append(s.rest, line...), nil
		}
		s.place.At += int64(len(line)) + 1
		s.place.Seq++
		if s.place.First == 0 {
			s.place.First = 1
		}
		e, _, err := parse(line)
		if err != nil {
			continue
		}
		s.place.Seq = e.Seq
		s.over = e.Kind == LogRotated{}.Kind()
		e.Line = line
		return e, nil
	}
}

// follow goes on in the file after one whose last line was read. It gives io.EOF where that is not there yet.
func (s *Sequel) follow() error {
	read, place := s.file, s.place
	s.place = Place{Seq: place.Seq, First: place.Seq + 1}
	switch err := s.open(); {
	case errors.Is(err, errNoPlace):
		s.place = place
		return io.EOF
	case err != nil:
		s.place = place
		return fmt.Errorf("reading the audit log %q: %w", s.path, err)
	}
	s.over = false
	return read.Close()
}

// Place gives the place behind the last line that Next gave.
func (s *Sequel) Place() Place { return s.place }

// Close closes the file that is read.
func (s *Sequel) Close() error { return s.file.Close() }
