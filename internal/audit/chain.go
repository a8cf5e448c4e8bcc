package audit

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The files of a log, here of postern.audit:
//
//	postern.audit.000000000001    closed, from line 1 on
//	postern.audit.000000004711    closed, from line 4711 on
//	postern.audit                 to which lines are added
//	postern.audit.heads           signed heads, see head.go
//
// The last line of a closed file says so (log-rotated), and the first of its successor names it (log-continued): its prev is
// the hash of that last line, so that all files are one chain.

// nameDigits is the width of the number in the name of a closed file, so that names sort as the numbers do.
const nameDigits = 12

// closedName gives the name of a closed file by the number of its first line.
func closedName(log string, first int64) string {
	return fmt.Sprintf("%s.%0*d", log, nameDigits, first)
}

// firstOf gives the number in the name of a closed file of a log; false for any other name.
func firstOf(log, name string) (int64, bool) {
	digits, found := strings.CutPrefix(name, log+".")
	if !found || len(digits) < nameDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	first, err := strconv.ParseInt(digits, 10, 64)
	return first, err == nil && first > 0 && closedName(log, first) == name
}

// closedFiles gives the names of the closed files of a log in a folder, the oldest first.
func closedFiles(folder fs.FS, log string) ([]string, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if _, ok := firstOf(log, entry.Name()); ok {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		first, _ := firstOf(log, a)
		second, _ := firstOf(log, b)
		return int(min(max(first-second, -1), 1))
	})
	return names, nil
}

// openFile is a file of a log that is open, with the size that is looked at.
type openFile struct {
	*os.File
	size int64
}

// openAll opens the files of the log at path, the newest first. A file that the log closes in this moment is there once.
func openAll(path string) (files []openFile, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	open := func(path string) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		files = append(files, openFile{File: file})
		info, err := file.Stat()
		if err != nil {
			return err
		}
		files[len(files)-1].size = info.Size()
		return nil
	}
	if err := open(path); err != nil {
		return files, err
	}
	folder := filepath.Dir(path)
	names, err := closedFiles(os.DirFS(folder), filepath.Base(path))
	if err != nil {
		return files, err
	}
	newest, err := files[0].Stat()
	if err != nil {
		return files, err
	}
	for _, name := range slices.Backward(names) {
		if info, err := os.Stat(filepath.Join(folder, name)); err == nil && os.SameFile(info, newest) {
			continue
		}
		if err := open(filepath.Join(folder, name)); errors.Is(err, fs.ErrNotExist) {
			continue // retention has just removed it
		} else if err != nil {
			return files, err
		}
	}
	return files, nil
}

func closeAll(files []openFile) {
	for _, file := range files {
		_ = file.Close()
	}
}

// beginning is what the first lines of a file say.
type beginning struct {
	first int64  // the number of its first line
	log   string // the log's id
	at    time.Time
}

// readBeginning reads the beginning of a file of a log. The id of a log is made of its first line, and every later file has
// it in its own first line.
func readBeginning(file io.ReaderAt) (beginning, error) {
	reader := bufio.NewReader(io.NewSectionReader(file, 0, maxLine))
	var b beginning
	for n := int64(0); ; n++ {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return b, errors.New("it has no first line that can be read")
		}
		line = line[:len(line)-1]
		if n == 0 {
			b.log = idOf(line)
		}
		var begin struct {
			head
			Log string `json:"log"` // of log-continued
		}
		if json.Unmarshal(line, &begin) != nil || begin.Seq <= n {
			continue // a half line, which a crash left
		}
		b.at, _ = time.Parse(timeFormat, begin.Time)
		if b.first = begin.Seq - n; begin.Kind == (LogContinued{}).Kind() && n == 0 {
			b.log = begin.Log
		}
		return b, nil
	}
}

// idOf gives the id of the log whose first line this is.
func idOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:8])
}

// headsName gives the name of the file of a log's heads.
func headsName(log string) string { return log + ".heads" }
