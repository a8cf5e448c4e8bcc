package web

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"postern/internal/audit"
)

const (
	// eventsPerPage is how many lines the page of events has, and eventBytes how much of the audit log is looked through
	// for them.
	eventsPerPage = 200
	eventBytes    = 32 << 20
)

// eventFilter is what the page of events was asked for, as text.
type eventFilter struct {
	Login, Kind, Outcome, Session string
	Since, Until                  string // days, as browsers send them: 2026-11-24
	Before                        string // older than this moment, for the next page
}

// eventList is what the page of events shows.
type eventList struct {
	eventFilter
	Kinds  []string
	Events []eventLine
	Whole  bool      // all that was asked for was looked at
	Oldest time.Time // of what was looked at
	Older  string    // the next page; empty for none
	Export string    // the same as a file
	Wrong  bool      // a day is none
}

// officeEvents shows recent events of the audit log.
func (p *Portal) officeEvents(w http.ResponseWriter, r *http.Request) {
	filter := filterOf(r.URL.Query())
	list := eventList{eventFilter: filter, Kinds: eventKinds, Export: "/admin/events.csv?" + filter.values().Encode()}
	wanted, err := filter.query()
	if err != nil {
		list.Wrong = true
		p.pageStatus(w, r, http.StatusUnprocessableEntity, "office_events", list)
		return
	}
	wanted.Limit, wanted.MaxBytes = eventsPerPage+1, eventBytes
	entries, found, err := p.config.Office.Events(r.Context(), wanted)
	if err != nil {
		p.unavailable(w, r, "reading the audit log", err)
		return
	}
	if len(entries) > eventsPerPage {
		entries = entries[:eventsPerPage]
		next := filter
		next.Before = entries[len(entries)-1].Time.Format(time.RFC3339Nano)
		list.Older = "/admin/events?" + next.values().Encode()
	}
	list.Events, list.Whole, list.Oldest = eventLines(entries), found.Whole, found.Oldest
	p.page(w, r, "office_events", list)
}

// eventKinds are the kinds of events that there are, sorted.
var eventKinds = func() (kinds []string) {
	for _, e := range audit.Catalogue() {
		kinds = append(kinds, e.Kind())
	}
	slices.Sort(kinds)
	return kinds
}()

// filterOf reads what a request asks for. What is no kind and no outcome is left out.
func filterOf(query url.Values) eventFilter {
	text := func(name string) string { return cut(query.Get(name), maxSearch) }
	f := eventFilter{Login: text("login"), Session: text("session"), Since: text("since"), Until: text("until"), Before: text("before")}
	if kind := query.Get("kind"); slices.Contains(eventKinds, kind) {
		f.Kind = kind
	}
	if outcome := query.Get("outcome"); outcome == string(audit.Allowed) || outcome == string(audit.Refused) {
		f.Outcome = outcome
	}
	return f
}

// values gives the filter as the query of an address.
func (f eventFilter) values() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"login": f.Login, "kind": f.Kind, "outcome": f.Outcome, "session": f.Session,
		"since": f.Since, "until": f.Until, "before": f.Before} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// query gives the search that the filter asks for. A day is one of UTC, and the last one is in it whole.
func (f eventFilter) query() (wanted audit.Query, err error) {
	wanted = audit.Query{Session: f.Session, Outcome: audit.Outcome(f.Outcome)}
	if f.Login != "" {
		name := canonical(f.Login)
		wanted.Who = audit.Who{Logins: []string{name}, Accounts: []string{name}}
	}
	if f.Kind != "" {
		wanted.Kinds = []string{f.Kind}
	}
	if f.Since != "" {
		if wanted.Since, err = time.Parse(time.DateOnly, f.Since); err != nil {
			return wanted, err
		}
	}
	if f.Until != "" {
		if wanted.Until, err = time.Parse(time.DateOnly, f.Until); err != nil {
			return wanted, err
		}
		wanted.Until = wanted.Until.AddDate(0, 0, 1)
	}
	if f.Before != "" {
		before, err := time.Parse(time.RFC3339Nano, f.Before)
		if err != nil {
			return wanted, err
		}
		if wanted.Until.IsZero() || before.Before(wanted.Until) {
			wanted.Until = before
		}
	}
	return wanted, nil
}
