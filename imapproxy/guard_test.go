package imapproxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/auth"
	"postern/internal/relay"
)

var (
	reading = &rules{readOnly: true, anywhere: true}
	scans   = rulesOf(auth.Grant{Folders: []string{"INBOX", "Scans/*"}})
	both    = rulesOf(auth.Grant{ReadOnly: true, Folders: []string{"INBOX", "Scans/*"}})
)

func TestRulesOfAGrantThatAllowsEverything(t *testing.T) {
	if got := rulesOf(auth.Grant{}); got != nil {
		t.Errorf("got %+v, want no rules", got)
	}
}

// TestJudged has every command that is known, and some that are not, and what upstream gets of each.
func TestJudged(t *testing.T) {
	const (
		examine = "EXAMINE"
		no      = "" // upstream gets a NOOP
	)
	for _, test := range []struct {
		command        string
		reading, scans string // what upstream gets; "=" is the command itself
	}{
		{"CAPABILITY", "=", "="}, {"NOOP", "=", "="}, {"LOGOUT", "=", "="}, {"ID NIL", "=", "="}, {"ENABLE CONDSTORE", "=", "="},
		{"NAMESPACE", "=", "="}, {`LIST "" "*"`, "=", "="}, {`LSUB "" %`, "=", "="}, {`XLIST "" *`, "=", "="},
		{"SELECT INBOX", "EXAMINE INBOX", "="}, {"select inbox", "EXAMINE inbox", "="}, {`SELECT "Scans/a b" (CONDSTORE)`, `EXAMINE "Scans/a b" (CONDSTORE)`, "="},
		{"SELECT Other", "EXAMINE Other", no}, {`SELECT "Scans"`, `EXAMINE "Scans"`, no}, {"SELECT Scans/../Other", "EXAMINE Scans/../Other", no},
		{"SELECT", "EXAMINE", no}, {`SELECT ""`, `EXAMINE ""`, no}, {`SELECT "In\BOX"`, `EXAMINE "In\BOX"`, no},
		{"EXAMINE INBOX", "=", "="}, {"EXAMINE Other", "=", no}, {"STATUS INBOX (MESSAGES)", "=", "="}, {"STATUS Other (MESSAGES)", "=", no},
		{"CHECK", "=", "="}, {"CLOSE", "=", "="}, {"UNSELECT", "=", "="},
		{"FETCH 1:* (FLAGS BODY[])", "=", "="}, {"SEARCH ALL", "=", "="}, {"SORT (DATE) UTF-8 ALL", "=", "="}, {"THREAD REFERENCES UTF-8 ALL", "=", "="},
		{"UID FETCH 1 BODY[]", "=", "="}, {"UID SEARCH ALL", "=", "="}, {"UID SORT (DATE) UTF-8 ALL", "=", "="}, {"UID THREAD REFERENCES UTF-8 ALL", "=", "="},
		{`GETQUOTA ""`, "=", "="}, {"GETQUOTAROOT INBOX", "=", "="}, {"GETQUOTAROOT Other", "=", no}, {"MYRIGHTS INBOX", "=", "="}, {"MYRIGHTS Other", "=", no},
		{"CREATE Scans/new", no, "="}, {"CREATE Scans/new/", no, "="}, {"CREATE Other", no, no}, {"DELETE Scans/a", no, "="}, {"DELETE Other", no, no},
		{"RENAME Scans/a Scans/b", no, "="}, {"RENAME Scans/a Other", no, no}, {"RENAME Other Scans/b", no, no}, {"RENAME INBOX", no, no},
		{"SUBSCRIBE Scans/a", no, "="}, {"SUBSCRIBE Other", no, no}, {"UNSUBSCRIBE Scans/a", no, "="},
		{"COPY 1,2:* Scans/a", no, "="}, {"COPY 1 Other", no, no}, {"COPY x Scans/a", no, no}, {"UID COPY $ Scans/a", no, "="}, {"UID COPY 1 Other", no, no},
		{"MOVE 1 Scans/a", no, "="}, {"MOVE 1 Other", no, no}, {"UID MOVE 1 Scans/a", no, "="}, {"UID MOVE 1 Other", no, no},
		{`STORE 1 +FLAGS (\Seen)`, no, "="}, {`UID STORE 1 +FLAGS (\Deleted)`, no, "="}, {"EXPUNGE", no, "="}, {"UID EXPUNGE 1", no, "="},
		// What is not known is not allowed.
		{"SETMETADATA INBOX (/x NIL)", no, no}, {"GETMETADATA INBOX /x", no, no}, {"SETACL INBOX bob lrs", no, no}, {"DELETEACL INBOX bob", no, no},
		{"GETACL INBOX", no, no}, {`SETQUOTA "" (STORAGE 5)`, no, no}, {"NOTIFY NONE", no, no}, {"ESEARCH IN (personal) ALL", no, no},
		{"COMPRESS DEFLATE", no, no}, {"UNAUTHENTICATE", no, no}, {"LOGIN a b", no, no}, {"AUTHENTICATE PLAIN", no, no}, {"STARTTLS", no, no},
		{"GENURLAUTH x INTERNAL", no, no}, {"URLFETCH x", no, no}, {"RESETKEY", no, no}, {"REPLACE 1 INBOX", no, no}, {"UID REPLACE 1 INBOX", no, no},
		{"XYZZY", no, no}, {"UID", no, no}, {"UID XYZZY 1", no, no}, {"UID  FETCH 1 FLAGS", no, no}, {"FETCH\t1", no, no},
		{"FETCH 1 {x}", no, no}, {"FETCH 1 {05}", no, no}, {"FETCH 1 {9999999999}", no, no}, {"FETCH 1 \x00", no, no}, {"FETCH 1\rx STORE", no, no},
		{"IDLE now", no, no}, {strings.Repeat("x", maxTag) + " STORE", no, no}, {"UID FETCH " + strings.Repeat("1,", maxCommandLine), no, no},
	} {
		for name, judged := range map[string]struct {
			rules *rules
			want  string
		}{"read-only": {reading, test.reading}, "folders": {scans, test.scans}} {
			for _, n := range []int{1 << 20, 7} {
				g := newGuarded(judged.rules, false, func() bool { return false })
				if err := g.say("a1 "+test.command+"\r\nz9 NOOP\r\n", n); err != nil {
					t.Fatal(err)
				}
				want := "a1 " + judged.want
				switch judged.want {
				case "=":
					want = "a1 " + test.command
				case no:
					want = "a1 NOOP"
				}
				if got := g.oracle.commands; len(got) != 2 || got[0] != want || got[1] != "z9 NOOP" {
					t.Errorf("%s: %.60q: upstream got %.200q, want %.60q", name, test.command, got, want)
				}
				heard := tagged(g.heard.String())
				refused := strings.HasPrefix(heard[0], "a1 NO [NOPERM] ") || strings.HasPrefix(heard[0], "a1 BAD ")
				if len(heard) != 2 || refused != (judged.want == no) || heard[1] != "z9 OK done" {
					t.Errorf("%s: %.60q: the client heard %q", name, test.command, heard)
				}
			}
		}
	}
}

