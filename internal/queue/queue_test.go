package queue

import (
	"bufio"
	"database/sql"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/postgrestest"
	"postern/internal/store"
)

func TestDelivered(t *testing.T) {
	w := newWorld(t)
	id := w.accept("scans@contoso.example", "bob@b.example", "eve@b.example")
	if n := w.try(); n != 1 {
		t.Fatalf("%d tries, want 1", n)
	}
	if len(w.sent) != 1 || w.sent[0].content != scan || w.sent[0].message.ID != id || len(w.sent[0].recipients) != 2 {
		t.Errorf("sent %+v", w.sent)
	}
	if w.entry(id) != nil || w.try() != 0 || w.kinds() != "message-delivered" {
		t.Errorf("it is in the queue still, or the audit has %q", w.kinds())
	}
}

// TestI07Schedule: tries start within 5 minutes, never come faster, are at most 70 minutes apart, and end after 4 to 5
// days with exactly one report; one warning near four hours (threat model I-07).
func TestI07Schedule(t *testing.T) {
	w := newWorld(t)
	w.send = func(m *Message, _ []int, _ string) Result {
		if m.Report {
			return word250
		}
		return Result{Reached: true, Err: io.ErrUnexpectedEOF}
	}
	id := w.accept("alice@contoso.example", "bob@b.example")
	for w.entry(id) != nil && w.now().Sub(noon) < 6*24*time.Hour {
		w.try()
		w.pass(time.Minute)
	}
	var gaps []time.Duration
	var last time.Time
	for _, s := range w.sent {
		if s.message.ID != id {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, s.at.Sub(last))
		}
		last = s.at
	}
	if gaps[0] > 5*time.Minute {
		t.Errorf("the first retry came after %v", gaps[0])
	}
	for i := 1; i < len(gaps); i++ {
		if gaps[i] < gaps[i-1]-time.Minute || gaps[i] > 71*time.Minute { // the test looks once a minute
			t.Errorf("gap %d is %v after %v", i, gaps[i], gaps[i-1])
		}
	}
	if longest := gaps[len(gaps)-1]; longest < time.Hour { // at a steady pace of minutes a message would be sent a thousand times
		t.Errorf("the last gap is %v, after %d tries", longest, len(gaps)+1)
	}
	if age := last.Sub(noon); age < 4*24*time.Hour || age > 5*24*time.Hour {
		t.Errorf("given up after %v", age)
	}
	w.try()
	reports := w.reports()
	if len(reports) != 2 {
		t.Fatalf("%d reports, want one warning and one failure", len(reports))
	}
	if after := reports[0].at.Sub(noon); !strings.Contains(reports[0].content, "Action: delayed") || after < 4*time.Hour-36*time.Minute || after > 4*time.Hour+36*time.Minute {
		t.Errorf("the warning came after %v:\n%s", after, reports[0].content)
	}
	if !strings.Contains(reports[1].content, "Action: failed") {
		t.Errorf("the last report:\n%s", reports[1].content)
	}
	if got := w.kinds(); got != "message-delayed message-delivered message-bounced message-delivered" {
		t.Errorf("audit: %s", got)
	}
}

// TestPartly: each recipient has a fate of its own.
func TestPartly(t *testing.T) {
	w := newWorld(t)
	w.send = func(m *Message, _ []int, _ string) Result {
		r := word250
		if !m.Report && len(w.sent) == 1 {
			r.Recipients = map[int]Reply{1: {Code: 550, Enhanced: "5.1.10", Text: "550 5.1.10 RecipientNotFound"}, 2: {Code: 451, Text: "451 4.3.2 later"}}
		}
		return r
	}
	id := w.accept("alice@contoso.example", "a@b.example", "hidden@b.example", "c@b.example")
	w.tryOne()
	e := w.entry(id)
	want := []EntryRecipient{{"a@b.example", store.RecipientDelivered, "250 2.0.0 OK"},
		{"hidden@b.example", store.RecipientRefused, "550 5.1.10 RecipientNotFound"}, {"c@b.example", store.RecipientWaiting, "451 4.3.2 later"}}
	if diff := cmp.Diff(want, e.Recipients); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
	w.try() // the report
	w.pass(5 * time.Minute)
	w.try()
	if last := w.sent[len(w.sent)-1]; last.message.ID != id || len(last.recipients) != 1 || last.recipients[0] != 2 {
		t.Errorf("the second try was for %v", last.recipients)
	}
	if w.entry(id) != nil {
		t.Error("it is in the queue still")
	}
	reports := w.reports()
	if len(reports) != 1 || strings.Contains(reports[0].content, "c@b.example") || strings.Contains(reports[0].content, "a@b.example") {
		t.Errorf("%d reports, want one about the refused recipient alone (I-10): %+v", len(reports), reports)
	}
}

