package queue

import (
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// inMemory is how much of a message a spool keeps in memory before it takes a file, in bytes.
const inMemory = 64 << 10

// heads holds the *[inMemory]byte that no spool uses at the moment.
var heads = sync.Pool{New: func() any { return new([inMemory]byte) }}

// castagnoli is the polynomial that processors know.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// File is where a spool keeps what is too large for memory.
type File interface {
	io.WriteCloser
	io.ReaderAt
}

// Files makes the files of spools.
type Files func() (File, error)

// TemporaryFiles makes files in a folder that only this user can read. A file has no name any more when its spool gets
// it, so that nothing is left of it when the process ends, however it ends.
func TemporaryFiles(folder string) Files {
	return func() (File, error) {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
		file, err := os.CreateTemp(folder, "message-*")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(file.Name()); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	}
}

// Spool takes a message while it comes, so that it is still there when upstream does not want it. It is not durable:
// [Queue.Accept] makes it so. It is for one goroutine. Close gives back what it holds.
type Spool struct {
	files Files
	head  *[inMemory]byte // all of it; nil once there is a file
	file  File            // all of it; nil while it fits into memory
	size  int64
	sum   hash.Hash32
	err   error // the first one; nothing is taken after it
}

func newSpool(files Files) *Spool {
	return &Spool{files: files, head: heads.Get().(*[inMemory]byte), sum: crc32.New(castagnoli)}
}

// Write takes the next bytes. After an error the spool is of no use but for Close.
func (s *Spool) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	_, _ = s.sum.Write(p)
	if s.file == nil && s.size+int64(len(p)) <= inMemory {
		copy(s.head[s.size:], p)
	} else if s.err = s.writeFile(p); s.err != nil {
		return 0, s.err
	}
	s.size += int64(len(p))
	return len(p), nil
}

// writeFile writes to the file. When there is none yet, it gets what is in memory, which is free for others then: of many large
// messages at once none keeps more than its file.
func (s *Spool) writeFile(p []byte) (err error) {
	if s.file == nil {
		if s.file, err = s.files(); err != nil {
			return fmt.Errorf("making a spool file: %w", err)
		}
		_, err = s.file.Write(s.head[:s.size])
		heads.Put(s.head)
		s.head = nil
	}
	if err == nil {
		_, err = s.file.Write(p)
	}
	if err != nil {
		return fmt.Errorf("writing a spool file: %w", err)
	}
	return nil
}

// Size is how much it has taken, in bytes.
func (s *Spool) Size() int64 { return s.size }

// Close gives back memory and file.
func (s *Spool) Close() {
	if s.head != nil {
		heads.Put(s.head)
		s.head = nil
	}
	if s.file != nil {
		_ = s.file.Close() // its content is of no use to anybody any more
		s.file = nil
	}
}

// errSpool is a spool file that does not give back what was written to it.
var errSpool = errors.New("the spool file does not hold what was written to it")

// read gives all of the content, from its begin, in portions of at most len(buffer) bytes. A file whose pages the kernel
// could not write reads as something else later on: the sum at the end tells.
func (s *Spool) read(buffer []byte, each func(portion []byte, last bool) error) error {
	if s.err != nil {
		return s.err
	}
	sum := crc32.New(castagnoli)
	for at := int64(0); at < s.size || at == 0; {
		portion := buffer[:min(int64(len(buffer)), s.size-at)]
		if err := s.readAt(portion, at); err != nil {
			return err
		}
		_, _ = sum.Write(portion)
		at += int64(len(portion))
		last := at == s.size
		if last && sum.Sum32() != s.sum.Sum32() {
			return errSpool
		}
		if err := each(portion, last); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
	return nil
}

// readAt fills p from a place in the content.
func (s *Spool) readAt(p []byte, at int64) error {
	if s.file == nil {
		copy(p, s.head[at:])
		return nil
	}
	if _, err := s.file.ReadAt(p, at); err != nil {
		return fmt.Errorf("reading a spool file: %w", err)
	}
	return nil
}
