package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// clockSlack is how much older than asked for a line has to be for a search to look no further: the clock may have
// been set between two lines.
const clockSlack = 24 * time.Hour

// Entry is a line of an audit log.
type Entry struct {
	Time time.Time
	Seq  int64
	Kind string
	// Line is the whole line as JSON, without its line end. What strangers wrote stands in it as they wrote it.
	Line []byte
}

// Decode reads the fields of the entry's event into an event of its kind, or into any struct with such fields.
func (e Entry) Decode(into any) error { return json.Unmarshal(e.Line, into) }

// Query says which lines of a log are wanted. The zero value wants them all.
type Query struct {
	Who     Who
	Kinds   []string // any of these
	Session string   // the session's id
	By      string   // the name of who did it, of the kinds that have one
	Outcome Outcome  // allowed or refused, of the kinds that have one
	// Since and Until bound the time: not before Since, and before Until. The zero time is no bound.
	Since, Until time.Time
	// Limit is how many entries are wanted; 0 means all.
	Limit int
	// MaxBytes is how much of the log is read from its end; 0 means all of it.
	MaxBytes int64
}

// Who says whom an entry has to be about: any one that is named here. The zero value means anybody.
type Who struct {
	Logins   []string // canonical
	Accounts []string // names of accounts, at whatever provider, as the log has them
	// Owned are accounts with their providers, such as "alice@contoso.com at contoso": of these, and of nobody who has the
	// same name elsewhere.
	Owned     []string
	ObjectIDs []string // of persons at Entra
}

// Found says how a search went.
type Found struct {
	// Whole says that all that was asked for has been looked at; false when MaxBytes came first.
	Whole bool
	// Oldest is the time of the oldest line that was looked at.
	Oldest time.Time
	// Unreadable is how many lines were passed over that are not of an audit log: half lines that a crash left.
	Unreadable int
}

// Search gives the wanted entries of the log at path, of all its files, to each, the newest first, until each says false. It takes
// no lock and may be used while the log is written. Text behind the last line end is no line yet, and is not looked at.
func Search(ctx context.Context, path string, q Query, each func(Entry) bool) (Found, error) {
	files, err := openAll(path)
	if err != nil {
		return Found{}, fmt.Errorf("reading the audit log: %w", err)
	}
	defer closeAll(files)
	s := search{query: q, filter: q.filter(), each: each}
	if err := s.run(ctx, files); err != nil {
		return s.found, fmt.Errorf("reading the audit log %q: %w", path, err)
	}
	return s.found, nil
}

// search is a search under way.
type search struct {
	query  Query
	filter [][][]byte
	each   func(Entry) bool
	given  int
	over   bool // nothing more is wanted
	found  Found
}

// run reads the lines of files, the last first, as far back as is asked for.
func (s *search) run(ctx context.Context, files []openFile) error {
	left := s.query.MaxBytes
	s.found.Whole = true
	for _, file := range files {
		lowest := int64(0)
		if s.query.MaxBytes > 0 {
			lowest = max(0, file.size-left)
			left -= file.size - lowest
		}
		s.found.Whole = lowest == 0
		if err := backwards(ctx, file, lowest, file.size, s.line); err != nil || s.over || lowest > 0 {
			return err
		}
	}
	return nil
}

// line looks at one line. It reports whether the search goes on.
func (s *search) line(line []byte) bool {
	at, ok := lineTime(line)
	if !ok {
		s.found.Unreadable++
		return true
	}
	s.found.Oldest = at
	q := s.query
	if !q.Since.IsZero() && at.Before(q.Since.Add(-clockSlack)) {
		s.found.Whole, s.over = true, true
		return false
	}
	if !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) || !mayFit(line, s.filter) {
		return true
	}
	e, about, err := parse(line)
	if err != nil {
		s.found.Unreadable++
		return true
	}
	if !q.wants(e, about) {
		return true
	}
	e.Line = bytes.Clone(line)
	s.given++
	if !s.each(e) || s.given == q.Limit {
		s.found.Whole, s.over = true, true
		return false
	}
	return true
}

