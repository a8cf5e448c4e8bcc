package diagnosis

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tables say into docs/refusals.md; then read the difference")

// TestPageIsWhatTheTablesSay holds docs/refusals.md to the tables, so that a page, a log line and a command of postern check never differ.
func TestPageIsWhatTheTablesSay(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "refusals.md")
	want := refusalPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/refusals.md is not what the tables say; run: go test ./internal/diagnosis -update\n%s", diff)
	}
}

// refusalPage writes the page.
func refusalPage() string {
	var b strings.Builder
	b.WriteString(`<!-- Made from the code by "go test ./internal/diagnosis -update"; change the tables there. -->
# What Microsoft's refusals mean

Everything that Exchange Online and Entra are known to refuse with, what is wrong then, and what mends it. The audit log (` + "`detail`, `advice`" + `),
` + "`postern queue show`, `postern check`" + ` and the portal say the same, with the mailbox, the account and the application filled in where here stand words in
capitals. Commands are for Exchange Online PowerShell; those that begin with ` + "`az`" + ` are for the Azure CLI in a Unix shell, and those that begin with
` + "`postern` or `timedatectl`" + ` for the gateway's machine. [exchange-online.md](exchange-online.md) says how the tenant is set up.

`)
	b.WriteString("## Exchange Online, SMTP\n\n" + exchangeTable(smtpRows, SMTP))
	b.WriteString("\n## Exchange Online, IMAP\n\n" + exchangeTable(imapRows, IMAP))
	b.WriteString("\n## Entra\n\nThe number behind AADSTS, and who can mend it.\n\n" + entraTable())
	return b.String()
}

// exchangeTable writes the rows of a protocol, each with what it looks like.
func exchangeTable(rows []row, find func(string, Subject) (Diagnosis, bool)) string {
	examples := make(map[string][]string)
	for _, reply := range slices.Sorted(maps.Keys(replies)) {
		if isIMAP := reply[0] == 'A' || reply[0] == '*'; isIMAP == (&rows[0] == &imapRows[0]) {
			d, _ := find(reply, Subject{})
			examples[d.Name] = append(examples[d.Name], "`"+withoutHost(reply)+"`")
		}
	}
	var b strings.Builder
	b.WriteString("| name | what it says, such as | means | do |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		d := r.about(Subject{})
		says := slices.Compact(examples[d.Name])
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.Name, cell(strings.Join(says, "<br>")), cell(d.Cause), cell(remedy(d)))
	}
	return b.String()
}

// entraTable writes the numbers that have the same diagnosis in one row.
func entraTable() string {
	var b strings.Builder
	b.WriteString("| name | AADSTS | means | who | do |\n| --- | --- | --- | --- | --- |\n")
	for _, groups := range [][]entraGroup{entraPerson, entraTenant, entraKeeper, entraTime} {
		for _, g := range groups {
			d := g.about(Subject{})
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.Name, strings.Trim(strings.ReplaceAll(fmt.Sprint(g.numbers), " ", ", "), "[]"), cell(d.Cause), g.mender, cell(remedy(d)))
		}
	}
	return b.String()
}

// remedy is what to do, with the command.
func remedy(d Diagnosis) string {
	switch {
	case d.Fix == "":
		return "nothing: it passes"
	case d.Command == "":
		return d.Fix
	}
	return d.Fix + "<br>`" + d.Command + "`"
}

// serverInReply is what a reply ends with that is another each time.
var serverInReply = regexp.MustCompile(` \[(X|Hostname=|[A-Z0-9]+\.[a-z0-9]+\.prod\.)[^\]]*\]$`)

// withoutHost gives a reply without its server, and without an IMAP tag.
func withoutHost(reply string) string {
	reply = serverInReply.ReplaceAllString(reply, "")
	if reply[0] == 'A' {
		_, reply, _ = strings.Cut(reply, " ")
	}
	return reply
}

// cell makes a text fit into a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