// TestReportIsAReport by RFC 3464 that a mail program can read.
func TestReportIsAReport(t *testing.T) {
	w := newWorld(t)
	w.send = func(m *Message, _ []int, _ string) Result {
		if m.Report {
			return word250
		}
		return says(550, "550 5.7.60 no\x00 permission")(m, nil, "")
	}
	m := &Message{Submitter: copier, Sender: "alice@contoso.example", EnvID: "a+2Bb", Recipients: []Recipient{{Address: "bob@b.example", ORcpt: "rfc822;robert+2Bx@b.example"}}}
	id := w.acceptMessage(m, scan)
	w.try()
	reports := w.reports()
	if len(reports) != 1 {
		t.Fatalf("%d reports", len(reports))
	}
	r := reports[0]
	if r.message.Sender != copier.User || r.message.Recipients[0].Address != "alice@contoso.example" {
		t.Errorf("envelope: %+v", r.message)
	}
	if !strings.HasSuffix(r.content, "\r\n.\r\n") || strings.Contains(strings.ReplaceAll(r.content, "\r\n", ""), "\n") {
		t.Errorf("not in the form of a message on the wire:\n%q", r.content)
	}
	texts, _ := parts(t, r)
	if len(texts) != 3 {
		t.Fatalf("%d parts, want 3", len(texts))
	}
	for _, want := range []string{"Reporting-Mta: dns; mail.test\r\n", "Original-Envelope-Id: a+b\r\n", "X-Postern-Queue-Id: " + id + "\r\n", "\r\n\r\nOriginal-Recipient: rfc822; robert+x@b.example\r\n",
		"Final-Recipient: rfc822; bob@b.example\r\n", "Action: failed\r\n", "Status: 5.7.60\r\n", "Diagnostic-Code: smtp; 550 5.7.60 no  permission\r\n"} {
		if !strings.Contains(texts[1], want) {
			t.Errorf("the status lacks %q:\n%s", want, texts[1])
		}
	}
	if !strings.Contains(texts[2], "Message-ID: <1@copier>") || strings.Contains(texts[2], "dot") {
		t.Errorf("the header of the message: %q", texts[2])
	}
}

// parts takes a report to pieces as a mail program does: the contents of its parts and their types.
func parts(t *testing.T, r sent) (texts, kinds []string) {
	t.Helper()
	parsed, err := mail.ReadMessage(strings.NewReader(string(unstuff([]byte(r.content)))))
	if err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || parameters["report-type"] != "delivery-status" || parsed.Header.Get("Auto-Submitted") != "auto-replied" {
		t.Errorf("header %v, %v", parsed.Header, err)
	}
	pieces := multipart.NewReader(parsed.Body, parameters["boundary"])
	for {
		part, err := pieces.NextPart()
		if err != nil {
			return texts, kinds
		}
		text, _ := io.ReadAll(part)
		texts = append(texts, string(text))
		kinds = append(kinds, part.Header.Get("Content-Type"))
	}
}

// TestNobodyToTell: a message without a sender, and a report, get no report, and an administrator sees them (I-07, I-02).
func TestNobodyToTell(t *testing.T) {
	w := newWorld(t)
	w.send = says(550, "550 5.7.1 no")
	id := w.accept("", "bob@b.example")
	other := w.accept("alice@contoso.example", "bob@b.example")
	w.try()
	if e := w.entry(id); e == nil || e.State != store.Held {
		t.Errorf("without a sender: %+v, want it held", e)
	}
	if w.entry(other) != nil {
		t.Error("the other is not done")
	}
	entries, err := Entries(t.Context(), w.store, store.QueueFilter{})
	held := slices.ContainsFunc(entries, func(e Entry) bool { return e.Report && e.State == store.Held })
	if err != nil || len(entries) != 2 || !held {
		t.Errorf("%+v, %v; want the report held", entries, err)
	}
}

