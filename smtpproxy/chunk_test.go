package smtpproxy

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/audit"
)

// TestI05ChunksArriveAsOneMessage: a message in chunks arrives as one that came by DATA does, whatever its bytes and however it is cut.
func TestI05ChunksArriveAsOneMessage(t *testing.T) {
	w := newWorld(t)
	c := w.signIn()
	line := rapid.StringOfN(rapid.RuneFrom([]rune{'.', 'a', ' ', 0, 'ü'}), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		content := strings.Join(rapid.SliceOfN(line, 0, 8).Draw(t, "lines"), "\r\n") // with or without a line end at its end
		c.play("MAIL FROM:<scans@contoso.example> BODY=8BITMIME", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
		rest := content
		for rest != "" && rapid.Bool().Draw(t, "more") {
			n := rapid.IntRange(0, len(rest)).Draw(t, "chunk")
			c.send("BDAT " + strconv.Itoa(n) + "\r\n" + rest[:n])
			c.expect("250 2.0.0 " + strconv.Itoa(n) + " octets received")
			rest = rest[n:]
		}
		c.send("bdat " + strconv.Itoa(len(rest)) + " last\r\n" + rest + "NOOP\r\n")
		c.expect(accepted)
		c.expect(ok)
		want := content
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		want = strings.ReplaceAll("\r\n"+want, "\r\n.", "\r\n..")[2:] + ".\r\n"
		v := w.upstream.visit(w.upstream.connections() - 1)
		if got := v.messages[len(v.messages)-1]; got != traceLine+want {
			t.Fatalf("got  %q\nwant %q", got, traceLine+want)
		}
	})
}

// TestI06ChunksSmuggleNothing: what is no line end in a chunk is refused, and upstream sees no end.
func TestI06ChunksSmuggleNothing(t *testing.T) {
	for _, s := range smuggled {
		w := newWorld(t)
		c := w.signIn()
		content := "Subject: x\r\n\r\nhello" + s.ending + "MAIL FROM:<evil@contoso.example>\r\n"
		c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
		c.send("BDAT " + strconv.Itoa(len(content)) + " LAST\r\n" + content)
		c.expect(bareRefused)
		c.ask("NOOP", ok)
		if v := w.upstream.awaitOver(0); len(v.messages) > 0 || laxEnd.Match(v.data) {
			t.Errorf("%s: upstream got %q", s.name, v.data)
		}
	}
}

// TestI06ChunkEndsSmuggleNothing: the same where a chunk ends within the false end, at every byte of it.
func TestI06ChunkEndsSmuggleNothing(t *testing.T) {
	const begin, behind = "Subject: x\r\n\r\nhello", "MAIL FROM:<evil@contoso.example>\r\n"
	w := newWorld(t)
	c := w.signIn()
	n := 0
	for _, s := range smuggled {
		for cut := range len(s.ending) + 1 {
			first, second := begin+s.ending[:cut], s.ending[cut:]+behind
			c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
			c.send("BDAT " + strconv.Itoa(len(first)) + "\r\n" + first)
			if reply := c.reply(); reply != bareRefused { // seen in the first chunk already
				c.send("BDAT " + strconv.Itoa(len(second)) + " LAST\r\n" + second)
				c.expect(bareRefused)
			}
			c.ask("NOOP", ok)
			v := w.upstream.awaitOver(n)
			n++
			if rest := strings.ReplaceAll(string(v.data), "\r\n", ""); len(v.messages) > 0 || laxEnd.Match(v.data) || strings.ContainsAny(rest, "\r\n") {
				t.Errorf("%s cut at %d: upstream got %q", s.name, cut, v.data)
			}
		}
	}
}

func TestChunksOutOfTurn(t *testing.T) {
	const noRecipients = "554 5.5.1 No valid recipients"
	w := newWorld(t)
	c := w.signIn()
	c.play("BDAT 6\r\nNOOP", badSequence, "MAIL FROM:<scans@contoso.example>", senderOK, "BDAT 4 LAST\r\nQU", noRecipients,
		"RCPT TO:<bob@contoso.example>", recipientOK, "BDAT 4\r\nX:", "250 2.0.0 4 octets received",
		"MAIL FROM:<scans@contoso.example>", badSequence, "RCPT TO:<bob@contoso.example>", badSequence, "DATA", badSequence, "RSET", ok)
	if v := w.upstream.awaitOver(0); len(v.messages) > 0 {
		t.Errorf("upstream took %q", v.messages)
	}
	c.deliver()
	got := w.audit.messages()
	if len(got) != 2 || got[0].Reason != "given-up" || got[0].Size != 4 || got[1].Outcome != audit.Allowed {
		t.Errorf("audit: %+v", got)
	}
}

func TestMalformedChunk(t *testing.T) {
	for _, argument := range []string{"", "x", "-1", "5 FIRST", "5  LAST", "99999999999999999999"} {
		c := newWorld(t).signIn()
		c.ask("BDAT "+argument, syntaxError)
		c.expectEnd()
	}
}

func TestForgedFromInChunks(t *testing.T) {
	const forbidden = "550 5.7.60 Not allowed to send as this sender: the sender address must be " + mailbox
	const forged = "From: ceo@elsewhere.example\r\n\r\n"
	w := newWorld(t)
	c := w.signIn()
	c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
	c.send("BDAT " + strconv.Itoa(len(forged)) + "\r\n" + forged + "BDAT 3 LAST\r\nx\r\n")
	c.expect(forbidden)
	c.expect(badSequence)
	if v := w.upstream.awaitOver(0); len(v.data) > 0 {
		t.Errorf("upstream got %q", v.data)
	}
	c.deliver()
}

// TestI12ClientVanishesInAChunk: upstream sees no end (threat model I-12).
func TestI12ClientVanishesInAChunk(t *testing.T) {
	for _, sent := range []string{"BDAT 100 LAST\r\nSubject: x\r\n\r\nhalf", "BDAT 14\r\nSubject: x\r\n\r\n"} {
		w := newWorld(t)
		c := w.signIn()
		c.play("MAIL FROM:<scans@contoso.example>", senderOK, "RCPT TO:<bob@contoso.example>", recipientOK)
		c.send(sent)
		if strings.HasPrefix(sent, "BDAT 14") {
			c.expect("250 2.0.0 14 octets received")
		}
		c.gone()
		if v := w.upstream.awaitOver(0); len(v.messages) > 0 {
			t.Errorf("upstream took %q", v.messages)
		}
		if got := w.audit.messages(); len(got) != 1 || got[0].Outcome != audit.Refused {
			t.Errorf("audit: %+v", got)
		}
	}
}

func TestStrangersSendNoChunks(t *testing.T) {
	w := newWorld(t)
	c := w.connect(implicit)
	c.hello()
	c.ask("BDAT 1000000000000", "530 5.7.0 Authentication required")
	c.expectEnd()
}
