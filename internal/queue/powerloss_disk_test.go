package queue

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// diskSide is what is on the disk, and what is only on its way there, after the events of a recording so far.
type diskSide struct {
	files map[string]*diskFile
	// keepsFailed: what was written before a sync that failed is on the disk all the same. Otherwise it never will be, not
	// even after a later sync: the kernel reports a failed write once, and takes the page for clean then.
	keepsFailed bool
}

// diskFile is one file.
type diskFile struct {
	durable  []byte
	pending  []diskEvent // writes and truncations that no sync has covered
	born     int64       // when it was first opened
	unlinked bool        // no sync of its folder has covered that yet
}

// leftover says what a loss of power leaves of the writes that were not synced.
type leftover int

const (
	nothingUnsynced leftover = iota
	allUnsynced
	someUnsynced // each or not, and one in four of them in part: a disk writes sectors
)

const sector = 512

// baseline gives the disk before the recording.
func (r *recording) baseline(t *testing.T) map[string]*diskFile {
	t.Helper()
	files := make(map[string]*diskFile)
	for name, content := range r.start {
		files[name] = &diskFile{durable: content}
	}
	return files
}

// take takes the next event.
func (d *diskSide) take(e diskEvent) {
	switch {
	case e.file == "":
	case e.file == ".":
		for _, f := range d.files {
			f.unlinked = f.unlinked && (e.failed || f.born > e.began)
		}
	case e.call == "fsync", e.call == "fdatasync":
		if f := d.files[e.file]; f != nil {
			f.sync(e, d.keepsFailed)
		}
	case !e.failed:
		f := d.files[e.file]
		if f == nil {
			f = &diskFile{born: e.ended, unlinked: true}
			d.files[e.file] = f
		}
		if e.call != "open" && e.call != "openat" {
			f.pending = append(f.pending, e)
		}
	}
}

// sync covers what was written before it began. durable is made anew: images of it may be in use.
func (f *diskFile) sync(e diskEvent, keepsFailed bool) {
	var later []diskEvent
	content := append([]byte(nil), f.durable...)
	for _, w := range f.pending {
		switch {
		case w.ended > e.began:
			later = append(later, w)
		case !e.failed || keepsFailed:
			content = w.applied(content, len(w.data))
		}
	}
	f.durable, f.pending = content, later
}

// applied gives a file's content after the first n bytes of a write, or after a truncation.
func (e diskEvent) applied(content []byte, n int) []byte {
	size := int(e.at)
	if e.call == "pwrite64" {
		size = max(len(content), int(e.at)+n)
	}
	for len(content) < size {
		content = append(content, make([]byte, size-len(content))...)
	}
	content = content[:size]
	if e.call == "pwrite64" {
		copy(content[e.at:], e.data[:n])
	}
	return content
}

// image makes a folder with what a loss of power leaves. The same seed leaves the same.
func (d *diskSide) image(t *testing.T, left leftover, seed int) string {
	t.Helper()
	folder, err := os.MkdirTemp(t.TempDir(), "image-")
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(uint64(seed), 1))
	for name, f := range d.files {
		if f.unlinked && left == nothingUnsynced {
			continue
		}
		content := append([]byte(nil), f.durable...)
		for _, w := range f.pending {
			n := len(w.data)
			switch {
			case left == nothingUnsynced, left == someUnsynced && chance.IntN(2) == 0:
				continue
			case left == someUnsynced && chance.IntN(4) == 0 && n > sector:
				n = chance.IntN(n/sector) * sector
			}
			content = w.applied(content, n)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