// TestNotifyNever: a sender that does not want to hear of it does not (RFC 3461 section 4.1).
func TestNotifyNever(t *testing.T) {
	w := newWorld(t)
	w.send = says(550, "550 5.7.1 no")
	id := w.acceptMessage(&Message{Submitter: copier, Sender: "alice@contoso.example", Recipients: []Recipient{{Address: "b@b.example", Notify: "NEVER"}}}, scan)
	w.try()
	if w.entry(id) != nil || len(w.reports()) != 0 {
		t.Errorf("reports %+v, or it is in the queue still", w.reports())
	}
}

// TestI09Identity: a message leaves only while its submitter may send.
func TestI09Identity(t *testing.T) {
	w := newWorld(t)
	w.barred = "the login is locked"
	id := w.accept("alice@contoso.example", "bob@b.example")
	w.try()
	if e := w.entry(id); len(w.sent) != 0 || e.State != store.Barred || e.Reason != "the login is locked" {
		t.Fatalf("sent %d, %+v", len(w.sent), e)
	}
	if err := w.queue.unbar(t.Context()); err != nil || w.entry(id).State != store.Barred {
		t.Fatalf("%v, %+v", err, w.entry(id))
	}
	w.barred = ""
	if err := w.queue.unbar(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.try() != 1 || w.entry(id) != nil {
		t.Error("not delivered once the login may send again")
	}
	if got := w.kinds(); got != "message-held message-released message-delivered" {
		t.Errorf("audit: %s", got)
	}
}

// TestI09Damaged: whatever is changed in the store, the message is set aside, shown, and never sent.
func TestI09Damaged(t *testing.T) {
	for name, damage := range map[string]string{
		"a byte of the record":   `UPDATE queue_messages SET sealed = substr(sealed, 2)`,
		"another login":          `UPDATE queue_messages SET login = 'boss'`,
		"another mailbox":        `UPDATE queue_messages SET mailbox = 'boss@contoso.example'`,
		"a shorter message":      `UPDATE queue_messages SET size = size - 1`,
		"fewer parts":            `UPDATE queue_messages SET parts = parts - 1`,
		"a byte of the content":  `UPDATE queue_parts SET sealed = substr(sealed, 2) WHERE number = 1`,
		"a part is gone":         `DELETE FROM queue_parts WHERE number = 1`,
		"parts change places":    `UPDATE queue_parts SET number = 1 - number + 10`,
		"a recipient is gone":    `DELETE FROM queue_recipients`,
		"the record of somebody": `UPDATE queue_messages SET id = 'other'`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.acceptMessage(&Message{Submitter: copier, Sender: "a@b.example", Recipients: []Recipient{{Address: "c@d.example"}}},
				"Subject: x\r\n\r\n"+strings.Repeat("0123456789\r\n", store.PartSize/10)+".\r\n")
			w.damage(damage)
			w.try()
			entries, err := Entries(t.Context(), w.store, store.QueueFilter{})
			if err != nil || len(entries) != 1 || entries[0].State != store.Damaged || entries[0].Reason == "" {
				t.Errorf("%+v, %v; want it damaged", entries, err)
			}
			if len(w.sent) != 0 || w.kinds() != "message-held" {
				t.Errorf("sent %d; audit: %s", len(w.sent), w.kinds())
			}
		})
	}
}

// damage changes the database as somebody does who has the file.
func (w *world) damage(statement string) {
	w.t.Helper()
	path, ok := strings.CutPrefix(w.dsn, "sqlite:")
	if !ok {
		postgrestest.Do(w.t, w.dsn, statement)
		return
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		w.t.Fatal(err)
	}
}

// TestI08Ledger: for one mailbox never more than 3 at once or 30 in any 60 seconds, whatever their lengths.
func TestI08Ledger(t *testing.T) {
	w := newWorld(t)
	var ends []time.Time
	var open []*Permit
	for range 600 { // ten minutes
		for {
			permit, wait, err := w.queue.Admit(t.Context(), copier)
			if err != nil {
				t.Fatal(err)
			}
			if wait.Any() {
				break
			}
			open = append(open, permit)
		}
		if len(open) > 3 {
			t.Fatalf("%d at once", len(open))
		}
		if len(open) > 0 && w.now().Second()%2 == 0 {
			open[0].Sent(1)
			ends = append(ends, w.now())
			open = open[1:]
		}
		if w.now().Second() == 30 { // and a burst
			for _, permit := range open {
				permit.Sent(1)
				ends = append(ends, w.now())
			}
			open = nil
		}
		w.pass(time.Second)
	}
	for i := range ends {
		if i >= 30 && ends[i].Sub(ends[i-30]) < time.Minute {
			t.Errorf("31 messages within %v", ends[i].Sub(ends[i-30]))
		}
	}
	if len(ends) < 230 {
		t.Errorf("%d messages in ten minutes: the limit of 300 is not used", len(ends))
	}
}

