package imapproxy

import (
	"bytes"
	"math"
)

// announcement is what a line says at its end of the literal behind it: {n}, {n+} of RFC 7888, ~{n} of RFC 3516.
type announcement struct {
	size  int64 // bytes
	waits bool  // the sender waits for the other side's word before it sends the literal (RFC 9051 section 4.3)
}

// announced reads the announcement at the end of a line, which comes without its CRLF.
func announced(line []byte) (announcement, bool) {
	last := len(line) - 1
	if last < 0 || line[last] != '}' {
		return announcement{}, false
	}
	digits := line[:last]
	a := announcement{waits: true}
	if n := len(digits); n > 0 && digits[n-1] == '+' {
		digits, a.waits = digits[:n-1], false
	}
	first := len(digits)
	for first > 0 && digits[first-1] >= '0' && digits[first-1] <= '9' {
		first--
	}
	if first == 0 || first == len(digits) || digits[first-1] != '{' {
		return announcement{}, false
	}
	for _, digit := range digits[first:] {
		if a.size > (math.MaxInt64-9)/10 {
			return announcement{}, false
		}
		a.size = a.size*10 + int64(digit-'0')
	}
	return a, true
}

// edge is how much of each end of a long line is looked at, in bytes: room for a tag, a name and an announcement.
const edge = 64

// keep adds p to what is kept of a line: the whole of a short one, the first and the last edge bytes of a long one.
func keep(kept, p []byte) []byte {
	if len(kept) < 2*edge {
		n := min(len(p), 2*edge-len(kept))
		kept, p = append(kept, p[:n]...), p[n:]
	}
	last := kept[min(len(kept), edge):]
	if over := len(p) - len(last); over > 0 {
		p = p[over:]
	}
	copy(last, last[len(p):])
	copy(last[len(last)-len(p):], p)
	return kept
}

// edges gives the two ends of a line from what keep has kept of it, without its CR; of a short line both are the whole.
func edges(kept []byte) (head, tail []byte) {
	if len(kept) < 2*edge {
		line := withoutCR(kept)
		return line, line
	}
	return kept[:edge], withoutCR(kept[edge:])
}

// withoutCR gives a line without the CR at its end.
func withoutCR(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\r")) }
