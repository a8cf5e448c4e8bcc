package imapproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/internal/audit"
	"postern/internal/relay"
)

// model is a command stream with what is to be counted in it.
type model struct {
	stream bytes.Buffer
	counts audit.Commands
}

// text draws bytes for a literal, among them what looks like commands.
func text(t *rapid.T) string {
	return rapid.OneOf(
		rapid.StringN(0, 40, 300),
		rapid.SampledFrom([]string{"", "\r\n", "a1 SELECT INBOX\r\n", "x EXPUNGE\r\ny STORE 1 +FLAGS (\\Deleted)\r\n", "{5+}\r\n", "a COMPRESS DEFLATE\r\n", "DONE\r\n"}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 3000), func(b []byte) string { return string(b) }),
	).Draw(t, "text")
}

// literalOf writes a literal that nobody has to ask for, or one that upstream is known to take.
func literalOf(t *rapid.T, s string) string {
	form := rapid.SampledFrom([]string{"{%d+}\r\n%s", "~{%d+}\r\n%s", "{%d}\r\n%s"}).Draw(t, "literal")
	return fmt.Sprintf(form, len(s), s)
}

// command adds a random command to the stream.
func (m *model) command(t *rapid.T) {
	tag := rapid.StringMatching(`[A-Za-z0-9.]{1,12}`).Draw(t, "tag")
	name := func(s string) string {
		if rapid.Bool().Draw(t, "lower") {
			return strings.ToLower(s)
		}
		return s
	}
	uid := rapid.SampledFrom([]string{"", "UID "}).Draw(t, "uid")
	set := rapid.StringMatching(`[1-9][0-9]{0,3}(,[1-9][0-9]{0,6}){0,60}(:\*)?`).Draw(t, "set")
	folder := rapid.OneOf(rapid.SampledFrom([]string{"INBOX", `"Sent Items"`, `"a {5}"`}), rapid.Custom(func(t *rapid.T) string {
		return literalOf(t, text(t))
	})).Draw(t, "folder")
	c := &m.counts
	kinds := []func() string{
		func() string { return "NOOP" },
		func() string { return "IDLE\r\nDONE" },
		func() string { return "SEARCH SUBJECT " + literalOf(t, text(t)) + " BODY " + literalOf(t, text(t)) },
		func() string { return "STATUS " + folder + " (MESSAGES)" },
		func() string { c.Selects++; return name("SELECT") + " " + folder },
		func() string { c.Selects++; return name("EXAMINE") + " " + folder },
		func() string { c.Fetches++; return name(uid+"FETCH") + " " + set + " (FLAGS BODY.PEEK[])" },
		func() string { c.Stores++; return name(uid+"STORE") + " " + set + ` +FLAGS (\Seen)` },
		func() string {
			c.Stores++
			c.Deletes++
			return name(uid+"STORE") + " " + set + ` +FLAGS.SILENT (\Deleted)`
		},
		func() string { c.Stores++; return name(uid+"STORE") + " 1 " + name("-FLAGS") + ` (\Deleted)` },
		func() string { c.Copies++; return name(uid+"COPY") + " " + set + " " + folder },
		func() string { c.Moves++; return name(uid+"MOVE") + " " + set + " " + folder },
		func() string { c.Expunges++; return name("EXPUNGE") },
		func() string { c.Expunges++; return name("UID EXPUNGE") + " " + set },
		func() string {
			c.Appends++
			message := ""
			for range rapid.IntRange(1, 3).Draw(t, "messages") {
				message += ` (\Seen) ` + literalOf(t, text(t))
			}
			return name("APPEND") + " " + folder + message
		},
		func() string {
			c.Appends++
			return "APPEND " + folder + " CATENATE (URL \"/INBOX/;UID=1\" TEXT " + literalOf(t, text(t)) + " TEXT " + literalOf(t, text(t)) + ")"
		},
	}
	m.stream.WriteString(tag + " " + rapid.SampledFrom(kinds).Draw(t, "kind")() + "\r\n")
}

// portions draws cuts of a stream.
func portions(t *rapid.T, stream []byte) [][]byte {
	var parts [][]byte
	most := rapid.SampledFrom([]int{1, 3, 60, 5000}).Draw(t, "most")
	for len(stream) > 0 {
		n := min(len(stream), rapid.IntRange(1, most).Draw(t, "portion"))
		parts, stream = append(parts, stream[:n]), stream[n:]
	}
	return parts
}