// TestI08LedgerOutlivesAProcess: what a process has sent, and what it had on its way when it died, counts for the next.
func TestI08LedgerOutlivesAProcess(t *testing.T) {
	w := newWorld(t)
	w.limits.PerMinute = 2
	first := w.open()
	for i := range 2 {
		permit, wait, err := first.Admit(t.Context(), copier)
		if err != nil || wait.Any() {
			t.Fatal(wait, err)
		}
		if i == 0 {
			permit.Sent(1)
		} // the other is on its way when the process dies
	}
	first.die()
	w.bury()
	w.pass(lifetime + time.Second)
	w.bury()
	if _, wait, err := w.queue.Admit(t.Context(), copier); err != nil || wait.Limit != store.MessageLimit {
		t.Errorf("after a restart: %+v, %v; want the minute to be spent", wait, err)
	}
	w.pass(62 * time.Second)
	if _, wait, err := w.queue.Admit(t.Context(), copier); err != nil || wait.Any() {
		t.Errorf("a minute later: %+v, %v", wait, err)
	}
	first.stop()
}

// bury has the queue look who is dead.
func (w *world) bury() {
	w.t.Helper()
	if err := w.queue.bury(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestI45TakenOver: what a dead process had taken is delivered by another one, and not while it lives.
func TestI45TakenOver(t *testing.T) {
	w := newWorld(t)
	id := w.accept("alice@contoso.example", "bob@b.example")
	dead := w.open()
	if got, err := w.store.Claim(t.Context(), "scans@contoso.example", "copier-3", dead.node.id, w.now(), furthest); err != nil || got != id {
		t.Fatal(got, err)
	}
	dead.die()
	dead.living.Wait()
	if n := w.try(); n != 0 {
		t.Fatal("delivered what another process had taken")
	}
	w.bury()
	w.pass(lifetime + time.Second)
	w.bury()
	if n := w.try(); n != 1 || w.entry(id) != nil {
		t.Error("not taken over")
	}
	// The dead one was only frozen, and says what it saw: it is too late to count.
	if dead.node.lives() {
		t.Error("a node that nobody has heard of for too long believes that it lives")
	}
}

// TestI48Clock: a clock that is set, either way, bounces nothing early and freezes nothing.
func TestI48Clock(t *testing.T) {
	for name, step := range map[string]time.Duration{"ahead": 30 * 24 * time.Hour, "back": -30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send = says(451, "451 4.3.2 later")
			id := w.accept("alice@contoso.example", "bob@b.example")
			w.try()
			w.step(step)
			for range 8 {
				w.try()
				w.pass(20 * time.Minute)
			}
			e := w.entry(id)
			if e == nil || len(w.reports()) != 0 {
				t.Fatal("bounced, or warned, early")
			}
			if e.Tries < 4 {
				t.Errorf("%d tries in more than two hours after the step", e.Tries)
			}
			w.send = nil
			w.pass(75 * time.Minute)
			if w.try(); w.entry(id) != nil {
				t.Error("frozen")
			}
		})
	}
}

// TestI48NobodyIsTakenForDead: however the clock is set, a gateway that lives keeps what it is delivering, and knows that it may; one
// that is dead is found out in the same time as ever.
func TestI48NobodyIsTakenForDead(t *testing.T) {
	for name, step := range map[string]time.Duration{"hours ahead": 5 * time.Hour, "days ahead": 30 * 24 * time.Hour,
		"hours back": -5 * time.Hour, "days back": -30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.accept("alice@contoso.example", "bob@b.example")
			other := w.open()
			other.die() // the test says when it lives
			other.living.Wait()
			if got, err := w.store.Claim(t.Context(), "scans@contoso.example", "copier-3", other.node.id, w.now(), furthest); err != nil || got != id {
				t.Fatal(got, err)
			}
			w.bury()
			w.step(step)
			for range 8 {
				w.bury()
				if !w.queue.node.lives() || !other.node.lives() {
					t.Error("a gateway that lives thinks that it does not")
				}
				w.pass(heartbeat)
				if err := other.node.beat(t.Context(), w.store); err != nil {
					t.Fatal(err)
				}
			}
			if n := w.try(); n != 0 {
				t.Fatal("delivered what a living gateway is delivering")
			}
			w.bury()
			w.pass(lifetime + time.Second)
			w.bury()
			if n := w.try(); n != 1 {
				t.Error("what a dead gateway had taken is not delivered")
			}
		})
	}
}