// tagged gives the tagged lines, and those that ask to go on, of what a client heard from an oracle.
func tagged(heard string) []string {
	heard = strings.ReplaceAll(heard, "{9}\r\n+ go\r\na1 X)", "")
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(heard, "\r\n"), "\r\n") {
		if !strings.HasPrefix(line, "* ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestGuardDialogues has what passes between client, gateway and upstream, step by step: "c" the client says, "u" upstream hears, "s"
// upstream says, "h" the client hears. Lines are without CRLF; a literal is a step with its size in front, such as "c5 hello".
func TestGuardDialogues(t *testing.T) {
	const noReading, noFolder = " NO [NOPERM] This sign-in may only read", " NO [NOPERM] This sign-in may not use that folder"
	for name, test := range map[string]struct {
		rules *rules
		steps []string
	}{
		"answers keep their order": {reading, []string{
			"c a1 FETCH 1 FLAGS", `c a2 STORE 1 +FLAGS (\Seen)`, "c a3 FETCH 2 FLAGS",
			"u a1 FETCH 1 FLAGS", "u a2 NOOP", "u a3 FETCH 2 FLAGS",
			"s * 1 FETCH (FLAGS ())", "s a1 OK", "s * 9 EXISTS", "s a2 OK NOOP completed", "s a3 OK",
			"h * 1 FETCH (FLAGS ())", "h a1 OK", "h * 9 EXISTS", "h a2" + noReading, "h a3 OK"}},
		"one tag for all": {reading, []string{
			"c a NOOP", "c a EXPUNGE", "c a NOOP", "u a NOOP", "u a NOOP", "u a NOOP",
			"s a OK 1", "s a OK 2", "s a OK 3", "h a OK 1", "h a" + noReading, "h a OK 3"}},
		"upstream's BAD to the NOOP does not show": {reading, []string{
			"c a EXPUNGE", "u a NOOP", "s a BAD User is authenticated but not connected.", "h a" + noReading}},
		"a refused literal that waits": {reading, []string{
			"c a1 APPEND INBOX {5}", "u a1 NOOP", "s a1 OK", "h a1" + noReading, "c a2 NOOP", "u a2 NOOP", "s a2 OK", "h a2 OK"}},
		"a refused literal that does not wait": {reading, []string{
			"c a1 APPEND INBOX {20+}", "u a1 NOOP", "c20 a2 UID EXPUNGE 1\r\nxx", "c", "c a2 NOOP", "u a2 NOOP",
			"s a1 OK", "s a2 OK", "h a1" + noReading, "h a2 OK"}},
		"refused literals of both kinds": {reading, []string{
			"c a1 APPEND INBOX {2+}", "u a1 NOOP", "c2 xx", "c  {3}", "s a1 OK", "h a1" + noReading, "c a2 NOOP", "u a2 NOOP", "s a2 OK", "h a2 OK"}},
		"a refused literal of no bytes": {reading, []string{
			"c a1 APPEND INBOX {0+}", "u a1 NOOP", "c a2 STORE x", "c a2 NOOP", "u a2 NOOP", "s a1 OK", "s a2 OK", "h a1" + noReading, "h a2 OK"}},
		"an allowed literal that waits": {reading, []string{
			"c a1 SEARCH SUBJECT {5}", "u a1 SEARCH SUBJECT {5}", "s + go", "h + go", "c5 hello", "c  ALL", "u5 hello", "u  ALL", "s a1 OK", "h a1 OK"}},
		"an allowed literal that upstream refuses": {reading, []string{
			"c a1 SEARCH SUBJECT {5}", "u a1 SEARCH SUBJECT {5}", "s a1 BAD no", "h a1 BAD no", "c a2 NOOP", "u a2 NOOP", "s a2 OK", "h a2 OK"}},
		"an allowed literal that does not wait": {reading, []string{
			"c a1 SEARCH SUBJECT {5+}", "u a1 SEARCH SUBJECT {5}", "c5 hello", "c  ALL", "s + go", "u5 hello", "u  ALL", "s a1 OK", "h a1 OK"}},
		"an unasked literal that upstream refuses": {reading, []string{
			"c a1 SEARCH SUBJECT {15+}", "u a1 SEARCH SUBJECT {15}", "c15 \r\na2 EXPUNGE\r\n", "c  ALL", "s a1 BAD no", "h a1 BAD no",
			"c a3 NOOP", "u a3 NOOP", "s a3 OK", "h a3 OK"}},
		"what looks like a word to go on in a message": {reading, []string{
			"c a1 FETCH 1 BODY[]", "c a2 SEARCH SUBJECT {4}", "u a1 FETCH 1 BODY[]", "u a2 SEARCH SUBJECT {4}",
			"s * 1 FETCH (BODY[] {14}", "s14 \r\n+ go\r\na2 NO\r", "s )", "h * 1 FETCH (BODY[] {14}", "h14 \r\n+ go\r\na2 NO\r", "h )",
			"s a1 OK", "h a1 OK", "s a2 NO", "h a2 NO", "c a3 NOOP", "u a3 NOOP"}},
		"IDLE": {reading, []string{
			"c a1 IDLE", "u a1 IDLE", "s + idling", "h + idling", "s * 4 EXISTS", "h * 4 EXISTS", "c DONE", "u DONE", "s a1 OK", "h a1 OK", "c a2 EXPUNGE", "u a2 NOOP"}},
		"IDLE that upstream refuses": {reading, []string{
			"c a1 IDLE", "u a1 IDLE", "s a1 BAD", "h a1 BAD", "c a2 EXPUNGE", "u a2 NOOP", "s a2 OK", "h a2" + noReading}},
		"IDLE that upstream ends": {reading, []string{
			"c a1 IDLE", "u a1 IDLE", "s + idling", "h + idling", "s a1 OK", "h a1 OK", "c a2 EXPUNGE", "u a2 NOOP"}},
		"something else in IDLE": {reading, []string{
			"c a1 IDLE", "u a1 IDLE", "s + idling", "h + idling", "c a2 EXPUNGE", "end"}},
		"no tag": {reading, []string{
			"c ", "u postern NOOP", "s postern OK", "h * BAD Invalid tag", "c * STORE", "u postern NOOP", "s postern OK", "h * BAD Invalid tag"}},
		"SELECT by a literal": {both, []string{
			"c a1 SELECT {5}", "u a1 NOOP", "s a1 OK", "h + Ready for 5 bytes", "c5 INBOX", "c ", "u a1 EXAMINE {5}", "s + go", "u5 INBOX", "u ",
			"s a1 OK [READ-ONLY]", "h a1 OK [READ-ONLY]"}},
		"SELECT of another folder by a literal": {scans, []string{
			"c a1 SELECT {5}", "u a1 NOOP", "s a1 OK", "h + Ready for 5 bytes", "c5 Other", "c ", "u a1 NOOP", "s a1 OK", "h a1" + noFolder}},
		"RENAME by unasked literals": {scans, []string{
			"c a1 RENAME {7+}", "c7 Scans/a", "c  {7+}", "c7 Scans/b", "c ", "u a1 RENAME {7}", "s + go", "u7 Scans/a", "u  {7}", "s + go", "u7 Scans/b", "u ",
			"s a1 OK", "h a1 OK"}},
		"RENAME to another folder by unasked literals": {scans, []string{
			"c a1 RENAME {7+}", "c7 Scans/a", "c  {7+}", "c7 Other/b", "c ", "u a1 NOOP", "s a1 OK", "h a1" + noFolder}},
		"APPEND with a name and a message by literals": {scans, []string{
			"c a1 APPEND {5+}", `c5 INBOX`, `c  (\Seen) {7}`, "u a1 APPEND {5}", "s + go", "u5 INBOX", `u  (\Seen) {7}`, "s + go", "h + go", "c7 message", "c ",
			"u7 message", "u ", "s a1 OK", "h a1 OK"}},
		"APPEND that upstream refuses by its name": {scans, []string{
			"c a1 APPEND {5+}", `c5 INBOX`, `c  {7+}`, "u a1 APPEND {5}", "s a1 NO", "h a1 NO", "c7 message", "c ", "c a2 NOOP", "u a2 NOOP", "s a2 OK", "h a2 OK"}},
		"APPEND from a message elsewhere": {scans, []string{
			`c a1 APPEND INBOX CATENATE (URL "/Other/;UID=1")`, "u a1 NOOP", "s a1 OK", "h a1 NO [NOPERM] This sign-in may not use that command"}},
		"APPEND from a message elsewhere, later": {scans, []string{
			"c a1 APPEND INBOX {2}", "u a1 APPEND INBOX {2}", "s + go", "h + go", "c2 xx", `c  CATENATE (URL "/Other/;UID=1")`, "u2 xx", "end"}},
		"a name of too many bytes": {scans, []string{
			"c a1 SELECT {2000}", "u a1 NOOP", "s a1 OK", "h a1 BAD [TOOBIG] Literal too long"}},
		"upstream ends while the client's literal waits": {reading, []string{
			"c a1 SEARCH SUBJECT {5}", "u a1 SEARCH SUBJECT {5}", "s * BYE", "h * BYE", "hang up", "end"}},
	} {
		t.Run(name, func(t *testing.T) { playGuarded(t, test.rules, test.steps) })
	}
}

// playGuarded plays a dialogue through a relay.
func playGuarded(t *testing.T, r *rules, steps []string) {
	guard := newGuard(r)
	client, relayedClient := tcpPair(t)
	upstream, relayedUpstream := tcpPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		relay.Run(relay.Side{Conn: relay.Wrap(relayedClient), Filter: guard}, relay.Side{Conn: relay.Wrap(relayedUpstream), Filter: guard.replies})
	}()
	defer func() {
		_, _ = client.Close(), upstream.Close()
		<-done
	}()
	_ = client.SetDeadline(time.Now().Add(patience))
	_ = upstream.SetDeadline(time.Now().Add(patience))
	for i, step := range steps {
		if err := guardedStep(step, client, upstream); err != nil {
			t.Fatalf("step %d, %q: %v", i+1, step, err)
		}
	}
}

func guardedStep(step string, client, upstream net.Conn) error {
	who, text, spaced := strings.Cut(step, " ")
	size := 0
	if _, err := fmt.Sscanf(who[1:], "%d", &size); err != nil || !spaced {
		text += "\r\n"
	}
	switch {
	case step == "hang up":
		return upstream.Close()
	case step == "end":
		_, _ = io.Copy(io.Discard, upstream)
		_ = upstream.Close()
		if rest, err := io.ReadAll(client); err != nil || len(rest) > 0 {
			return fmt.Errorf("the client read %q, %v; want the end", rest, err)
		}
		return nil
	case who[0] == 'c', who[0] == 's':
		_, err := io.WriteString(map[byte]net.Conn{'c': client, 's': upstream}[who[0]], text)
		return err
	}
	got := make([]byte, len(text))
	n, err := io.ReadFull(map[byte]net.Conn{'h': client, 'u': upstream}[who[0]], got)
	if string(got[:n]) != text {
		return fmt.Errorf("got %q, %v", got[:n], err)
	}
	return nil
}

// TestGuardAnswersEveryCommand gives random commands, with literals of both kinds, to a guard before an upstream that
// refuses some of them: each command gets one tagged answer, in their order, and upstream carries out none that is not
// allowed.
func TestGuardAnswersEveryCommand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom([]*rules{reading, scans, both}).Draw(t, "rules")
		g := newGuarded(r, rapid.Bool().Draw(t, "lax"), func() bool { return rapid.IntRange(0, 4).Draw(t, "refuses") == 0 })
		var want []string
		for i := range rapid.IntRange(1, 8).Draw(t, "commands") {
			tag := fmt.Sprintf("T%d", i)
			want = append(want, tag)
			command := randomCommand(t, tag)
			if err := giveCommand(g, command, rapid.IntRange(1, 50).Draw(t, "portion")); err != nil {
				t.Fatalf("%q: %v", command, err)
			}
		}
		var got []string
		for _, line := range tagged(g.heard.String()) {
			if !strings.HasPrefix(line, "+") {
				tag, _, _ := strings.Cut(line, " ")
				got = append(got, tag)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("answers to %v, want to %v; the client heard\n%s", got, want, g.heard.String())
		}
		if err := g.forbidden(); err != nil {
			t.Fatal(err)
		}
		if g.guard.held != nil || g.guard.literal != 0 || len(g.guard.replies.inFlight) != 0 {
			t.Fatalf("between commands the guard holds %+v", g.guard)
		}
	})
}

