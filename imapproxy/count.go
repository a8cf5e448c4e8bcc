package imapproxy

import (
	"bytes"
	"strings"

	"postern/internal/audit"
)

// splitCommand gives the parts of the beginning of a command line. The name is in upper case, and has two words for UID
// commands; it is empty for what is no command, such as the DONE of IDLE.
func splitCommand(head []byte) (tag []byte, name string) {
	tag, rest, _ := bytes.Cut(head, []byte(" "))
	word, rest, _ := bytes.Cut(rest, []byte(" "))
	name = strings.ToUpper(string(word))
	if name == "UID" {
		word, _, _ = bytes.Cut(rest, []byte(" "))
		name += " " + strings.ToUpper(string(word))
	}
	return tag, name
}

// count adds a command to the counts of a session. head and tail are the ends of its first line.
func count(counts *audit.Commands, name string, head, tail []byte) {
	switch strings.TrimPrefix(name, "UID ") {
	case "SELECT", "EXAMINE":
		counts.Selects++
	case "FETCH":
		counts.Fetches++
	case "STORE":
		counts.Stores++
		if marksDeleted(head, tail) {
			counts.Deletes++
		}
	case "COPY":
		counts.Copies++
	case "MOVE":
		counts.Moves++
	case "APPEND", "REPLACE":
		counts.Appends++
	case "EXPUNGE":
		counts.Expunges++
	}
}

// marksDeleted reports whether a STORE sets \Deleted, as far as the two ends of its line show it.
func marksDeleted(head, tail []byte) bool {
	head, tail = bytes.ToLower(head), bytes.ToLower(tail)
	takesAway := []byte(" -flags")
	if bytes.Contains(head, takesAway) || bytes.Contains(tail, takesAway) {
		return false
	}
	flag := []byte(`\deleted`)
	return bytes.Contains(head, flag) || bytes.Contains(tail, flag)
}
