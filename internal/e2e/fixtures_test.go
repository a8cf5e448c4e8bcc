package e2e

import (
	"fmt"
	"strings"
)

// threadLetters are three messages of one thread and one of another, the last with parts of every kind that clients ask
// for: nested, encoded, and a message within the message.
var threadLetters = []string{
	fixture("terry", "IMAP4rev2 WG mtg summary and minutes", "", "text/plain; charset=us-ascii", trickyBody),
	fixture("john", "Re: IMAP4rev2 WG mtg summary and minutes", "terry", "text/plain; charset=us-ascii", "I agree.\r\n"),
	fixture("minutes", "Re: IMAP4rev2 WG mtg summary and minutes", "john", "text/plain; charset=utf-8", "Gr\u00fc\u00dfe aus K\u00f6ln\r\n"),
	fixture("parts", "afternoon meeting", "", `multipart/mixed; boundary="b1"`, strings.Join([]string{
		"preamble", "--b1", "Content-Type: text/plain", "", "plain part", "--b1",
		"Content-Type: application/octet-stream; name=\"a.bin\"", "Content-Transfer-Encoding: base64",
		"Content-Disposition: attachment; filename=\"a.bin\"", "", "AAECA//+DQoNCg==", "--b1",
		"Content-Type: message/rfc822", "", "Subject: inner", "Content-Type: multipart/alternative; boundary=b2", "",
		"--b2", "Content-Type: text/plain", "", "inner plain", "--b2", "Content-Type: text/html", "", "<p>inner</p>", "--b2--",
		"--b1--", "epilogue", ""}, "\r\n")),
}

// fixture writes a message that is the same in every run.
func fixture(id, subject, inReplyTo, contentType, body string) string {
	var reply string
	if inReplyTo != "" {
		reply = fmt.Sprintf("In-Reply-To: <%[1]s@cac.washington.example>\r\nReferences: <%[1]s@cac.washington.example>\r\n", inReplyTo)
	}
	return fmt.Sprintf("Date: Wed, 17 Jul 1996 02:%02d:25 -0700 (PDT)\r\nFrom: %s Gray <%s@cac.washington.example>\r\nSubject: %s\r\n"+
		"To: imap@cac.washington.example\r\ncc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n%s"+
		"Message-Id: <%s@cac.washington.example>\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n%s",
		len(body)%60, id, id, subject, reply, id, contentType, body)
}

// filled gives steps that begin with a step which stores the letters in INBOX, the second of them read.
func filled(steps ...string) []string {
	var appends []string
	for i, letter := range threadLetters {
		flags := []string{"", `(\Seen) `, "", `(\Flagged) `}[i]
		appends = append(appends, fmt.Sprintf("APPEND INBOX %s\"17-Jul-1996 02:44:%02d -0700\" {%d+}", flags, 25+i, len(letter)), "> "+letter)
	}
	return append([]string{strings.Join(appends, "\n")}, steps...)
}