// lineTime reads the time at the beginning of a line.
func lineTime(line []byte) (time.Time, bool) {
	const begin = `{"time":"`
	if !bytes.HasPrefix(line, []byte(begin)) {
		return time.Time{}, false
	}
	text, _, found := bytes.Cut(line[len(begin):], []byte(`"`))
	if !found {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	return at, err == nil
}

// about is what queries look at.
type about struct {
	head
	Login    string  `json:"login"`
	Account  string  `json:"account"`
	Provider string  `json:"provider"`
	User     string  `json:"username"`
	By       string  `json:"by"`
	Object   string  `json:"oid"`
	Session  string  `json:"session"`
	Outcome  string  `json:"outcome"`
	Logins   []Tally `json:"logins"`
}

func parse(line []byte) (Entry, about, error) {
	var a about
	if err := json.Unmarshal(line, &a); err != nil {
		return Entry{}, a, err
	}
	at, err := time.Parse(time.RFC3339Nano, a.Time)
	if err == nil && (a.Kind == "" || a.Seq <= 0) {
		err = errors.New("it has no kind or no number")
	}
	return Entry{Time: at, Seq: a.Seq, Kind: a.Kind}, a, err
}

// wants reports whether an entry is one that is asked for, times apart.
func (q Query) wants(e Entry, a about) bool {
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Session == "" || a.Session == q.Session) &&
		(q.Outcome == "" || a.Outcome == string(q.Outcome)) &&
		(q.By == "" || a.By == q.By || strings.HasPrefix(a.By, q.By+" ")) &&
		q.Who.concerns(a)
}

// names gives the names of all accounts, without their providers.
func (w Who) names() []string {
	names := slices.Clone(w.Accounts)
	for _, account := range w.Owned {
		name, _, _ := strings.Cut(account, " at ")
		names = append(names, name)
	}
	return names
}

func (w Who) concerns(a about) bool {
	if len(w.Logins)+len(w.Accounts)+len(w.Owned)+len(w.ObjectIDs) == 0 {
		return true
	}
	named := func(login Tally) bool { return slices.Contains(w.Logins, login.Name) }
	return slices.Contains(w.Logins, a.Login) || slices.ContainsFunc(a.Logins, named) ||
		slices.ContainsFunc(w.Accounts, a.isAccount) || slices.ContainsFunc(w.Owned, a.isOwned) || slices.Contains(w.ObjectIDs, a.Object)
}

// isAccount reports whether an entry names an account: alone, with its provider (alice@contoso.com at contoso), or as the
// name of who signed in.
func (a about) isAccount(name string) bool {
	return a.Account == name || strings.HasPrefix(a.Account, name+" at ") || a.User == name
}

// isOwned reports whether an entry names an account with its provider, in one field or in two.
func (a about) isOwned(account string) bool {
	return a.Account == account || a.Account+" at "+a.Provider == account
}

// filter gives texts that a wanted line has to have: one at least of each list. It is a quick look before a line is
// parsed, which makes a search ten times as fast.
func (q Query) filter() (all [][][]byte) {
	add := func(texts ...[]byte) {
		if len(texts) > 0 {
			all = append(all, texts)
		}
	}
	add(quoted(q.Kinds...)...)
	add(append(quoted(slices.Concat(q.Who.Logins, q.Who.ObjectIDs)...), begun(q.Who.names()...)...)...)
	if q.Session != "" {
		add(quoted(q.Session)...)
	}
	if q.Outcome != "" {
		add(quoted(string(q.Outcome))...)
	}
	if q.By != "" {
		add(begun(q.By)...)
	}
	return all
}

// quoted gives texts as JSON has them.
func quoted(texts ...string) [][]byte {
	list := make([][]byte, len(texts))
	for i, text := range texts {
		list[i], _ = json.Marshal(text) // of a string there is no error
	}
	return list
}

// begun gives the beginnings of texts, as JSON has them, that begin with these.
func begun(texts ...string) [][]byte {
	list := quoted(texts...)
	for i := range list {
		list[i] = list[i][:len(list[i])-1]
	}
	return list
}

func mayFit(line []byte, filter [][][]byte) bool {
	for _, list := range filter {
		if !slices.ContainsFunc(list, func(text []byte) bool { return bytes.Contains(line, text) }) {
			return false
		}
	}
	return true
}
