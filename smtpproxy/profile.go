package smtpproxy

// Profile says which slips of a client a listener forgives. Each has a switch of its own, and a transcript in testdata
// as its test. The zero value is the strict one: it forgives nothing.
//
// Verbs and keywords in lower case are no slip: RFC 5321 section 2.4 has them in any case.
type Profile struct {
	// HELOOnly: a client that says HELO and never EHLO may be known by its address; see [Door].
	HELOOnly bool
	// AuthAfterHELO: AUTH is answered behind HELO too, which knows no extensions (RFC 4954 section 3).
	AuthAfterHELO bool
	// LoginInitialResponse: AUTH LOGIN may have the user name behind it, as .NET's SmtpClient has.
	LoginInitialResponse bool
	// PathSpaces: white space around the colon and the address in MAIL and RCPT, and more than one space between words.
	PathSpaces bool
	// MissingBrackets: an address in MAIL and RCPT without its angle brackets.
	MissingBrackets bool
	// NoQuit: a client that closes its connection between two commands has ended its session in good order.
	NoQuit bool
	// Undeclared8Bit: 8-bit characters in a message that was not announced with BODY=8BITMIME (RFC 6152).
	Undeclared8Bit bool
	// MissingFields: From, Date and Message-ID are supplied where the message has none (RFC 6409 section 8), and a message
	// without a header gets one.
	MissingFields bool
	// LFCommands: a command may end in LF alone. Where DATA does, the client ends all its lines so, those of the message
	// and the dot at its end too.
	LFCommands bool
	// LFInData: a line of the message may end in LF alone, and goes on with CRLF. It ends no message: a dot behind such a
	// line end is text.
	LFInData bool
}

// Profiles are the profiles by the names that the configuration has for them.
var Profiles = map[string]Profile{
	"strict": {},
	// What does no harm: nothing here changes where a command or a message ends.
	"device": {HELOOnly: true, AuthAfterHELO: true, LoginInitialResponse: true, PathSpaces: true, MissingBrackets: true,
		NoQuit: true, Undeclared8Bit: true, MissingFields: true},
	"ancient": {HELOOnly: true, AuthAfterHELO: true, LoginInitialResponse: true, PathSpaces: true, MissingBrackets: true,
		NoQuit: true, Undeclared8Bit: true, MissingFields: true, LFCommands: true, LFInData: true},
}