// randomCommand draws a command, in parts that end where a client would wait.
func randomCommand(t *rapid.T, tag string) []string {
	folder := rapid.SampledFrom([]string{"INBOX", "Scans/a", "Other", "a EXPUNGE\r\n"}).Draw(t, "folder")
	parts := []string{tag + " "}
	add := func(s string) { parts[len(parts)-1] += s }
	astring := func(s string) {
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 0:
			add(fmt.Sprintf("{%d+}\r\n%s", len(s), s))
		case 1:
			add(fmt.Sprintf("{%d}\r\n", len(s)))
			parts = append(parts, s)
		default:
			add(`"` + strings.ReplaceAll(s, "\r\n", "") + `"`)
		}
	}
	switch name := rapid.SampledFrom([]string{"NOOP", "EXPUNGE", "SELECT", "STATUS", "CREATE", "RENAME", "UID COPY", "APPEND", "SEARCH", "STORE"}).Draw(t, "name"); name {
	case "NOOP", "EXPUNGE":
		add(name)
	case "SEARCH":
		add(name + " SUBJECT ")
		astring(folder)
		add(" BODY ")
		astring("x\r\nb1 STORE 1 FLAGS ()\r\n")
	case "STORE":
		add(name + ` 1 +FLAGS (\Deleted)`)
	case "APPEND":
		add(name + " ")
		astring(folder)
		add(" {30+}\r\nb1 DELETE Other\r\nb2 NOOP\r\n     ")
	case "RENAME":
		add(name + " ")
		astring(folder)
		add(" ")
		astring("Scans/new")
	case "UID COPY":
		add(name + " 1:* ")
		astring(folder)
	default:
		add(name + " ")
		astring(folder)
	}
	add("\r\n")
	return parts
}

