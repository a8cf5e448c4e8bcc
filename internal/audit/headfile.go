package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Sign has heads of the log signed from now on. Call it before the log is shared.
func (l *Log) Sign(signer Signer) { l.signer = signer }

// SignHead signs the newest line of the log and adds the head to the file of heads beside it. It does nothing, and gives a
// zero head, for a log that has no line or whose newest line has a head already. Every line up to the head is on the disk before
// it is signed.
func (l *Log) SignHead() (Head, error) {
	h, err := l.newest()
	if err == nil && h.Seq > 0 {
		h, err = l.addHead(h)
	}
	if err != nil {
		return Head{}, fmt.Errorf("signing the head of the audit log: %w", err)
	}
	return h, nil
}

// newest gives the head of the log, once its lines are on the disk.
func (l *Log) newest() (h Head, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.locked(func() error {
		if l.seq == 0 {
			return nil
		}
		if err := l.endTorn(); err != nil {
			return err
		}
		b, err := readBeginning(l.file)
		if err != nil {
			return err
		}
		h = Head{Log: b.log, Seq: l.seq, Hash: l.prev, Time: l.now()}
		l.ours = false
		return l.file.Sync()
	})
	return h, err
}

// addHead signs a head and adds it to the file, unless it is the last one there.
func (l *Log) addHead(h Head) (Head, error) {
	if l.signer == nil {
		return Head{}, errors.New("there is no key that signs")
	}
	signed, err := h.sign(l.signer)
	if err != nil {
		return Head{}, err
	}
	file, err := os.OpenFile(headsName(l.path), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return Head{}, err
	}
	defer file.Close() // and with it the lock
	if err := flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return Head{}, err
	}
	if like, err := os.Stat(l.path); err == nil {
		if err := sameOwner(file, like); err != nil {
			return Head{}, err
		}
	}
	last, err := mendHeads(file)
	if err != nil {
		return Head{}, err
	}
	if bytes.HasPrefix(last, signed[:bytes.LastIndex(signed, []byte(extensionTime))]) {
		return Head{}, nil
	}
	if _, err := file.Write(append(signed, '\n')); err != nil {
		return Head{}, err
	}
	return h, file.Sync()
}

// maxHead is more than a head has, in bytes.
const maxHead = 1024

// mendHeads gives the last head of a file of heads, and cuts off half a one that a crash left behind it.
func mendHeads(file *os.File) (last []byte, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-4*maxHead)
	tail := make([]byte, info.Size()-from)
	if _, err := file.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	// A head ends with the line of its signature and an empty line.
	signature := bytes.LastIndex(tail, []byte("\n\n— "))
	for signature >= 0 {
		if length := bytes.Index(tail[signature+2:], []byte("\n\n")); length >= 0 {
			end := signature + 2 + length + 2
			begin := 0 // of the file, or of what was read of it: no head is that long
			if before := bytes.LastIndex(tail[:signature], []byte("\n\n")); before >= 0 {
				begin = before + 2
			}
			if end < len(tail) {
				err = file.Truncate(from + int64(end))
			}
			return tail[begin:end], err
		}
		signature = bytes.LastIndex(tail[:signature], []byte("\n\n— "))
	}
	if len(tail) > 0 && from == 0 {
		err = file.Truncate(0) // half of the first one
	}
	return nil, err
}

// LogID gives the id of the log at path: the origin of its heads without the beginning that all have.
func LogID(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the audit log: %w", err)
	}
	defer file.Close()
	b, err := readBeginning(file)
	if err != nil {
		return "", fmt.Errorf("reading the audit log %q: %w", path, err)
	}
	return b.log, nil
}

// readHeads reads a file of heads; nothing where there is none.
func readHeads(folder fs.FS, name string) ([]byte, error) {
	content, err := fs.ReadFile(folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
