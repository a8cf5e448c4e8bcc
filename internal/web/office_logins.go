package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// officeRoutes are the pages about the logins of everybody.
func (p *Portal) officeRoutes() {
	p.handle("GET /admin", SeeLogins, p.officeLogins)
	p.handle("GET /admin/login", SeeLogins, p.officeLogin)
	p.handle("GET /admin/sessions", SeeLogins, p.officeSessions)
	p.handle("GET /admin/forecast", SeeLogins, p.officeForecast)
	p.handle("GET /admin/events", SeeEvents, p.officeEvents)
	p.handle("GET /admin/events.csv", SeeEvents, p.exportEvents)

	p.handle("POST /admin/lock", LockLogins, p.lockLogin)
	p.handle("POST /admin/unlock", LockLogins, p.unlockLogin)
	p.handle("POST /admin/cut", CutSessions, p.officeCut)
	p.handle("POST /admin/passwords/{id}/revoke", RevokePasswords, p.officeRevoke)
	p.handle("POST /admin/passwords/{id}/renew", IssueForDevices, p.officeRenew)
	p.handle("POST /admin/renew", IssueForDevices, p.officeRenewAll)
	p.handle("GET /admin/issue", IssueForDevices, p.officeIssuePage)
	p.handle("POST /admin/issue", IssueForDevices, p.officeIssue)
	p.handle("GET /admin/issued", IssueForDevices, p.officeIssued)
	p.handle("POST /admin/factors/reset", ResetFactors, p.officeResetFactors)
}

const (
	// loginsPerPage is how many lines the list of logins has on one page.
	loginsPerPage = 100
	// maxSearch is how long the text of a search may be, in bytes.
	maxSearch = 200
)

// loginFilters are the ways to narrow the list of logins down: the key of a text → what is left.
var loginFilters = []struct {
	Name string
	fits func(Overview) bool
}{
	{"all", func(Overview) bool { return true }},
	{"attention", func(s Overview) bool { return s.NeedsSignIn || s.Refused || s.Locked || s.Suspended > 0 }},
	{"needs-sign-in", func(s Overview) bool { return s.NeedsSignIn }},
	{"not-enrolled", func(s Overview) bool { return s.NotEnrolled }},
	{"locked", func(s Overview) bool { return s.Locked }},
	{"suspended", func(s Overview) bool { return s.Suspended > 0 }},
	{"devices", Overview.Device},
	{"people", func(s Overview) bool { return !s.Device() }},
}

// loginList is what the page of all logins shows.
type loginList struct {
	Told     string
	Search   string
	Filter   string
	Counts   []filterCount
	Logins   []loginLine
	From, To int // which of Total, from 1
	Total    int
	Earlier  string // the page before; empty for none
	Later    string // the page after
	// Renewable is how many app passwords of devices are suspended for want of evidence that whoever looks may give.
	Renewable int
}

// filterCount is a way to narrow the list, with how many logins it leaves.
type filterCount struct {
	Name  string
	Count int
	Path  string
}

// loginLine is a login as the list shows it.
type loginLine struct {
	Overview
	Live int // sessions
}

// officeLogins lists the logins.
func (p *Portal) officeLogins(w http.ResponseWriter, r *http.Request) {
	all, err := p.config.Office.Logins(r.Context())
	if err != nil {
		p.unavailable(w, r, "reading logins", err)
		return
	}
	query := r.URL.Query()
	list := loginList{Told: p.told(r), Search: cut(strings.TrimSpace(query.Get("q")), maxSearch), Filter: "all"}
	found := slices.DeleteFunc(all, func(s Overview) bool { return !matches(s, list.Search) })
	fits := loginFilters[0].fits
	for _, f := range loginFilters {
		if f.Name == query.Get("show") {
			list.Filter, fits = f.Name, f.fits
		}
		list.Counts = append(list.Counts, filterCount{f.Name, count(found, f.fits), loginsPath(list.Search, f.Name, 1)})
	}
	for _, s := range found {
		if personOf(r).Role.May(IssueForDevices) && s.Device() && provable(s.Policy.MFA) {
			list.Renewable += s.Suspended
		}
	}
	found = slices.DeleteFunc(found, func(s Overview) bool { return !fits(s) })
	page, _ := strconv.Atoi(query.Get("page"))
	list.take(found, page, p.liveByLogin())
	p.page(w, r, "office_logins", list)
}

// take takes a page of what was found.
func (l *loginList) take(found []Overview, page int, live map[string]int) {
	l.Total = len(found)
	last := max(1, (len(found)+loginsPerPage-1)/loginsPerPage)
	page = min(max(page, 1), last)
	from := (page - 1) * loginsPerPage
	to := min(from+loginsPerPage, len(found))
	for _, s := range found[from:to] {
		l.Logins = append(l.Logins, loginLine{s, live[s.Login.Login]})
	}
	l.From, l.To = min(from+1, to), to
	if page > 1 {
		l.Earlier = loginsPath(l.Search, l.Filter, page-1)
	}
	if page < last {
		l.Later = loginsPath(l.Search, l.Filter, page+1)
	}
}

// loginsPath is the address of a page of the list.
func loginsPath(search, filter string, page int) string {
	query := url.Values{}
	if search != "" {
		query.Set("q", search)
	}
	if filter != "all" {
		query.Set("show", filter)
	}
	if page > 1 {
		query.Set("page", strconv.Itoa(page))
	}
	if len(query) == 0 {
		return "/admin"
	}
	return "/admin?" + query.Encode()
}

// matches reports whether a login has a text in one of its names.
func matches(s Overview, search string) bool {
	search = strings.ToLower(search)
	for _, name := range []string{s.Login.Login, s.Mailbox, s.Account.Name, s.Policy.Name} {
		if strings.Contains(strings.ToLower(name), search) {
			return true
		}
	}
	return false
}

func count(all []Overview, fits func(Overview) bool) (n int) {
	for _, s := range all {
		if fits(s) {
			n++
		}
	}
	return n
}

// liveByLogin counts the live sessions of each login.
func (p *Portal) liveByLogin() map[string]int {
	live := make(map[string]int)
	for _, info := range p.config.Office.Sessions() {
		live[info.Login]++
	}
	return live
}

// cut bounds a text that came with a request.
func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
