package queue

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/audit"
	"postern/internal/keys"
	"postern/internal/postgrestest"
	"postern/internal/store"
)

// noon is when the tests begin.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a queue with all around it, on a clock that is set by hand.
type world struct {
	t     *testing.T
	queue *Queue
	store *store.Store
	dsn   string // of the database

	bubble bool // the clock is that of a synctest bubble, and not set by hand

	mu     sync.Mutex
	clock  time.Time
	set    time.Duration // by how much somebody has set the clock, beside the time that has passed
	limits Limits
	barred string // why nobody may send
	send   func(m *Message, recipients []int, content string) Result
	sent   []sent
	events []audit.Event
}

// sent is one try of the courier's.
type sent struct {
	message    Message
	recipients []int
	content    string
	at         time.Time
}

func TestMain(m *testing.M) { os.Exit(postgrestest.Suite{M: m}.Run()) }

// newDatabase names a new database: of SQLite, unless TestOnPostgreSQL says otherwise.
var newDatabase = sqliteDatabase

func sqliteDatabase(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "postern.db") }

// TestOnPostgreSQL runs the tests that have to do with the store once more, on the other engine.
func TestOnPostgreSQL(t *testing.T) {
	newDatabase = postgrestest.DSN
	_ = newDatabase(t) // starts the server, which a test that looks for leaks must not take for one
	defer func() { newDatabase = sqliteDatabase }()
	for name, test := range map[string]func(*testing.T){
		"ManyDevicesOfOneMailbox": TestManyDevicesOfOneMailbox, "I08TroubleStaysAtHome": TestI08TroubleStaysAtHome,
		"I03BrokenDiskSendsNothingTwice": TestI03BrokenDiskSendsNothingTwice, "Delivered": TestDelivered, "I07Schedule": TestI07Schedule,
		"Partly": TestPartly, "NobodyToTell": TestNobodyToTell, "I09Identity": TestI09Identity, "I09Damaged": TestI09Damaged,
		"I08Ledger": TestI08Ledger, "I08LedgerOutlivesAProcess": TestI08LedgerOutlivesAProcess, "I45TakenOver": TestI45TakenOver,
		"I08RecipientsFitTogether": TestI08RecipientsFitTogether, "I31LostAnswer": TestI31LostAnswer, "I48Clock": TestI48Clock,
		"I48NobodyIsTakenForDead": TestI48NobodyIsTakenForDead, "I48AtOnce": TestI48AtOnce, "PaceFollowsUpstream": TestPaceFollowsUpstream,
		"UnreachablePutsOffAll": TestUnreachablePutsOffAll,
	} {
		t.Run(name, test)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldBy(t, &world{t: t, clock: noon, limits: Limits{Connections: 3, PerMinute: 30}})
}

// newWorldBy completes a world that a test has begun.
func newWorldBy(t *testing.T, w *world) *world {
	t.Helper()
	folder := t.TempDir()
	ring, err := keys.Create(filepath.Join(folder, "postern.keys"))
	if err != nil {
		t.Fatal(err)
	}
	w.dsn = newDatabase(t)
	if w.store, err = store.Open(t.Context(), w.dsn, ring); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.queue = w.open()
	t.Cleanup(func() { closeAtOnce(w.queue) })
	return w
}

// open opens a queue on the world's store, as another process would.
func (w *world) open() *Queue {
	w.t.Helper()
	q, err := Open(w.t.Context(), Config{Domain: "mail.test", Store: w.store, Files: TemporaryFiles(filepath.Join(w.t.TempDir(), "spool")),
		Identities: w, Audit: w, Log: slog.New(slog.DiscardHandler), Now: w.now, Steady: w.steady})
	if err != nil {
		w.t.Fatal(err)
	}
	q.courier = w
	return q
}

func closeAtOnce(q *Queue) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	q.Close(ended)
}