// TestTapChangesNothing sends random streams of commands, and of anything upstream, through the relay with a tap and
// without one: they arrive as they are, and the tap counts what was in them, wherever they were cut.
func TestTapChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m model
		for range rapid.IntRange(1, 8).Draw(t, "commands") {
			m.command(t)
		}
		up, down := m.stream.Bytes(), []byte(strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-m*+ ]{0,70}\r?`), 0, 20).Draw(t, "down"), "\n"))
		tap := newTap()
		for _, filters := range [][2]relay.Filter{{nil, nil}, {tap, tap.answers}} {
			gotUp, gotDown := through(filters[0], filters[1], portions(t, up), portions(t, down))
			if !bytes.Equal(gotUp, up) || !bytes.Equal(gotDown, down) {
				t.Fatalf("got %q up and %q down\nwant %q and %q", gotUp, gotDown, up, down)
			}
		}
		if diff := cmp.Diff(m.counts, tap.counts); diff != "" {
			t.Fatalf("counts of %q (-want +got):\n%s", up, diff)
		}
		if tap.kept != nil || tap.literal != 0 || tap.within || tap.tag != nil {
			t.Fatalf("between commands the tap holds %+v", tap)
		}
	})
}

// through sends portions both ways through a relay, and gives what arrived.
func through(fromClient, fromUpstream relay.Filter, up, down [][]byte) (gotUp, gotDown []byte) {
	client, relayedClient := net.Pipe()
	upstream, relayedUpstream := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		relay.Run(relay.Side{Conn: relayedClient, Filter: fromClient}, relay.Side{Conn: relayedUpstream, Filter: fromUpstream})
	}()
	write := func(conn net.Conn, parts [][]byte) {
		for _, part := range parts {
			_, _ = conn.Write(bytes.Clone(part))
		}
	}
	read := func(conn net.Conn, n int) chan []byte {
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, n)
			n, _ := io.ReadFull(conn, b)
			got <- b[:n]
		}()
		return got
	}
	ups, downs := read(upstream, size(up)), read(client, size(down))
	go write(upstream, down)
	write(client, up)
	gotUp, gotDown = <-ups, <-downs
	_ = client.Close()
	_ = upstream.Close()
	<-done
	return gotUp, gotDown
}

func size(parts [][]byte) (n int) {
	for _, part := range parts {
		n += len(part)
	}
	return n
}

// see gives a tap the client's bytes, cut in pieces of n.
func see(tap *tap, stream string, n int) string {
	var sent strings.Builder
	for len(stream) > 0 {
		part := []byte(stream[:min(n, len(stream))])
		stream = stream[len(part):]
		_ = tap.Pass(part, func(p []byte) error { sent.Write(p); return nil })
	}
	return sent.String()
}

func answer(tap *tap, stream string, n int) {
	for len(stream) > 0 {
		part := []byte(stream[:min(n, len(stream))])
		stream = stream[len(part):]
		_ = tap.answers.Pass(part, func([]byte) error { return nil })
	}
}

// TestTapAfterARefusedLiteral: the bytes behind a literal that upstream has refused are the next command.
func TestTapAfterARefusedLiteral(t *testing.T) {
	const announce = "a1 APPEND Nowhere {30}\r\n"
	for name, test := range map[string]struct {
		said string
		want audit.Commands
	}{
		"taken":              {"+ Ready\r\n", audit.Commands{Appends: 1}},
		"refused":            {"a1 NO [TRYCREATE] no\r\n", audit.Commands{Appends: 1, Selects: 1, Expunges: 1}},
		"refused, BAD":       {"a1 BAD no\r\n", audit.Commands{Appends: 1, Selects: 1, Expunges: 1}},
		"after other lines":  {"* 5 EXISTS\r\n\r\na1\r\nb1 NO\r\na1 NO no\r\n", audit.Commands{Appends: 1, Selects: 1, Expunges: 1}},
		"another's refusal":  {"b1 NO no\r\n+ go\r\n", audit.Commands{Appends: 1}},
		"in a line's middle": {"* OK a1 NO\r\n+ go\r\n", audit.Commands{Appends: 1}},
	} {
		for n := 1; n < 30; n += 4 {
			tap := newTap()
			see(tap, announce, n)
			answer(tap, test.said, n)
			see(tap, "a2 SELECT x\r\na3 EXPUNGE   \r\n\r\n", n) // 30 bytes and a line end
			if diff := cmp.Diff(test.want, tap.counts); diff != "" {
				t.Errorf("%s, cut in pieces of %d (-want +got):\n%s", name, n, diff)
			}
			if tap.pending != nil || tap.answers.watch.Load() != nil {
				t.Errorf("%s: the tap still watches upstream", name)
			}
		}
	}
}

// TestTapKnowsWhereALineBegins: upstream may be in the middle of a line when the client announces its literal.
func TestTapKnowsWhereALineBegins(t *testing.T) {
	tap := newTap()
	answer(tap, "* OK ", 10)
	see(tap, "a1 APPEND x {12}\r\n", 100)
	answer(tap, "a1 NO\r\n+ go\r\n", 100) // the end of that line, and not a refusal
	see(tap, "a2 EXPUNGE\r\n\r\n", 100)
	if want := (audit.Commands{Appends: 1}); tap.counts != want {
		t.Errorf("got %+v, want %+v", tap.counts, want)
	}
}

// TestDisarmed: what would end the session as the gateway knows it does not reach upstream, however it is cut.
func TestDisarmed(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{"a1 COMPRESS DEFLATE\r\n", "a1 COMPRESX DEFLATE\r\n"},
		{"a1 compress deflate\r\n", "a1 compresX deflate\r\n"},
		{"a1 UNAUTHENTICATE\r\n", "a1 UNAUTHENTICATX\r\n"},
		{"a1 NOOP\r\na2 COMPRESS DEFLATE\r\na3 NOOP\r\n", "a1 NOOP\r\na2 COMPRESX DEFLATE\r\na3 NOOP\r\n"},
		{"a1 SEARCH {12+}\r\na COMPRESS x\r\n", "a1 SEARCH {12+}\r\na COMPRESS x\r\n"},
		{"a1 SEARCH {2+}\r\na COMPRESS\r\n", "a1 SEARCH {2+}\r\na COMPRESS\r\n"},
		{"COMPRESS a1\r\na1  COMPRESS\r\n", "COMPRESS a1\r\na1  COMPRESS\r\n"},
	} {
		for n := 1; n <= len(test.sent); n++ {
			if got := see(newTap(), test.sent, n); got != test.want {
				t.Errorf("cut in pieces of %d: got %q, want %q", n, got, test.want)
			}
		}
	}
}

func TestTapKeepsLittleOfALongLine(t *testing.T) {
	tap := newTap()
	see(tap, "a1 UID FETCH "+strings.Repeat("1,", 1<<20), 4000)
	if got := cap(tap.kept); got > 4*edge {
		t.Errorf("the tap keeps %d bytes of a line", got)
	}
	see(tap, "1 (BODY[])\r\na2 NOOP\r\n", 4000)
	if tap.kept != nil || tap.counts.Fetches != 1 {
		t.Errorf("got %+v", tap)
	}
}

func FuzzTap(f *testing.F) {
	for _, seed := range []string{
		"a1 SELECT INBOX\r\n", "a1 APPEND x {3}\r\nabc\r\n", "a1 APPEND x {3+}\r\nabc {2+}\r\nde\r\n", "a COMPRESS\r\n", "{}\r\n", "x {99999999999999999999+}\r\n",
		"a IDLE\r\nDONE\r\n", "\n\n\r\r\n", "a1 UID\r\na2 UID FETCH\r\n", "a COMPRESSS\n",
	} {
		f.Add([]byte(seed), []byte("+ go\r\na1 NO\r\n"), 3)
	}
	f.Fuzz(func(t *testing.T, up, down []byte, n int) {
		if n < 1 {
			n = 1
		}
		pieces, whole := newTap(), newTap()
		got := see(pieces, string(up), n)
		answer(pieces, string(down), n)
		want := see(whole, string(up), len(up)+1)
		if upper := strings.ToUpper(string(up)); got != want && !strings.Contains(upper, "COMPRESS") && !strings.Contains(upper, "UNAUTHENTICATE") {
			t.Fatalf("cut: %q; whole: %q", got, want)
		}
		if diff := cmp.Diff(whole.counts, pieces.counts); diff != "" {
			t.Fatalf("counts (-whole +cut):\n%s", diff)
		}
		if changed := strings.Count(got, "X") - strings.Count(string(up), "X"); len(got) != len(up) || changed == 0 && got != string(up) {
			t.Fatalf("got %q of %q", got, up)
		}
		if cap(pieces.kept) > 4*edge || len(pieces.tag) > 2*edge {
			t.Fatalf("the tap keeps %d and %d bytes", cap(pieces.kept), len(pieces.tag))
		}
	})
}
