package web

// layoutWords are the texts around every page, and those of pages about problems.
var layoutWords = texts{
	"layout.skip":          {"Skip to the content", "Zum Inhalt"},
	"layout.signed-in":     {"Signed in as %s", "Angemeldet als %s"},
	"layout.sign-out":      {"Sign out", "Abmelden"},
	"layout.everywhere":    {"Sign out everywhere", "Überall abmelden"},
	"layout.nav":           {"Pages", "Seiten"},
	"layout.lockdown":      {"A lockdown is on (%s): nobody within it signs in or sends. It was begun by %s,", "Eine Sperrung ist in Kraft (%s): wer darunter fällt, meldet sich nicht an und sendet nicht. Begonnen durch %s,"},
	"layout.lockdown-lift": {"On the server, this ends it:", "Auf dem Server beendet sie:"},
	"nav.home":             {"Overview", "Übersicht"},
	"nav.passwords":        {"App passwords", "App-Kennwörter"},
	"nav.sessions":         {"Connections", "Verbindungen"},
	"nav.activity":         {"Activity", "Verlauf"},

	"role.user":          {"user", "Benutzer"},
	"role.auditor":       {"auditor", "Revision"},
	"role.operator":      {"operator", "Betrieb"},
	"role.administrator": {"administrator", "Verwaltung"},

	"problem.back": {"To the overview", "Zur Übersicht"},

	"problem.not-found.title": {"There is no such page", "Diese Seite gibt es nicht"},
	"problem.not-found.text":  {"Check the address, or begin at the overview.", "Prüfen Sie die Adresse, oder beginnen Sie bei der Übersicht."},

	"problem.forbidden.title": {"You may not do this", "Das dürfen Sie nicht"},
	"problem.forbidden.text": {"Your role does not allow it. An administrator can give you another one, or do it for you. The attempt is recorded.",
		"Ihre Rolle erlaubt es nicht. Wer Postern verwaltet, kann Ihnen eine andere geben oder es für Sie tun. Der Versuch ist festgehalten."},

	"problem.cross-origin.title": {"This request came from another site", "Diese Anfrage kam von einer anderen Website"},
	"problem.cross-origin.text": {"Nothing was changed. If you did press a button here, open the page again and repeat it.",
		"Es wurde nichts geändert. Falls Sie hier einen Knopf gedrückt haben, öffnen Sie die Seite neu und wiederholen Sie es."},

	"problem.host.title": {"This portal has another address", "Dieses Portal hat eine andere Adresse"},
	"problem.host.text":  {"Open it as %s.", "Öffnen Sie es unter %s."},

	"problem.bad-request.title": {"This request cannot be understood", "Diese Anfrage ist nicht verständlich"},
	"problem.bad-request.text": {"Go back, open the page again and repeat it. A form must not be longer than 64 KB.",
		"Gehen Sie zurück, öffnen Sie die Seite neu und wiederholen Sie es. Ein Formular darf nicht länger als 64 KB sein."},

	"problem.too-many.title": {"Too many requests", "Zu viele Anfragen"},
	"problem.too-many.text":  {"Wait a minute and try again.", "Warten Sie eine Minute und versuchen Sie es noch einmal."},

	"problem.unavailable.title": {"Postern cannot do this just now", "Postern kann das gerade nicht"},
	"problem.unavailable.text": {"Nothing was changed. Try again in a minute; if it stays like this, tell your administrator. The gateway's log says why.",
		"Es wurde nichts geändert. Versuchen Sie es in einer Minute noch einmal; bleibt es dabei, sagen Sie der Verwaltung Bescheid. Der Grund steht im Log des Gateways."},
}
