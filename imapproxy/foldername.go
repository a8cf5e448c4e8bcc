package imapproxy

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// folders are the folders that a session may open. As with everything that allows, a name that is spelled in another
// way than expected is not one of them.
type folders struct {
	exact map[string]bool
	below []string // prefixes that end in the separator: what is below a folder, at any depth
}

// separator is what Exchange Online puts between the parts of a folder's name (reference B.2).
const separator = "/"

// newFolders reads the patterns of a policy: names, and NAME/* for all below NAME.
func newFolders(patterns []string) folders {
	f := folders{exact: make(map[string]bool)}
	for _, pattern := range patterns {
		prefix, below := strings.CutSuffix(inboxFirst(pattern), separator+"*")
		// Names are in UTF-8 after ENABLE UTF8=ACCEPT (RFC 6855) and in modified UTF-7 otherwise.
		for _, form := range []string{prefix, modifiedUTF7(prefix)} {
			if below {
				f.below = append(f.below, form+separator)
			} else {
				f.exact[form] = true
			}
		}
	}
	return f
}

// has reports whether a folder may be opened, by its name as the client sent it.
func (f folders) has(name string) bool {
	name = inboxFirst(strings.TrimSuffix(name, separator)) // CREATE may have one at the end (RFC 9051 section 6.3.4)
	for part := range strings.SplitSeq(name, separator) {
		if part == "" || part == "." || part == ".." { // never a folder, and the way out of one where folders are files
			return false
		}
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
		return false
	}
	if f.exact[name] {
		return true
	}
	for _, prefix := range f.below {
		if len(name) > len(prefix) && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// inboxFirst gives a name with its first part in upper case if that is INBOX, which alone is known in any case (RFC 9051
// section 5.1).
func inboxFirst(name string) string {
	first, rest, _ := strings.Cut(name, separator)
	if !strings.EqualFold(first, "INBOX") {
		return name
	}
	if len(rest) == 0 {
		return "INBOX" + name[len(first):]
	}
	return "INBOX" + separator + rest
}

// utf7 is the base64 of modified UTF-7 (RFC 3501 section 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// modifiedUTF7 encodes a folder's name (RFC 3501 section 5.1.3).
func modifiedUTF7(name string) string {
	var b strings.Builder
	var wide []rune // not yet written
	flush := func() {
		if len(wide) == 0 {
			return
		}
		var raw []byte
		for _, unit := range utf16.Encode(wide) {
			raw = append(raw, byte(unit>>8), byte(unit))
		}
		b.WriteString("&" + utf7.EncodeToString(raw) + "-")
		wide = wide[:0]
	}
	for _, r := range name {
		switch {
		case r < 0x20 || r > 0x7e:
			wide = append(wide, r)
			continue
		case r == '&':
			flush()
			b.WriteString("&-")
		default:
			flush()
			b.WriteRune(r)
		}
	}
	flush()
	return b.String()
}
