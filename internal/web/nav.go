package web

import (
	"strings"

	"postern/internal/session"
)

// navEntry is a line of a navigation.
type navEntry struct {
	Path, Text string
	Current    bool // the page is this one, or below it
}

// destination is where a navigation leads those who may go there.
type destination struct {
	path, word string
	needed     Permission
}

// navigation is that of every page.
var navigation = []destination{
	{"/", "nav.home", OwnLogins},
	{"/passwords", "nav.passwords", OwnLogins},
	{"/factors", "nav.factors", OwnLogins},
	{"/sessions", "nav.sessions", OwnLogins},
	{"/activity", "nav.activity", OwnLogins},
	{"/admin", "nav.office", SeeLogins},
}

// officeNavigation is that of the pages of administration.
var officeNavigation = []destination{
	{"/admin", "nav.office.logins", SeeLogins},
	{"/admin/sessions", "nav.office.sessions", SeeLogins},
	{"/admin/forecast", "nav.office.forecast", SeeLogins},
	{"/admin/events", "nav.office.events", SeeEvents},
}

// entries gives the lines of a navigation that a role may see, on the page of a path. Of several that the page is below,
// the one with the longest path is the current one.
func entries(all []destination, language string, role Role, page string) []navEntry {
	var list []navEntry
	current := -1
	for _, d := range all {
		if !role.May(d.needed) {
			continue
		}
		text, _ := words(language, d.word) // all words are there: see its test
		if page == d.path || d.path != "/" && strings.HasPrefix(page, d.path+"/") {
			if current < 0 || len(d.path) > len(list[current].Path) {
				current = len(list)
			}
		}
		list = append(list, navEntry{Path: d.path, Text: text})
	}
	if current >= 0 {
		list[current].Current = true
	}
	return list
}

// liveTable is what a table of live sessions shows.
type liveTable struct {
	Sessions []session.Info
	MayCut   bool
	Back     string // the page to come back to after one is cut off
}

func liveTableOf(role Role, sessions []session.Info, back string) liveTable {
	return liveTable{sessions, role.May(CutSessions), back}
}
