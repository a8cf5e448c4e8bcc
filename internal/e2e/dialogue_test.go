package e2e

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// dialogue is what a client says to a server in one session, or in two of the same mailbox. A step is sent in one write
// and ends when all that it waits for has come. Each of its lines begins in one of these ways:
//
//	SELECT INBOX      a command, before which a tag is put; the step waits for the tagged response, which has to be OK
//	! SELECT NOWHERE  a command that has to be answered NO or BAD
//	2 APPEND …        a command in the second session
//	> text            a line without a tag: what a continuation request asked for, or what comes behind a literal
//	? EXISTS          nothing is sent; the step waits for an untagged response that has this word
//
// Behind a line that ends in a synchronising literal, and behind IDLE, the step waits for the continuation request
// instead. Lines are separated by LF and sent with CRLF; a CRLF within a line is part of it. $V and $M stand for the
// UIDVALIDITY and the HIGHESTMODSEQ that the server named last.
type dialogue struct {
	name  string
	needs string // the capability that the server has to have; empty for none beyond IMAP4rev1
	steps []string
}

// answer is what a server said to a step.
type answer struct {
	Step      string
	Responses []string
}

// player plays a dialogue at one side.
type player struct {
	side     side
	sessions [2]*rawIMAP
	refused  map[string]bool // tags of commands that have to be refused
	validity string
	modseq   string
}

// play gives what the server said to each step, and to LOGOUT, behind which nothing may come.
func (d dialogue) play(t *testing.T, s side) []answer {
	t.Helper()
	p := &player{side: s, refused: map[string]bool{}}
	var answers []answer
	for _, step := range append(slices.Clone(d.steps), "LOGOUT") {
		answers = append(answers, answer{step, p.step(t, step)})
	}
	if more, err := io.ReadAll(p.sessions[0].in); err != nil || len(more) > 0 {
		t.Errorf("behind LOGOUT: got %q and error %v, want a clean end", more, err)
	}
	if p.sessions[1] != nil {
		p.sessions[1].command(t, "LOGOUT")
	}
	return answers
}

// session gives the first or the second session, signed in when it is first asked for.
func (p *player) session(t *testing.T, i int) *rawIMAP {
	t.Helper()
	if p.sessions[i] == nil {
		p.sessions[i], _ = p.side(t)
	}
	return p.sessions[i]
}

// step sends what a step says and gives the responses.
func (p *player) step(t *testing.T, step string) []string {
	t.Helper()
	if word, waits := strings.CutPrefix(step, "? "); waits {
		return p.wait(t, word)
	}
	session, text, end := p.encode(t, step)
	// A server may answer before it has read all of a batch, and stop reading while its answers are not read.
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(session.conn, text)
		sent <- err
	}()
	var responses []string
	for {
		response := session.response(t)
		responses = append(responses, response)
		p.note(response)
		tag, rest, _ := strings.Cut(response, " ")
		switch {
		case tag == "*":
			continue
		case tag != "+" && strings.HasPrefix(rest, "OK ") == p.refused[tag]:
			t.Fatalf("step %q: got %q, want it refused: %v", short(step), short(response), p.refused[tag])
		case tag == end:
			if err := <-sent; err != nil {
				t.Fatalf("step %q: sending: %v", short(step), err)
			}
			return responses
		}
	}
}

// encode gives a step's session, its bytes, and the first word of the response that ends it: a tag, or a plus sign.
func (p *player) encode(t *testing.T, step string) (session *rawIMAP, text, end string) {
	t.Helper()
	session = p.session(t, 0)
	var b strings.Builder
	for _, line := range lines(step) {
		line = strings.NewReplacer("$V", p.validity, "$M", p.modseq).Replace(line)
		line, continues := strings.CutPrefix(line, "> ")
		line, refused := strings.CutPrefix(line, "! ")
		line, second := strings.CutPrefix(line, "2 ")
		if second {
			session = p.session(t, 1)
		}
		if continues {
			end = fmt.Sprintf("t%d", session.tags)
		} else {
			end = session.nextTag()
			p.refused[end] = refused
			b.WriteString(end + " ")
		}
		b.WriteString(line + "\r\n")
		if !refused && waitsForMore(line) {
			end = "+"
		}
	}
	return session, b.String(), end
}

// lines splits a step at each LF that no CR stands before.
func lines(step string) []string {
	var split []string
	start := 0
	for i := range len(step) {
		if step[i] == '\n' && (i == 0 || step[i-1] != '\r') {
			split = append(split, step[start:i])
			start = i + 1
		}
	}
	return append(split, step[start:])
}

// waitsForMore reports whether a server answers a line with a continuation request.
func waitsForMore(line string) bool {
	return line == "IDLE" || strings.HasSuffix(line, "}") && !strings.HasSuffix(line, "+}")
}

