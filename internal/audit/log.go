// Package audit keeps the audit log: one JSON line for each decision and action, written before the decision is
// answered. A caller whose event cannot be written does not act.
//
// Each line names the SHA-256 of the line before it, so that an edited, removed or reordered line breaks the chain:
//
//	{"time":"2026-11-24T09:00:00.000001Z","seq":7,"kind":"sign-in",…,"prev":"9f86d0…"}
//
// The log is kept in several files that are one chain ([Log.Rotate]), and its newest line is signed now and then ([Head]), so
// that [Verify] finds whatever was done to it.
//
// A log is not a log level: what is recorded here is complete, and nothing else is written to the file. Events hold no
// secret by their types; text that strangers wrote is in them, quoted by JSON, and must be treated as such by readers.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// head is what every line begins with, before the event's own fields.
type head struct {
	Time string `json:"time"` // UTC, RFC 3339 with microseconds
	Seq  int64  `json:"seq"`  // 1 for the first line of the log
	Kind string `json:"kind"`
}

// timeFormat is RFC 3339 with microseconds, always at the same width so that lines sort as text.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

// Log is an audit log in a file. It is safe for concurrent use, also by several processes on one machine: the gateway
// and a command of the administrator may both have the file open.
type Log struct {
	path   string
	now    func() time.Time
	signer Signer // nil while nobody signs

	mu   sync.Mutex
	file *os.File
	size int64  // of the file after the last line known here
	seq  int64  // of the last line
	prev string // SHA-256 of the last line in hex; empty for an empty log
	torn bool   // the last line has no end yet: see readEnd
	over bool   // the last line says that the file is closed
	ours bool   // something was recorded here since the last head
	err  error  // of the last Record

	watch func(Event) // nil while nobody watches
}

