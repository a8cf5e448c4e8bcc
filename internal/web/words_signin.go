package web

// signInWords are the texts of signing in and out.
var signInWords = texts{
	"signin.title": {"Sign in", "Anmelden"},
	"signin.intro": {"Here you make app passwords for mail programs and devices that cannot sign in with Microsoft by themselves.",
		"Hier legen Sie App-Kennwörter für Mailprogramme und Geräte an, die sich nicht selbst bei Microsoft anmelden können."},
	"signin.microsoft": {"Sign in with Microsoft", "Mit Microsoft anmelden"},
	"signin.at":        {"at %s", "bei %s"},
	"signin.out":       {"You are signed out.", "Sie sind abgemeldet."},
	"signin.out-note": {"Microsoft's own sign-in in this browser goes on. On a computer that others use, sign out there as well.",
		"Die Anmeldung bei Microsoft besteht in diesem Browser weiter. Melden Sie sich an einem gemeinsam genutzten Rechner auch dort ab."},
}