// TestI48AtOnce: an administrator's order to try at once means that for whoever delivers, whatever their clock says.
func TestI48AtOnce(t *testing.T) {
	for name, step := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send = says(451, "451 4.3.2 later")
			id := w.accept("alice@contoso.example", "bob@b.example")
			w.try()
			w.step(step)
			if err := w.store.OrderQueued(t.Context(), id, store.QueueOrder{State: store.Waiting}); err != nil {
				t.Fatal(err)
			}
			if e := w.entry(id); e.NextTry == nil || !e.NextTry.Equal(e.Accepted) {
				t.Errorf("the next try is said to be at %v, want since it was accepted at %v", e.NextTry, e.Accepted)
			}
			w.send = nil
			if n := w.try(); n != 1 || w.entry(id) != nil {
				t.Error("not tried at once")
			}
		})
	}
}

// TestI48LimitOfALogin: a login that waits for its own limit is not kept by it for as long as the clock was set back.
func TestI48LimitOfALogin(t *testing.T) {
	d := &drain{limited: map[string]time.Time{"copier-3": noon.Add(time.Minute)}, served: map[string]int{}}
	due := map[string]time.Time{"copier-3": noon}
	if login, until := d.choose(due, noon); login != "" || !until.Equal(noon.Add(time.Minute)) {
		t.Errorf("within the limit: got %q, %v; want it to wait a minute", login, until)
	}
	if login, _ := d.choose(due, noon.Add(-24*time.Hour)); login != "copier-3" {
		t.Errorf("a day back: got %q, want that it goes on", login)
	}
}

// TestPaceFollowsUpstream: a complaint lowers it, and time without one brings it back.
func TestPaceFollowsUpstream(t *testing.T) {
	w := newWorld(t)
	busy := Reply{Code: 432, Enhanced: "4.3.2", Text: "432 4.3.2 Concurrent connections limit exceeded."}
	w.queue.Heed(t.Context(), copier, busy)
	if _, wait, _ := w.queue.Admit(t.Context(), copier); wait.Limit != store.UpstreamSlowdown || !strings.Contains(wait.Words(), "Concurrent") {
		t.Errorf("after a complaint: %+v", wait)
	}
	w.pass(crowdedPause + time.Second)
	if got := w.room(); got != 2 {
		t.Errorf("%d at once after one complaint, want 2", got)
	}
	w.pass(recovery)
	w.queue.Heed(t.Context(), copier, word250.Final)
	if got := w.room(); got != 3 {
		t.Errorf("%d at once after a while, want 3", got)
	}
}

// room gives how many messages of the copier may be on their way at once.
func (w *world) room() (n int) {
	w.t.Helper()
	for {
		permit, wait, err := w.queue.Admit(w.t.Context(), copier)
		if err != nil {
			w.t.Fatal(err)
		}
		if wait.Any() {
			return n
		}
		defer permit.Unused()
		n++
	}
}

// TestUnreachablePutsOffAll messages of the login that are due, with one try.
func TestUnreachablePutsOffAll(t *testing.T) {
	w := newWorld(t)
	w.send = func(*Message, []int, string) Result { return Result{Err: io.ErrClosedPipe} }
	for range 5 {
		w.accept("alice@contoso.example", "bob@b.example")
	}
	if n := w.try(); n != 1 {
		t.Errorf("%d tries, want one for all", n)
	}
	entries, err := Entries(t.Context(), w.store, store.QueueFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Tries != 1 || !e.NextTry.After(w.now()) {
			t.Errorf("%+v, want one try and a later one", e)
		}
	}
}

// TestSpoolGivesBack what was written, whatever its size and the portions.
func TestSpoolGivesBack(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{1, inMemory - 1, inMemory, inMemory + 1, 3*inMemory + 7} {
		s := w.queue.NewSpool()
		want := strings.Repeat("abcdefg", size/7+1)[:size]
		out := bufio.NewWriterSize(s, 1000)
		_, _ = out.WriteString(want)
		_ = out.Flush()
		var got strings.Builder
		if err := s.read(make([]byte, 1<<16+3), func(p []byte, _ bool) error { got.Write(p); return nil }); err != nil || got.String() != want {
			t.Errorf("%d bytes: %v, got %d", size, err, got.Len())
		}
		s.Close()
	}
}
