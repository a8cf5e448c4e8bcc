package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/session"
)

// maxLive is how many lines the page of live sessions has.
const maxLive = 500

// liveList is what the page of all live sessions shows.
type liveList struct {
	Told     string
	Search   string
	Sessions []session.Info
	Total    int // that were found
}

// officeSessions lists the live sessions, the newest first.
func (p *Portal) officeSessions(w http.ResponseWriter, r *http.Request) {
	list := liveList{Told: p.told(r), Search: cut(strings.TrimSpace(r.URL.Query().Get("q")), maxSearch)}
	search := strings.ToLower(list.Search)
	list.Sessions = slices.DeleteFunc(p.config.Office.Sessions(), func(i session.Info) bool {
		return !strings.Contains(strings.ToLower(i.Login+" "+i.Mailbox+" "+i.Remote.String()+" "+i.Protocol), search)
	})
	slices.Reverse(list.Sessions)
	if list.Total = len(list.Sessions); list.Total > maxLive {
		list.Sessions = list.Sessions[:maxLive]
	}
	p.page(w, r, "office_sessions", list)
}

// forecastDays is how far the page of what will stop looks ahead.
const forecastDays = 60

// forecastList is what that page shows.
type forecastList struct {
	Stopped []Stop // already, and can be mended
	Soon    []Stop
	Unknown []Stop // at a time that is not known here
	Days    int
}

// officeForecast says what will stop, and what has.
func (p *Portal) officeForecast(w http.ResponseWriter, r *http.Request) {
	now := p.now()
	stops, err := p.config.Office.Forecast(r.Context(), now.Add(forecastDays*24*time.Hour))
	if err != nil {
		p.unavailable(w, r, "looking ahead", err)
		return
	}
	list := forecastList{Days: forecastDays}
	for _, s := range stops {
		switch {
		case s.At.IsZero():
			list.Unknown = append(list.Unknown, s)
		case s.Stopped(now):
			list.Stopped = append(list.Stopped, s)
		default:
			list.Soon = append(list.Soon, s)
		}
	}
	p.page(w, r, "office_forecast", list)
}
