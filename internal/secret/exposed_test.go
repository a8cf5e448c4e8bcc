package secret

import (
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// file is a file of a mode and an owner.
type file struct {
	mode fs.FileMode
	uid  uint32
}

func (f file) Name() string       { return "key" }
func (f file) Size() int64        { return 1 }
func (f file) Mode() fs.FileMode  { return f.mode }
func (f file) ModTime() time.Time { return time.Time{} }
func (f file) IsDir() bool        { return false }
func (f file) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

func TestExposed(t *testing.T) {
	for _, test := range []struct {
		mode fs.FileMode
		uid  uint32
		good bool
	}{
		{0o600, 0, true}, {0o400, 1000, true}, {0o600, 1000, true}, {0o700, 1000, true},
		{0o640, 0, true}, {0o440, 0, true}, {0o640, 1000, false}, {0o660, 0, false}, {0o620, 0, false},
		{0o604, 0, false}, {0o602, 0, false}, {0o644, 1000, false}, {0o641, 0, false},
	} {
		if err := Exposed(file{test.mode, test.uid}); (err == nil) != test.good {
			t.Errorf("mode %04o of user %d: got %v, want good %v", test.mode, test.uid, err, test.good)
		}
	}
}
