package web

// signInWords are the texts of signing in and out.
var signInWords = texts{
	"signin.title": {"Sign in", "Anmelden"},
	"signin.intro": {"Here you make app passwords for mail programs and devices that cannot sign in with Microsoft by themselves.",
		"Hier legen Sie App-Kennwörter für Mailprogramme und Geräte an, die sich nicht selbst bei Microsoft anmelden können."},
	"signin.microsoft": {"Sign in with Microsoft", "Mit Microsoft anmelden"},
	"signin.note": {"You sign in on Microsoft's own page. Postern never sees your password there.",
		"Sie melden sich auf der Seite von Microsoft an. Postern erfährt Ihr Kennwort dort nicht."},
	"signin.out": {"You are signed out.", "Sie sind abgemeldet."},
	"signin.out-note": {"Microsoft's own sign-in in this browser goes on. On a computer that others use, sign out there as well.",
		"Die Anmeldung bei Microsoft besteht in diesem Browser weiter. Melden Sie sich an einem gemeinsam genutzten Rechner auch dort ab."},
	"signin.again-title": {"Confirm that it is you", "Bestätigen Sie, dass Sie es sind"},
	"signin.again": {"For this, sign in with Microsoft once more, as %s.",
		"Melden Sie sich dafür noch einmal bei Microsoft an, als %s."},
	"signin.again-button": {"Confirm with Microsoft", "Mit Microsoft bestätigen"},

	"signin.refused-title": {"The sign-in did not work", "Die Anmeldung hat nicht geklappt"},
	"signin.try-again":     {"Try again", "Noch einmal versuchen"},
	"signin.said":          {"Microsoft says:", "Microsoft sagt dazu:"},

	"signin.refused.other-browser": {
		"This sign-in was not begun in this browser. Begin and finish it in one browser, and let it keep cookies of this site. If you followed a link from somebody else, nothing was done with it.",
		"Diese Anmeldung wurde nicht in diesem Browser begonnen. Beginnen und beenden Sie sie in einem Browser, und lassen Sie ihn Cookies dieser Website behalten. Falls Sie einem Link von jemand anderem gefolgt sind: Es ist nichts damit geschehen."},
	"signin.refused.expired": {
		"It took more than ten minutes.",
		"Es hat länger als zehn Minuten gedauert."},
	"signin.refused.state-mismatch": {
		"This is the answer to another sign-in. Perhaps you began twice, in two windows: use the one that you opened last.",
		"Das ist die Antwort auf eine andere Anmeldung. Vielleicht haben Sie in zwei Fenstern begonnen: Nehmen Sie das zuletzt geöffnete."},
	"signin.refused.other-provider": {
		"The answer came from another provider than the one that was asked.",
		"Die Antwort kam von einem anderen Anbieter als dem gefragten."},
	"signin.refused.replayed": {
		"This sign-in has been used already. Going back and reloading does not work here.",
		"Diese Anmeldung ist schon verwendet worden. Zurückgehen und neu laden geht hier nicht."},
	"signin.refused.provider-refused": {
		"Microsoft did not complete the sign-in. If you did not cancel it yourself, show your administrator the words below.",
		"Microsoft hat die Anmeldung nicht abgeschlossen. Falls Sie sie nicht selbst abgebrochen haben, zeigen Sie der Verwaltung die Angaben unten."},
	"signin.refused.code-refused": {
		"Microsoft did not accept the answer that your browser brought; it may have been used before.",
		"Microsoft hat die Antwort, die Ihr Browser brachte, nicht angenommen; vielleicht ist sie schon verwendet worden."},
	"signin.refused.identity-refused": {
		"What came back from Microsoft does not prove who you are. Nothing of it was kept.",
		"Was von Microsoft zurückkam, beweist nicht, wer Sie sind. Nichts davon wurde behalten."},
	"signin.refused.not-fresh": {
		"Your sign-in with Microsoft is too old for this. Sign in with your password there anew.",
		"Ihre Anmeldung bei Microsoft ist dafür zu alt. Melden Sie sich dort neu mit Ihrem Kennwort an."},
	"signin.refused.context-missing": {
		"Microsoft did not confirm the protection that your organization asks for here. Show your administrator the words below.",
		"Microsoft hat den Schutz nicht bestätigt, den Ihre Organisation hier verlangt. Zeigen Sie der Verwaltung die Angaben unten."},
	"signin.refused.other-person": {
		"Somebody else signed in than the person whose pages these are. To be somebody else here, sign out first.",
		"Es hat sich jemand anderes angemeldet als die Person, deren Seiten das sind. Um hier jemand anderes zu sein, melden Sie sich erst ab."},
	"signin.refused.misconfigured": {
		"Postern and your organization's Microsoft tenant do not fit together. Show your administrator the words below; the gateway's log says what to change.",
		"Postern und der Microsoft-Mandant Ihrer Organisation passen nicht zusammen. Zeigen Sie der Verwaltung die Angaben unten; im Log des Gateways steht, was zu ändern ist."},
	"signin.refused.unavailable": {
		"Microsoft, or something of the gateway, does not answer just now. Try again in a minute.",
		"Microsoft oder ein Teil des Gateways antwortet gerade nicht. Versuchen Sie es in einer Minute noch einmal."},
}
