package imapproxy

import (
	"bytes"
	"strings"

	"postern/auth"
)

// What a client hears of a command that its session may not give (RFC 5530: NOPERM).
const (
	sayReadOnly   = "NO [NOPERM] This sign-in may only read"
	sayFolder     = "NO [NOPERM] This sign-in may not use that folder"
	sayNotAllowed = "NO [NOPERM] This sign-in may not use that command"
)

// rules say which commands a session may give. What they do not name is refused: a command that somebody invents, or
// upstream learns, tomorrow shall not be the way around them.
type rules struct {
	readOnly bool
	anywhere bool // all folders are open
	folders  folders
}

// rulesOf gives the rules of a session; nil when it may do everything.
func rulesOf(grant auth.Grant) *rules {
	if !grant.ReadOnly && len(grant.Folders) == 0 {
		return nil
	}
	return &rules{readOnly: grant.ReadOnly, anywhere: len(grant.Folders) == 0, folders: newFolders(grant.Folders)}
}

// kind is what the rules know of a command.
type kind struct {
	reads bool // it changes nothing in a mailbox that was opened by EXAMINE
	set   bool // a set of messages stands before the folder
	names int  // how many folders it names, one after the other
	alone bool // it has no arguments
}

// kinds has every command that a restricted session may give, if its rules say so. LIST and its like show the names of
// all folders. Commands that name folders in other places (NOTIFY, ESEARCH, GETMETADATA, URLFETCH, REPLACE) and those
// that let others in (SETACL, DELETEACL, GENURLAUTH) are left out on purpose.
var kinds = map[string]kind{
	"CAPABILITY": {reads: true}, "NOOP": {reads: true}, "LOGOUT": {reads: true}, "ID": {reads: true},
	"ENABLE": {reads: true}, "NAMESPACE": {reads: true}, "IDLE": {reads: true, alone: true},
	"LIST": {reads: true}, "LSUB": {reads: true}, "XLIST": {reads: true},
	"SELECT": {reads: true, names: 1}, "EXAMINE": {reads: true, names: 1}, "STATUS": {reads: true, names: 1},
	"CHECK": {reads: true}, "CLOSE": {reads: true}, "UNSELECT": {reads: true},
	"FETCH": {reads: true}, "SEARCH": {reads: true}, "SORT": {reads: true}, "THREAD": {reads: true},
	"UID FETCH": {reads: true}, "UID SEARCH": {reads: true}, "UID SORT": {reads: true}, "UID THREAD": {reads: true},
	"GETQUOTA": {reads: true}, "GETQUOTAROOT": {reads: true, names: 1}, "MYRIGHTS": {reads: true, names: 1},

	"CREATE": {names: 1}, "DELETE": {names: 1}, "RENAME": {names: 2}, "SUBSCRIBE": {names: 1}, "UNSUBSCRIBE": {names: 1},
	"APPEND": {names: 1}, "COPY": {set: true, names: 1}, "MOVE": {set: true, names: 1},
	"UID COPY": {set: true, names: 1}, "UID MOVE": {set: true, names: 1},
	"STORE": {}, "UID STORE": {}, "EXPUNGE": {}, "UID EXPUNGE": {},
}

// refusal is a command that a session may not give. Its text begins with NO or BAD.
type refusal string

func (r refusal) Error() string { return string(r) }

// judge reads a command behind its tag, as far as the rules need it, and gives its name. The error is a [refusal], a
// [syntaxError], or what the parser's literal returns.
func (r *rules) judge(p *parser) (name string, err error) {
	if name, err = p.command(); err != nil {
		return "", err
	}
	if name == "UID" {
		if err := p.space(); err != nil {
			return "", err
		}
		word, err := p.command()
		if err != nil {
			return "", err
		}
		name += " " + word
	}
	kind, known := kinds[name]
	switch {
	case r.readOnly && !kind.reads:
		return name, refusal(sayReadOnly)
	case !known:
		return name, refusal(sayNotAllowed)
	}
	if kind.alone {
		return name, p.end()
	}
	if !r.anywhere {
		if err := r.named(kind, p); err != nil {
			return name, err
		}
		if name == "APPEND" && concatenates(p.rest) {
			return name, refusal(sayNotAllowed)
		}
	}
	if len(p.rest) > 0 && p.rest[0] != ' ' {
		return name, syntaxError("Invalid argument")
	}
	return name, nil
}

// named reads the folders that a command names.
func (r *rules) named(kind kind, p *parser) error {
	if kind.set {
		if err := p.space(); err != nil {
			return err
		}
		if p.take(isSetChar) == "" {
			return syntaxError("Invalid message set")
		}
	}
	for range kind.names {
		if err := p.space(); err != nil {
			return err
		}
		folder, err := p.astring()
		if err != nil {
			return err
		}
		if !r.folders.has(folder) {
			return refusal(sayFolder)
		}
	}
	return nil
}

// isSetChar reports whether c can be in a set of messages: numbers, ranges, and the saved result of RFC 5182.
func isSetChar(c byte) bool { return c >= '0' && c <= '9' || strings.IndexByte(":,*$", c) >= 0 }

// concatenates reports whether part of an APPEND takes text from other messages (RFC 4469), which may be in any folder.
func concatenates(part []byte) bool { return bytes.Contains(bytes.ToUpper(part), []byte("CATENATE")) }