// wait reads until an untagged response has a word.
func (p *player) wait(t *testing.T, word string) []string {
	t.Helper()
	var responses []string
	for {
		response := p.session(t, 0).response(t)
		p.note(response)
		responses = append(responses, response)
		if strings.HasPrefix(response, "* ") && strings.Contains(response, word) {
			return responses
		}
	}
}

var (
	namesValidity = regexp.MustCompile(`UIDVALIDITY ([0-9]+)`)
	namesModseq   = regexp.MustCompile(`HIGHESTMODSEQ ([0-9]+)`)
)

// note keeps what later steps may need.
func (p *player) note(response string) {
	if found := namesValidity.FindStringSubmatch(response); found != nil {
		p.validity = found[1]
	}
	if found := namesModseq.FindStringSubmatch(response); found != nil {
		p.modseq = found[1]
	}
}

// short gives the beginning of what may be long.
func short(s string) string { return s[:min(len(s), 200)] }

// compare plays a dialogue straight at the server and through Postern, and holds the answers to each other.
func (d dialogue) compare(t *testing.T, straight, postern side, between func()) {
	t.Helper()
	want := normalised(d.play(t, straight))
	for _, answer := range want {
		for i, response := range answer.Responses {
			answer.Responses[i] = offered(response)
		}
	}
	between()
	got := normalised(d.play(t, postern))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("straight (-) and through Postern (+):\n%s", diff)
	}
}

// offered gives a list of capabilities without those that Postern does not offer, and other responses as they are.
func offered(response string) string {
	list, ok := strings.CutPrefix(response, "* CAPABILITY ")
	if !ok {
		return response
	}
	return "* CAPABILITY " + strings.Join(slices.DeleteFunc(strings.Fields(list), notOffered), " ") + "\r\n"
}

func notOffered(capability string) bool {
	return strings.HasPrefix(capability, "COMPRESS=") || strings.HasPrefix(capability, "AUTH=") ||
		slices.Contains([]string{"SASL-IR", "CLIENTACCESSRULES", "CLIENTNETWORKPRESENCELOCATION", "BACKENDAUTHENTICATE"}, capability)
}

var (
	// took is how long Dovecot says that a command took.
	took = regexp.MustCompile(` \([0-9.]+ \+ [0-9.]+( \+ [0-9.]+)? secs\)`)
	// dated is a date-time of RFC 9051 section 9.
	dated = regexp.MustCompile(`"[ 0-9][0-9]-[A-Z][a-z]{2}-[0-9]{4} [0-9:]{8} [+-][0-9]{4}"`)
	// number is one that may be a UIDVALIDITY made of the time, as most servers do.
	number = regexp.MustCompile(`\b[0-9]{10}\b`)
)

// normalised takes out what differs from run to run: times near now, whether written as dates or as numbers. Numbers
// are named by the order in which they first came, so that which of them are equal is compared all the same.
func normalised(answers []answer) []answer {
	names := map[string]string{}
	near := func(at time.Time) bool { return time.Since(at).Abs() < time.Hour }
	for i := range answers {
		for j, response := range answers[i].Responses {
			response = took.ReplaceAllString(response, "")
			response = dated.ReplaceAllStringFunc(response, func(s string) string {
				if at, err := time.Parse(`"_2-Jan-2006 15:04:05 -0700"`, s); err != nil || !near(at) {
					return s
				}
				return `"now"`
			})
			answers[i].Responses[j] = number.ReplaceAllStringFunc(response, func(s string) string {
				if n, err := strconv.ParseInt(s, 10, 64); err != nil || !near(time.Unix(n, 0)) {
					return s
				}
				if names[s] == "" {
					names[s] = fmt.Sprintf("time%d", len(names)+1)
				}
				return names[s]
			})
		}
	}
	return answers
}

// TestNormalisationKeepsTheRest holds the comparison to what it promises: it must be able to fail.
func TestNormalisationKeepsTheRest(t *testing.T) {
	now := time.Now()
	made := func(validity int64, date time.Time, rest string) []answer {
		return normalised([]answer{{"x", []string{fmt.Sprintf("t1 OK [UIDVALIDITY %d] %s %s (0.001 + 0.000 secs).\r\n",
			validity, date.Format(`"_2-Jan-2006 15:04:05 -0700"`), rest)}}})
	}
	want := made(now.Unix(), now, "same")
	if diff := cmp.Diff(want, made(now.Unix()+5, now.Add(time.Second), "same")); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
	for name, other := range map[string][]answer{
		"a text":         made(now.Unix(), now, "Same"),
		"an old date":    made(now.Unix(), now.Add(-50*time.Hour), "same"),
		"another number": made(1, now, "same"),
	} {
		if cmp.Equal(want, other) {
			t.Errorf("%s makes no difference: %v", name, other)
		}
	}
}
