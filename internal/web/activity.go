package web

import (
	"net"
	"net/http"
	"time"

	"postern/internal/audit"
)

// activityKinds are the kinds of events that a person is shown.
var activityKinds = []string{
	"sign-in", "sign-ins-refused", "password-issued", "password-renewed", "password-revoked", "login-locked", "login-unlocked", "sessions-cut",
	"account-enrolled", "enrolment-refused", "token-refused", "portal-sign-in",
	"factor-enrolled", "factor-renamed", "factor-removed", "factor-proven", "factor-refused", "factors-reset",
}

// maxHappenings is how many lines the page of one's activity has.
const maxHappenings = 100

// happening is something that happened, in the words of the pages. What repeats itself without a break is one happening.
type happening struct {
	Key    string // activity.KEY says what it was, and activity.KEY.advice, where there is such a text, what to do
	Mood   string // good, bad or plain
	Fill   []any  // for the text
	Count  int
	First  time.Time // the oldest of them
	Last   time.Time // the newest of them
	Login  string    // empty where the person has one only
	From   string    // the address, without its port
	Client string    // what the client calls itself
	Label  string    // of the app password
}

// Advice gives the key of the text that says what to do; empty where there is nothing.
func (h happening) Advice() string {
	key := "activity." + h.Key + ".advice"
	if _, there := dictionary[key]; !there {
		return ""
	}
	return key
}

// activityList is what the page of one's activity shows.
type activityList struct {
	Happenings []happening
	Whole      bool      // all that was asked for was looked at
	Oldest     time.Time // of what was looked at
	More       bool      // there are more than the page has lines
}

// activityPage shows what happened to the person's logins of late.
func (p *Portal) activityPage(w http.ResponseWriter, r *http.Request) {
	logins, passwords, err := p.passwordsOf(r)
	if err != nil {
		p.unavailable(w, r, "reading app passwords", err)
		return
	}
	entries, found, err := p.config.Desk.Activity(r.Context(), personOf(r), activityKinds)
	if err != nil {
		p.unavailable(w, r, "reading the audit log", err)
		return
	}
	list := activityList{Happenings: happenings(entries, logins, passwords), Whole: found.Whole, Oldest: found.Oldest}
	if len(list.Happenings) > maxHappenings {
		list.Happenings, list.More = list.Happenings[:maxHappenings], true
	}
	p.page(w, r, "activity", list)
}

// happenings puts entries of the audit log, the newest first, into the words of the pages.
func happenings(entries []audit.Entry, logins []Login, passwords []passwordView) []happening {
	labels := make(map[string]string)
	for _, v := range passwords {
		labels[v.ID] = v.Label
	}
	var all []happening
	for _, e := range entries {
		h, tellable := tellOf(e)
		if !tellable {
			continue
		}
		h.Count, h.First, h.Last = 1, e.Time, e.Time
		if len(logins) == 1 {
			h.Login = ""
		}
		if label, mine := labels[h.Label]; mine {
			h.Label = label
		}
		if n := len(all); n > 0 && all[n-1].same(h) {
			all[n-1].Count++
			all[n-1].First = e.Time
			continue
		}
		all = append(all, h)
	}
	return all
}

// same reports whether two happenings differ in their times only.
func (h happening) same(other happening) bool {
	return h.Key == other.Key && h.Login == other.Login && h.From == other.From && h.Client == other.Client && h.Label == other.Label &&
		len(h.Fill) == 0 && len(other.Fill) == 0
}

// facts are what the words of the pages need of an event, whatever its kind.
type facts struct {
	Outcome  audit.Outcome
	Reason   string
	Login    string
	Remote   string
	Client   string
	Label    string
	Password string `json:"password_id"`
	By       string
	Class    string
	Method   string
	Name     string
	Before   string
	Attempts int
	Count    int
}

// tellOf puts an entry into the words of the pages. It reports false for what is not to be told.
func tellOf(e audit.Entry) (happening, bool) {
	var t facts
	if e.Decode(&t) != nil {
		return happening{}, false
	}
	by, from := splitActor(t.By)
	if t.Remote == "" {
		t.Remote = from
	}
	h := happening{Key: e.Kind, Mood: "plain", Login: t.Login, From: t.Remote, Client: t.Client, Label: t.Password}
	if host, _, err := net.SplitHostPort(t.Remote); err == nil {
		h.From = host
	}
	switch e.Kind {
	case "sign-in":
		h.signIn(t)
	case "portal-sign-in":
		if h.Mood = "good"; t.Outcome == audit.Refused {
			h.Key, h.Mood = "portal-refused", "bad"
		}
	case "sign-ins-refused":
		h.Mood, h.Fill, h.Label = "bad", []any{t.Attempts}, ""
	case "token-refused":
		if t.Class != "needs-sign-in" {
			return happening{}, false
		}
		h.Mood = "bad"
	case "factor-refused", "enrolment-refused":
		h.Mood = "bad"
	case "password-issued":
		h.Label, h.Fill = "", []any{t.Label, by}
	case "password-renewed", "password-revoked", "login-locked", "login-unlocked", "sessions-cut":
		h.Fill = []any{by}
	case "factor-enrolled", "factor-removed", "factor-proven":
		h.Fill = []any{t.Name}
	case "factor-renamed":
		h.Fill = []any{t.Before, t.Name}
	case "factors-reset":
		h.Mood, h.Fill = "bad", []any{by}
	}
	return h, true
}

// signIn tells of an attempt to sign in.
func (h *happening) signIn(t facts) {
	if t.Outcome == audit.Allowed {
		h.Mood = "good"
		return
	}
	h.Mood, h.Key = "bad", "refused."+t.Reason
	if _, known := dictionary["activity."+h.Key]; !known {
		h.Key = "refused.other"
	}
}
