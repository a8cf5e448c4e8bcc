package syslog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"postern/internal/audit"
)

// maxPlace is more than the file of a place has, in bytes.
const maxPlace = 4096

// loadPlace gives the place up to which the receiver has had the log. At the very first start that is the beginning of the file that
// lines are added to: what is older is for postern audit export.
func loadPlace(path, log string) (audit.Place, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		place, err := audit.Newest(log)
		if err != nil {
			return place, err
		}
		return place, savePlace(path, place) // so that the next start begins there too, whatever file is the newest then
	}
	var place audit.Place
	if err == nil && len(content) > maxPlace {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(content, &place)
	}
	if err == nil && (place.Seq < 0 || place.First < 0 || place.At < 0) {
		err = errors.New("a number in it is less than nothing")
	}
	if err != nil {
		return audit.Place{}, fmt.Errorf("the place up to which the syslog receiver has had the audit log, in %q: %w; without the file it begins at the newest file of the log", path, err)
	}
	return place, nil
}

// savePlace keeps a place on the disk.
func savePlace(path string, place audit.Place) error {
	content, err := json.Marshal(place)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(append(content, '\n'))
	if err == nil {
		err = next.Sync()
	}
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return nil
}
