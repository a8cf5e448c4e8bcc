package audit

import (
	"bytes"
	"context"
	"io"
)

const (
	// readChunk is how much of a file is read at once, in bytes.
	readChunk = 128 << 10
	// maxLine is the longest line that a reader holds, in bytes. The longest that the log writes, of a message with a
	// thousand recipients, has less than a fifth of it.
	maxLine = 4 << 20
)

// backwards gives the lines of a file that lie between from and size to each, the last one first, until each says false.
// What is behind the last line end is no line, and neither is one that begins before from. Of a line that is too long to
// be held, each gets an empty one. The slices are good until each returns.
func backwards(ctx context.Context, file io.ReaderAt, from, size int64, each func(line []byte) bool) error {
	end, err := lastLineEnd(file, from, size)
	if err != nil || end == from {
		return err
	}
	end--           // the line end itself
	var rest []byte // the end of a line whose beginning is still to be read
	for tooLong := false; end > from; {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := max(from, end-readChunk)
		chunk := make([]byte, end-begin, end-begin+int64(len(rest)))
		if _, err := file.ReadAt(chunk, begin); err != nil {
			return err
		}
		end, chunk = begin, append(chunk, rest...)
		for cut := bytes.LastIndexByte(chunk, '\n'); cut >= 0; cut = bytes.LastIndexByte(chunk, '\n') {
			line := chunk[cut+1:]
			if tooLong {
				line, tooLong = nil, false
			}
			if !each(line) {
				return nil
			}
			chunk = chunk[:cut]
		}
		if rest = chunk; len(rest) > maxLine {
			rest, tooLong = nil, true
		}
	}
	if from == 0 {
		each(rest)
	}
	return nil
}

// lastLineEnd gives the place behind the last line end between from and size; from when there is none.
func lastLineEnd(file io.ReaderAt, from, size int64) (int64, error) {
	chunk := make([]byte, min(readChunk, max(0, size-from)))
	for end := size; end > from; {
		begin := max(from, end-readChunk)
		part := chunk[:end-begin]
		if _, err := file.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if last := bytes.LastIndexByte(part, '\n'); last >= 0 {
			return begin + int64(last) + 1, nil
		}
		end = begin
	}
	return from, nil
}
