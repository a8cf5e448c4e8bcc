package e2e

import (
	"slices"
	"strings"
	"testing"
)

// exchangeDialogues are the commands that Exchange Online has, of the reference's section B.2, each in every form that
// clients use. They are played one after the other in the same mailbox.
var exchangeDialogues = []dialogue{
	{name: "CAPABILITY, NOOP and ID", steps: []string{"CAPABILITY", "capability", "NOOP", `ID ("name" "x")`, "ID NIL"}},
	{name: "NAMESPACE", steps: []string{"NAMESPACE"}},
	{name: "SELECT and EXAMINE", steps: filled("SELECT INBOX", "EXAMINE INBOX", "! SELECT NOTHERE",
		`SELECT "Sent Items"`, "SELECT {10+}\n> Sent Items", "EXAMINE {5}", "> INBOX")},
	{name: "STATUS", steps: []string{"STATUS INBOX (MESSAGES)",
		"STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)", "! STATUS NOTHERE (MESSAGES)"}},
	{name: "IDLE", steps: []string{"IDLE", "> DONE", "SELECT INBOX", "IDLE", "2 APPEND INBOX (\\Seen) {5+}\n> hello",
		"? RECENT",
		"2 SELECT INBOX", `2 STORE 5 +FLAGS (\Deleted)`, "? FETCH", "2 EXPUNGE", "? EXPUNGE", "> DONE"}},
	{name: "LIST and LSUB", steps: []string{`LIST "" *`, `LIST "" %`, `LIST "" ""`, `LIST "" "Sent*"`, `LSUB "" *`}},
	{name: "CREATE, SUBSCRIBE, RENAME and DELETE", steps: []string{"CREATE a/b", `LIST "" a*`, "SUBSCRIBE a/b",
		`LSUB "" a*`, "UNSUBSCRIBE a/b", `LSUB "" a*`,
		"RENAME a c", `LIST "" *`, "DELETE c/b", "DELETE c", "! DELETE c", "! CREATE INBOX",
		"! RENAME nowhere elsewhere"}},
	{name: "APPEND", steps: []string{"CREATE appended", "APPEND appended {5}", "> hello",
		"APPEND appended (\\Seen \\Draft) \" 7-Feb-1994 21:52:25 -0800\" {5+}\n> hello",
		"! APPEND NOTHERE {5+}\n> hello", "SELECT appended", "FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])"}},
	{name: "FETCH", steps: []string{"SELECT INBOX", "FETCH 1:* ALL", "FETCH 1:4 FAST", "FETCH 2 FULL",
		"UID FETCH 1:* (UID RFC822.SIZE)",
		"FETCH 1 (BODY.PEEK[] RFC822.HEADER)", "FETCH 1 BODY[]<10.20>", "FETCH 4 (BODY.PEEK[1] BODY.PEEK[3.HEADER])",
		"FETCH 1:4 (BODY.PEEK[HEADER.FIELDS (DATE FROM)])", "FETCH 3 BODY[TEXT]", "FETCH 3 FLAGS"}},
	{name: "SEARCH", steps: []string{"SELECT INBOX", "SEARCH UNSEEN", "SEARCH ALL", "UID SEARCH FLAGGED",
		"SEARCH SUBJECT {9+}\n> afternoon", `SEARCH OR FROM "terry" SEEN`}},
	{name: "STORE and EXPUNGE", steps: []string{"CREATE kept", "SELECT INBOX", `STORE 1 +FLAGS (\Flagged)`,
		`UID STORE 1 -FLAGS.SILENT (\Flagged)`, "FETCH 1 FLAGS",
		"COPY 1:2 kept", "UID COPY 3 kept", "STATUS kept (MESSAGES)", `STORE 1 FLAGS (\Deleted)`, "UID EXPUNGE 1",
		`STORE 1 +FLAGS (\Deleted)`, "EXPUNGE"}},
	{name: "MOVE", steps: []string{"SELECT kept", "MOVE 1 Archive", "UID MOVE 2 Archive", "STATUS Archive (MESSAGES)",
		"CHECK"}},
	{name: "CLOSE and UNSELECT", steps: []string{"SELECT kept", `STORE 1 +FLAGS (\Deleted)`, "UNSELECT", "SELECT kept",
		"CLOSE", "STATUS kept (MESSAGES)"}},
	{name: "what Exchange does not know", steps: []string{"! FETCH 1 FLAGS", "! NONSENSE"}},
	{name: "pipelining", steps: []string{
		"SELECT Archive\nFETCH 1:* (FLAGS)\nNOOP\nSEARCH ALL\nSTATUS INBOX (MESSAGES)\nLIST {0+}\n>  {1+}\n> *"}},
}

// TestI13ExchangeAnswersTheSameThroughPostern plays every dialogue twice: straight at a simulator, and through Postern at
// another that has had the same said to it.
func TestI13ExchangeAnswersTheSameThroughPostern(t *testing.T) {
	t.Parallel()
	program := binary(t, program)
	s, twin := startSim(t, program), startSim(t, program)
	d, g := deploy(t, twin, twin.upstreams())
	d.serve(t, g, program)
	straight, postern := direct(t, s, s.IMAP, s.CAFile), through(g)
	for _, d := range append(slices.Clone(exchangeDialogues), bigBatch()) {
		if !t.Run(d.name, func(t *testing.T) { d.compare(t, straight, postern, func() {}) }) {
			t.FailNow() // the two mailboxes are not alike any more
		}
	}
	t.Run("bulk", func(t *testing.T) { bulk(t, postern) })
	t.Run("capabilities", func(t *testing.T) {
		want := strings.Fields("IMAP4 IMAP4rev1 UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+")
		if got := afterSignIn(t, postern); !slices.Equal(got, want) {
			t.Errorf("got capabilities %q, want %q", got, want)
		}
	})
}
