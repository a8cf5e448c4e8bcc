package config

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
)

// maxFile bounds the file in bytes: room for a hundred thousand users.
const maxFile = 64 << 20

// Load reads and validates the file at path. The error is [Problems] with all that is wrong. Files that the
// configuration names are looked at as well, so that a configuration that loads can be run.
func Load(path string) (*Config, error) {
	content, err := read(path)
	if err != nil {
		return nil, Problems{{File: path, Message: "cannot be read: " + cause(err).Error()}}
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, Problems{{File: path, Message: err.Error()}}
	}
	return parse(path, content, folder)
}

// Digest gives the SHA-256 of the file at path as it is now, as in [Config.Digest].
func Digest(path string) (string, error) {
	content, err := read(path)
	if err != nil {
		return "", err
	}
	return digest(content), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// read reads the file, of which no more than maxFile is looked at.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, os.ErrInvalid
	}
	return os.ReadFile(path)
}

// parse makes a configuration of a file's content. Relative paths in it are relative to folder.
func parse(file string, content []byte, folder string) (*Config, error) {
	c, d := decode(file, content)
	if c == nil {
		return nil, d.problems
	}
	v := &validator{decoder: d, config: c, folder: folder}
	v.validate()
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	c.Digest = digest(content)
	c.Warnings = v.warnings
	return c, nil
}
