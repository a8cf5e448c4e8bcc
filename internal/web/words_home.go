package web

// homeWords are the texts of the first page.
var homeWords = texts{
	"home.title":     {"Overview", "Übersicht"},
	"home.hello":     {"Hello, %s", "Guten Tag, %s"},
	"home.role":      {"Your role: %s.", "Ihre Rolle: %s."},
	"home.account":   {"You signed in as %s on %s.", "Sie haben sich als %s angemeldet, am %s."},
	"home.fine":      {"All is well", "Alles in Ordnung"},
	"home.passwords": {"App passwords that work", "Gültige App-Kennwörter"},
	"home.stopped":   {"App passwords that are refused at the moment: %v.", "App-Kennwörter, die gerade abgelehnt werden: %v."},
	"home.soon":      {"App passwords that end within two weeks: %v.", "App-Kennwörter, die in den nächsten zwei Wochen enden: %v."},
	"home.sessions":  {"Connections now", "Verbindungen jetzt"},
	"home.show":      {"Show", "Zeigen"},
	"home.logins":    {"Your logins", "Ihre Anmeldenamen"},
	"home.mailbox":   {"Mailbox", "Postfach"},
	"home.ready":     {"ready", "bereit"},
	"home.trouble":   {"What was refused lately", "Zuletzt abgelehnt"},
	"home.all":       {"Everything that happened lately", "Alles, was zuletzt geschah"},
	"home.first":     {"Begin here", "Hier beginnen"},
	"home.first-text": {"Make an app password for the mail program or the device that you want to connect. You get a sheet with all its settings.",
		"Legen Sie ein App-Kennwort für das Mailprogramm oder das Gerät an, das Sie verbinden möchten. Sie bekommen ein Blatt mit allen Einstellungen."},
}