func (w *world) now() time.Time {
	if w.bubble {
		return time.Now()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// steady gives the time that nobody sets.
func (w *world) steady() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bubble {
		return time.Now()
	}
	return w.clock.Add(-w.set)
}

// step sets the clock, ahead or back.
func (w *world) step(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock, w.set = w.clock.Add(d), w.set+d
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.clock = w.clock.Add(d)
	w.mu.Unlock()
	if err := w.queue.node.beat(w.t.Context(), w.store); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Barred(_ context.Context, _ Submitter, released bool) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if released {
		return "", nil
	}
	return w.barred, nil
}

func (w *world) Limits(string) Limits { return w.limits }

func (w *world) Record(event audit.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
	return nil
}

func (w *world) Send(_ context.Context, m *Message, recipients []int, content io.Reader) Result {
	all, err := io.ReadAll(content)
	if err != nil {
		return Result{Reached: true, Err: err}
	}
	w.mu.Lock()
	w.sent = append(w.sent, sent{*m, recipients, string(all), w.clock})
	send := w.send
	w.mu.Unlock()
	if send == nil {
		return word250
	}
	return send(m, recipients, string(all))
}

var word250 = Result{Reached: true, Sent: true, Final: Reply{Code: 250, Text: "250 2.0.0 OK"}}

// says gives a courier to which upstream always says the same.
func says(code int, text string) func(*Message, []int, string) Result {
	enhanced := ""
	if fields := strings.Fields(text); len(fields) > 1 && strings.Count(fields[1], ".") == 2 {
		enhanced = fields[1]
	}
	return func(*Message, []int, string) Result {
		return Result{Reached: true, Sent: true, Final: Reply{Code: code, Enhanced: enhanced, Text: text}}
	}
}

// copier is who submits in these tests.
var copier = Submitter{Login: "copier-3", Password: "pw-1", Mailbox: "scans@contoso.example", User: "scans@contoso.example", Provider: "contoso", Grant: "application"}

// scan is a message as it goes to upstream.
const scan = "Subject: scan\r\nMessage-ID: <1@copier>\r\n\r\n..dot\r\n.\r\n"

// accept puts a message into the queue.
func (w *world) accept(sender string, recipients ...string) string {
	w.t.Helper()
	return w.acceptFrom(copier, sender, recipients...)
}

func (w *world) acceptFrom(s Submitter, sender string, recipients ...string) string {
	w.t.Helper()
	m := &Message{Submitter: s, Sender: sender}
	for _, r := range recipients {
		m.Recipients = append(m.Recipients, Recipient{Address: r})
	}
	return w.acceptMessage(m, scan)
}

func (w *world) acceptMessage(m *Message, text string) string {
	w.t.Helper()
	spool := w.queue.NewSpool()
	defer spool.Close()
	if _, err := io.WriteString(spool, text); err != nil {
		w.t.Fatal(err)
	}
	if err := w.queue.Accept(w.t.Context(), m, spool, "a test", false); err != nil {
		w.t.Fatal(err)
	}
	return m.ID
}

// try makes one try with each message that is due and that the limits let go, and gives their number.
func (w *world) try() (n int) {
	w.t.Helper()
	for {
		if !w.tryOne() {
			return n
		}
		n++
	}
}

func (w *world) tryOne() bool {
	w.t.Helper()
	mailboxes, err := w.store.DueMailboxes(w.t.Context(), w.now(), furthest)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, mailbox := range mailboxes {
		due, err := w.store.DueLogins(w.t.Context(), mailbox, w.now(), furthest)
		if err != nil {
			w.t.Fatal(err)
		}
		for login := range due {
			permit, wait, err := w.queue.admit(w.t.Context(), mailbox, login, w.limits, 1)
			if err != nil {
				w.t.Fatal(err)
			}
			if wait.Any() {
				continue
			}
			id, err := w.store.Claim(w.t.Context(), mailbox, login, w.queue.node.id, w.now(), furthest)
			if err != nil {
				w.t.Fatal(err)
			}
			place, err := w.queue.places.take(w.t.Context(), mailbox)
			if err != nil {
				w.t.Fatal(err)
			}
			w.queue.deliver(id, permit, place, w.limits)
			place.end()
			return true
		}
	}
	return false
}

// entry shows a message; nil when it is not in the queue any more.
func (w *world) entry(id string) *Entry {
	w.t.Helper()
	e, err := Show(w.t.Context(), w.store, id, w.Limits)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &e
}

// kinds gives the kinds of the events so far.
func (w *world) kinds() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, event := range w.events {
		list = append(list, event.Kind())
	}
	return strings.Join(list, " ")
}

// reports gives the contents of the reports that went out.
func (w *world) reports() (all []sent) {
	for _, s := range w.sent {
		if s.message.Report {
			all = append(all, s)
		}
	}
	return all
}
