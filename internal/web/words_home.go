package web

// homeWords are the texts of the first page.
var homeWords = texts{
	"home.title":   {"Overview", "Übersicht"},
	"home.hello":   {"Hello, %s", "Guten Tag, %s"},
	"home.role":    {"Your role: %s.", "Ihre Rolle: %s."},
	"home.account": {"You signed in as %s on %s.", "Sie haben sich als %s angemeldet, am %s."},
}
