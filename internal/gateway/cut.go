package gateway

import (
	"postern/internal/audit"
	"postern/internal/session"
)

// causeKilled is the cause of sessions that somebody has cut off, as the audit log has it.
const causeKilled = "killed"

// causeReconfigured is the cause of sessions that had nothing to stand on any more after a reload.
const causeReconfigured = "reconfigured"

// cutSessions ends the sessions that match picks, and gives their number, once that is in the audit log: what they are, in
// words, and by whom. Where they are all of one login, the event names it, so that its owner can see it.
func cutSessions(
	register *session.Register, log interface{ Record(audit.Event) error }, what, by string, match func(session.Info) bool,
) (int, error) {
	event := audit.SessionsCut{What: what, By: by}
	for _, live := range register.List() {
		switch {
		case !match(live):
			continue
		case event.Count == 0:
			event.Login = live.Login
		case event.Login != live.Login:
			event.Login = ""
		}
		event.Count++
	}
	if err := log.Record(event); err != nil {
		return 0, err
	}
	return register.Cut(causeKilled, match), nil
}