// Open opens the log at path, or begins one with mode 0600. now is the clock; nil means time.Now.
func Open(path string, now func() time.Time) (*Log, error) {
	if now == nil {
		now = time.Now
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	log := &Log{path: path, now: now, file: file, size: -1}
	if err := log.locked(func() error { return nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the audit log %q: %w", path, err), file.Close())
	}
	return log, nil
}

// Watch has a function called with every event that is recorded here from now on, after it is in the log and before Record
// returns. It is for counting: it must be quick and not record. Call Watch before the log is shared.
func (l *Log) Watch(watch func(Event)) { l.watch = watch }

// Err gives the error of the last Record; nil when it could be written.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Last gives the number of the last line that is known here; another process may have written more since.
func (l *Log) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// Record appends an event. When it returns nil the line is with the operating system and survives the end of the
// process; that of a privileged event is on the disk. On an error the caller must not do what the event says.
func (l *Log) Record(event Event) error {
	fields, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("audit event %s: %w", event.Kind(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = l.locked(func() error { return l.append(event.Kind(), fields, event.Privileged()) })
	if l.err != nil {
		return fmt.Errorf("audit event %s: %w", event.Kind(), l.err)
	}
	if l.watch != nil {
		l.watch(event)
	}
	return nil
}

// append writes one line behind the last one. The file is locked and its end is known.
func (l *Log) append(kind string, fields []byte, sync bool) error {
	line, err := l.line(kind, fields)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(line)
	if err := l.endTorn(); err != nil {
		return err
	}
	if err := l.write(append(line, '\n')); err != nil {
		return err
	}
	l.seq++
	l.prev = hex.EncodeToString(sum[:])
	l.ours = true
	if sync {
		return l.file.Sync()
	}
	return nil
}

// write adds text to the file.
func (l *Log) write(text []byte) error {
	if _, err := l.file.Write(text); err != nil {
		l.size = -1 // part of it may be in the file: look before the next one
		return err
	}
	l.size += int64(len(text))
	return nil
}

// endTorn ends a last line that has no end.
func (l *Log) endTorn() error {
	if !l.torn {
		return nil
	}
	if err := l.write([]byte("\n")); err != nil {
		return err
	}
	l.torn = false
	return nil
}

// line gives the line that comes behind the last one, without its line end.
func (l *Log) line(kind string, fields []byte) ([]byte, error) {
	begin, err := json.Marshal(head{Time: l.now().UTC().Format(timeFormat), Seq: l.seq + 1, Kind: kind})
	if err != nil {
		return nil, err
	}
	line := make([]byte, 0, len(begin)+len(fields)+80)
	line = append(line, begin[:len(begin)-1]...)
	if len(fields) > len("{}") {
		line = append(append(line, ','), fields[1:len(fields)-1]...)
	}
	return append(line, `,"prev":"`+l.prev+`"}`...), nil
}

// locked runs do while no other process writes the log, with its end known. Where another process has closed the file that
// is open here, it goes on with the one that came after.
func (l *Log) locked(do func() error) error {
	for {
		file := l.file
		if err := flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			return err
		}
		err := l.lookAtEnd()
		if err == nil && l.over {
			if err = l.moveOn(); err == nil {
				continue // with the file locked no more, since it is closed
			}
		}
		if err == nil {
			err = do()
		}
		if l.file == file { // else it is closed, and its lock gone
			_ = flock(int(file.Fd()), syscall.LOCK_UN)
		}
		return err
	}
}

// lookAtEnd sees to it that the end of the file is known.
func (l *Log) lookAtEnd() error {
	info, err := l.file.Stat()
	if err != nil || info.Size() == l.size {
		return err
	}
	return l.readEnd(info.Size())
}

// flock is flock(2), again when a signal came between.
func flock(fd, how int) error {
	for {
		if err := syscall.Flock(fd, how); err != syscall.EINTR {
			return err
		}
	}
}

// readEnd learns the sequence number and the hash of the last line of a file that holds size bytes. A last line
// without its line end is what a crash in the middle of a write leaves, or a disk that was full: it stays, and the chain
// goes on over it. It is ended when there is something to write behind it, so that a log on a full disk can be opened.
func (l *Log) readEnd(size int64) error {
	l.seq, l.prev, l.over = 0, "", false
	end, torn, err := lastLines(l.file, size)
	if err != nil {
		return err
	}
	l.torn = torn
	l.size = size
	for i := len(end) - 1; i >= 0; i-- {
		if l.prev == "" {
			sum := sha256.Sum256(end[i])
			l.prev = hex.EncodeToString(sum[:])
		}
		var begin head
		if json.Unmarshal(end[i], &begin) == nil && begin.Seq > 0 {
			l.seq = begin.Seq + int64(len(end)-1-i)
			l.over = i == len(end)-1 && begin.Kind == LogRotated{}.Kind()
			return nil
		}
	}
	if len(end) > 0 {
		return errors.New("its end is not an audit log's; move the file away to begin a new one")
	}
	return nil
}

// lastLines gives the last lines of a file, at least two of them where there are two, and whether the last one lacks
// its line end. It reads backwards, so that the length of the file does not matter.
func lastLines(file io.ReaderAt, size int64) (lines [][]byte, torn bool, err error) {
	for window := int64(4096); ; window *= 4 {
		from := max(0, size-window)
		tail := make([]byte, size-from)
		if _, err := file.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		if from > 0 {
			// The first line of the window is cut.
			first := bytes.IndexByte(tail, '\n')
			if first < 0 || bytes.Count(tail[first+1:], []byte("\n")) < 2 {
				continue
			}
			tail = tail[first+1:]
		}
		if len(tail) == 0 {
			return nil, false, nil
		}
		torn = tail[len(tail)-1] != '\n'
		return bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n")), torn, nil
	}
}

// Close signs the head of a log to which something was added here, if there is a signer, and closes the file. Nothing can be
// recorded afterwards.
func (l *Log) Close() error {
	l.mu.Lock()
	signed := l.signer != nil && l.ours
	l.mu.Unlock()
	var err error
	if signed {
		_, err = l.SignHead()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.file.Sync(), l.file.Close())
}