// giveCommand gives the parts of a command, each after the first when it was asked for.
func giveCommand(g *guarded, parts []string, n int) error {
	for i, part := range parts {
		if i > 0 {
			lines := tagged(g.heard.String())
			if !strings.HasPrefix(lines[len(lines)-1], "+") {
				return nil
			}
		}
		if err := g.say(part, n); err != nil {
			return err
		}
	}
	return nil
}

// FuzzGuard gives anything to a guard, before an upstream that reads lines and literals in one way or another: no command
// that is not allowed is carried out.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"a1 SELECT INBOX\r\na2 STORE 1 +FLAGS (x)\r\n", "a1 NOOP {22+}\r\na2 STORE 1 +FLAGS ()\r\n\r\n", "a1 IDLE\r\nDONE\r\na2 EXPUNGE\r\n",
		"a1 SELECT {5}\r\nINBOX\r\n", "a1 SEARCH \"{5}\r\nx\r\n", "a1 NOOP\na2 EXPUNGE\n", "a1 APPEND INBOX {3+}\r\nabc CATENATE (URL x)\r\n",
		"a1 EXAMINE iNBOX\r\n", "a1 RENAME {7+}\r\nScans/a {5}\r\nOther\r\n", "a1 UID COPY 1 \"Scans/a\\\"\" Other\r\n", "a1 SEARCH {0}\r\n{0+}\r\nEXPUNGE\r\n",
	} {
		f.Add([]byte(seed), byte(0), 5)
		f.Add([]byte(seed), byte(7), 1)
	}
	f.Fuzz(func(t *testing.T, client []byte, how byte, n int) {
		r := []*rules{reading, scans, both}[int(how>>4)%3]
		asked := 0
		g := newGuarded(r, how&1 != 0, func() bool { asked++; return how>>1&byte(1<<(asked%3)) != 0 })
		err := g.say(string(client), max(n, 1))
		if forbidden := g.forbidden(); forbidden != nil {
			t.Fatalf("%v (%v)", forbidden, err)
		}
		if len(g.guard.held) > 3*maxCommandLine {
			t.Fatalf("the guard holds %d bytes", len(g.guard.held))
		}
	})
}

