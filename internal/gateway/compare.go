package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postern/auth"
	"postern/internal/config"
)

// Comparison says what another configuration would change, and for whom.
type Comparison struct {
	// Settings are those that differ, but for the users'.
	Settings []config.Difference `json:"settings"`
	// Waiting are the settings of these that count from the next start on only.
	Waiting []string `json:"waiting_for_restart,omitempty"`
	// Logins says what becomes of logins: those that the file names, the match rules, as *@domain, and those of match rules
	// that are known by name.
	Logins []LoginsChange `json:"logins"`
}

// LoginsChange is what several logins have in common that happens to them.
type LoginsChange struct {
	Change   string              `json:"change"` // added, removed, changed
	Settings []config.Difference `json:"settings,omitempty"`
	Logins   []string            `json:"logins"`
}

// What Change may be.
const (
	loginsAdded   = "added"
	loginsRemoved = "removed"
	loginsChanged = "changed"
)

// Empty reports whether nothing is different.
func (c Comparison) Empty() bool { return len(c.Settings) == 0 && len(c.Logins) == 0 }

// Compare says what would change if after took the place of before. known are logins of which something is known beside
// the files, such as those of match rules that have an app password.
func Compare(before, after *config.Config, known []string) Comparison {
	c := compare(&generation{config: before, directory: auth.NewDirectory(before)},
		&generation{config: after, directory: auth.NewDirectory(after)}, known)
	kept := *after
	c.Waiting = keepFixed(&kept, before)
	return c
}

func compare(before, after *generation, known []string) Comparison {
	c := Comparison{Settings: config.Differences(before.config, after.config)}
	logins := newLoginsChanges(before, after)
	listed := make(map[string]bool)
	for _, g := range []*generation{before, after} {
		for _, user := range g.config.Users {
			logins.look(listed, auth.Canonical(user.Login), user.Match)
		}
	}
	for _, name := range known {
		logins.look(listed, auth.Canonical(name), "")
	}
	c.Logins = logins.all
	return c
}

// loginsChanges puts logins together to which the same happens.
type loginsChanges struct {
	before, after *generation
	all           []LoginsChange
	place         map[string]int // what happens, in words → where it is in all
	policies      map[[2]*config.Policy][]config.Difference
}

func newLoginsChanges(before, after *generation) *loginsChanges {
	return &loginsChanges{before: before, after: after, place: make(map[string]int), policies: make(map[[2]*config.Policy][]config.Difference)}
}

// look finds out what becomes of a login, or of what a match rule fits, unless that is listed already. Of a rule, somebody
// whom nobody is called tells.
func (l *loginsChanges) look(listed map[string]bool, login, match string) {
	name := login
	if match != "" {
		name, login = match, "\ufffd"+strings.TrimPrefix(match, "*")
	}
	if listed[name] {
		return
	}
	listed[name] = true
	was, before := l.before.directory.Lookup(login)
	is, after := l.after.directory.Lookup(login)
	switch {
	case !before && after:
		l.add(loginsAdded, l.described(is), name)
	case before && !after:
		l.add(loginsRemoved, nil, name)
	case before && after:
		if d := l.differences(was, is, match != ""); len(d) > 0 {
			l.add(loginsChanged, d, name)
		}
	}
}

// described says what a new login is for.
func (l *loginsChanges) described(m auth.Mapping) []config.Difference {
	return []config.Difference{
		{Setting: "account", After: m.Account.String()},
		{Setting: "policy", After: m.Policy.Name},
	}
}

// differences says what is different for a login.
func (l *loginsChanges) differences(was, is auth.Mapping, rule bool) []config.Difference {
	var all []config.Difference
	add := func(setting, before, after string) {
		if before != after {
			all = append(all, config.Difference{Setting: setting, Before: before, After: after})
		}
	}
	if !rule { // a rule's are those of whom it fits
		add("login", was.Login, is.Login)
		add("mailbox", was.Mailbox, is.Mailbox)
		add("account", was.Account.String(), is.Account.String())
	} else {
		add("provider", was.Account.Provider, is.Account.Provider)
		add("grant", string(was.Account.Grant), string(is.Account.Grant))
	}
	add("addresses", strings.Join(was.Addresses, ", "), strings.Join(is.Addresses, ", "))
	add("policy", was.Policy.Name, is.Policy.Name)
	return append(all, l.policyDifferences(was.Policy, is.Policy)...)
}

// policyDifferences compares each two policies once.
func (l *loginsChanges) policyDifferences(was, is *config.Policy) []config.Difference {
	pair := [2]*config.Policy{was, is}
	all, known := l.policies[pair]
	if !known {
		all = slices.Clip(config.PolicyDifferences(was, is))
		l.policies[pair] = all
	}
	return all
}

// add notes what happens to a login.
func (l *loginsChanges) add(change string, settings []config.Difference, login string) {
	words := change
	for _, d := range settings {
		words += fmt.Sprintf("\x00%s\x00%s\x00%s", d.Setting, d.Before, d.After)
	}
	at, known := l.place[words]
	if !known {
		at = len(l.all)
		l.place[words] = at
		l.all = append(l.all, LoginsChange{Change: change, Settings: settings})
	}
	l.all[at].Logins = append(l.all[at].Logins, login)
}

// knownLogins gives the logins of match rules of which something is known, for [Compare].
func (a *Admin) knownLogins(ctx context.Context) ([]string, error) {
	known, err := a.known(ctx)
	if err != nil {
		return nil, err
	}
	return known.names(), nil
}

// summary says in a few words what is different, for the audit log.
func (c Comparison) summary() []string {
	var words []string
	for _, d := range c.Settings {
		words = append(words, d.Setting)
	}
	if len(words) > maxSummary {
		words = append(words[:maxSummary], fmt.Sprintf("and %d more settings", len(words)-maxSummary))
	}
	counts := make(map[string]int)
	for _, l := range c.Logins {
		counts[l.Change] += len(l.Logins)
	}
	for _, change := range []string{loginsAdded, loginsRemoved, loginsChanged} {
		if n := counts[change]; n > 0 {
			words = append(words, fmt.Sprintf("logins %s: %d", change, n))
		}
	}
	return words
}

// maxSummary bounds the settings that a line of the audit log names.
const maxSummary = 30
