// Package diagnosis translates what Exchange Online and Entra ID say into what is wrong, what mends it and, where there is
// one, the command that does. It is one table for everybody who tells it to people: the audit log, the reply to a device, the
// queue's listings, the portal's pages, and postern check.
//
// The package reads text and numbers and gives text. It decides nothing: whether a reply means later or never is not its
// business.
package diagnosis

import (
	"regexp"
	"strings"
)

// Subject is whom a reply was about. What is unknown is left empty, and stands as a placeholder in the command.
type Subject struct {
	Mailbox  string // the mailbox's address
	Sender   string // the sender that was tried
	App      string // the application's client id
	Account  string // the person's user principal name
	Provider string // the provider's name in the configuration
	Tenant   string // the tenant's id or domain
	// Principal is the object id of the enterprise application.
	Principal string
}

// Diagnosis is what is known of a reply.
type Diagnosis struct {
	// Name identifies the diagnosis, for programs and for the documentation, such as smtp-auth-off-tenant.
	Name string
	// Cause says what is wrong, in one sentence.
	Cause string
	// Fix says who does what about it, in one sentence; empty where time mends it.
	Fix string
	// Command is for Exchange Online PowerShell, for the Azure CLI in a Unix shell where it begins with az, and for this
	// machine where it begins with postern or timedatectl; empty where there is none.
	Command string
	// Short is Cause and Fix for the one line that a device shows: ASCII, at most 100 characters.
	Short string
}

// String gives all of it in one line.
func (d Diagnosis) String() string {
	parts := []string{d.Cause}
	if d.Fix != "" {
		parts = append(parts, d.Fix)
	}
	if d.Command != "" {
		parts = append(parts, d.Command)
	}
	return strings.Join(parts, "; ")
}

// row is a row of the table: how its replies are known, and what they mean.
type row struct {
	says *regexp.Regexp
	Diagnosis
}

// rowOf makes a row. The expression is matched without regard to case.
func rowOf(says string, d Diagnosis) row { return row{regexp.MustCompile("(?i)" + says), d} }

// maxText is how much of a reply is looked at, in bytes.
const maxText = 4096

// SMTP translates a refusal of the submission service: its code and its text, in one line.
func SMTP(reply string, about Subject) (Diagnosis, bool) {
	if !strings.HasPrefix(reply, "4") && !strings.HasPrefix(reply, "5") {
		return Diagnosis{}, false
	}
	return find(smtpRows, reply, about)
}

// IMAP translates an answer of the IMAP service, in one line.
func IMAP(answer string, about Subject) (Diagnosis, bool) { return find(imapRows, answer, about) }

// find gives the first row that knows a text, with the subject filled in.
func find(rows []row, text string, about Subject) (Diagnosis, bool) {
	text = text[:min(len(text), maxText)]
	for _, r := range rows {
		if r.says.MatchString(text) {
			return r.about(about), true
		}
	}
	return Diagnosis{}, false
}

// about fills in whom the diagnosis is about.
func (d Diagnosis) about(s Subject) Diagnosis {
	fill := strings.NewReplacer("{mailbox}", word(s.Mailbox, "MAILBOX"), "{sender}", word(s.Sender, "SENDER"), "{app}", word(s.App, "APP-ID"),
		"{account}", word(s.Account, "ACCOUNT"), "{provider}", word(s.Provider, "PROVIDER"), "{tenant}", word(s.Tenant, "TENANT"),
		"{principal}", word(s.Principal, "ENTERPRISE-APP-OBJECT-ID"))
	d.Cause, d.Fix, d.Command, d.Short = fill.Replace(d.Cause), fill.Replace(d.Fix), fill.Replace(d.Command), fill.Replace(d.Short)
	return d
}

// plain is what may stand in a command without quotes and alter nothing in it. Addresses are partly a stranger's text, and
// the command is there to be copied.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.@_+-]*$`)

func word(value, placeholder string) string {
	if !plain.MatchString(value) {
		return placeholder
	}
	return value
}