func TestFolders(t *testing.T) {
	f := newFolders([]string{"inbox", "INBOX/Sub", "Scans/*", "Entwürfe", "R&D", "In/Out"})
	for name, want := range map[string]bool{
		"INBOX": true, "Inbox": true, "inbox/": true, "INBOX/Sub": true, "inbox/Sub": true, "INBOX/sub": false, "INBOX/Other": false, "INBOX2": false,
		"Scans": false, "Scans/": false, "Scans/a": true, "Scans/a/b": true, "scans/a": false, "Scans//a": false, "Scans/../x": false, "Scans/.": false, "ScansX/a": false,
		"Entwürfe": true, "Entw&APw-rfe": true, "Entw&APw-rfe/x": false, "R&D": true, "R&-D": true, "R&-D/x": false, "In/Out": true, "In": false,
		"Scans/a\x00": false, "Scans/a\r\nb": false, "Scans/\xff": false, "": false, "/": false, "*": false, "%": false, "Scans/*": true,
	} {
		if got := f.has(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

// TestModifiedUTF7 has the examples of RFC 3501 section 5.1.3 and names that Exchange has.
func TestModifiedUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "Hi Mom -☺-!": "Hi Mom -&Jjo--!", "&": "&-", "a&b": "a&-b", "Gelöschte Elemente": "Gel&APY-schte Elemente",
		"😀": "&2D3eAA-", "INBOX": "INBOX",
	} {
		if got := modifiedUTF7(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
