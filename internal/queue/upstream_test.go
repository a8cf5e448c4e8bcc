package queue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/store"
)

// TestClassify reads each reply of reference B.4 that a message can meet.
func TestClassify(t *testing.T) {
	for text, want := range map[string]Class{
		"250 2.0.0 OK <1@x> [Hostname=X]":                                                                                 Delivered,
		"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=X]":                                      Crowded,
		"432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.":  Crowded,
		"421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel":       Crowded,
		"421 4.4.2 Message submission rate for this client has exceeded the configured limit":                             Hurried,
		"421 4.4.1 Connection timed out. Total session duration: 00:20:55.1":                                              Deferred,
		"451 4.7.0 Temporary server error. Please try again later. PRX2":                                                  Deferred,
		"451 4.3.2 Temporary server error":                                                                                Deferred,
		"451 4.7.500 Server busy. Please try again later from [192.0.2.1].":                                               Slowed,
		"451 4.7.699 Access denied, please try again later":                                                               Slowed,
		"451 4.7.850 Access denied, please try again later":                                                               Slowed,
		"451 4.7.700 PFA agent busy":                                                                                      Deferred,
		"452 4.5.3 Too many recipients":                                                                                   Deferred,
		"454 4.7.0 Temporary authentication failure":                                                                      Deferred,
		"554 5.2.252 SendAsDenied; A not allowed to send as B; STOREDRV.Submission.Exception:SendAsDeniedException":       Refused,
		"550 5.7.60 SMTP; Client does not have permissions to send as this sender":                                        Refused,
		"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message":             Spent,
		"550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients (AS:46601)": Spent,
		"550 5.2.2 Submission quota exceeded":                                                                             Spent,
		"550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit":                   Spent,
		"550 5.7.233 Your message can't be sent because your tenant has exceeded its daily limit":                         Spent,
		"554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded":  Refused,
		"550 5.1.8 Access denied, bad outbound sender AS(42004)":                                                          Refused,
		"550 5.7.705 Access denied, tenant has exceeded threshold":                                                        Refused,
		"552 5.3.4 Message size exceeds fixed maximum message size":                                                       Refused,
		"550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a@b not found by SMTP address lookup":                       Refused,
		"550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds":                                    Refused,
		"530 5.7.57 Client not authenticated to send mail. [X]":                                                           Unready,
		"550 5.7.30 Basic authentication is not supported for Client Submission.":                                         Unready,
	} {
		if got := Classify(replyOf(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// replyOf reads a reply in one line.
func replyOf(text string) Reply {
	r := Reply{Text: text}
	_, _ = fmt.Sscanf(text, "%d %s", &r.Code, &r.Enhanced)
	return r
}

// TestComplaintsLowerThePace: after each kind of complaint the mailbox rests for its time, and those about connections leave it
// one less. A complaint that comes again makes the rest longer.
func TestComplaintsLowerThePace(t *testing.T) {
	for _, test := range []struct {
		text string
		rest time.Duration
		room int // behind it
	}{
		{"432 4.3.2 Concurrent connections limit exceeded.", crowdedPause, 2},
		{"421 4.4.2 Message submission rate for this client has exceeded the configured limit", hurriedPause, 3},
		{"451 4.7.500 Server busy. Please try again later", slowedPause, 2},
		{"550 5.1.90 Your message can't be sent because you've reached your daily limit", spentPause, 3},
	} {
		t.Run(test.text[:9], func(t *testing.T) {
			w := newWorld(t)
			w.queue.Heed(t.Context(), copier, replyOf(test.text))
			_, wait, err := w.queue.Admit(t.Context(), copier)
			if err != nil || wait.Limit != store.UpstreamSlowdown || wait.Until.Sub(noon) != test.rest || wait.Reason != test.text {
				t.Errorf("got %+v, %v; want a rest of %v", wait, err, test.rest)
			}
			w.pass(test.rest + time.Second)
			if got := w.room(); got != test.room {
				t.Errorf("%d at once after it, want %d", got, test.room)
			}
			w.queue.Heed(t.Context(), copier, replyOf(test.text))
			if _, again, _ := w.queue.Admit(t.Context(), copier); again.Until.Sub(w.now()) != 2*test.rest {
				t.Errorf("the second time: a rest of %v, want %v", again.Until.Sub(w.now()), 2*test.rest)
			}
		})
	}
}

// TestI07RefusedOnce: a 5yz is never tried again, and its sender hears of it once.
func TestI07RefusedOnce(t *testing.T) {
	w := newWorld(t)
	w.send = func(m *Message, _ []int, _ string) Result {
		if m.Report {
			return word250
		}
		return says(550, "550 5.7.60 SMTP; Client does not have permissions to send as this sender")(m, nil, "")
	}
	w.accept("alice@contoso.example", "bob@b.example")
	for range 200 {
		w.try()
		w.pass(time.Hour)
	}
	if tries, reports := len(w.sent)-len(w.reports()), len(w.reports()); tries != 1 || reports != 1 {
		t.Errorf("%d tries and %d reports, want one of each", tries, reports)
	}
}

// TestI07Delays: the waits of a message begin below five minutes, never get shorter, and stay below 70 minutes; messages that
// failed together are spread.
func TestI07Delays(t *testing.T) {
	first := make(map[time.Duration]bool)
	for i := range 200 {
		id := newID(noon.Add(time.Duration(i)))
		first[delay(id, 1)] = true
		for try := 1; try < 150; try++ {
			if d := delay(id, try); d < 2*time.Minute || d > 70*time.Minute || try == 1 && d > 5*time.Minute || d > delay(id, try+1) {
				t.Fatalf("%s waits %v after try %d and %v after the next", id, d, try, delay(id, try+1))
			}
		}
	}
	if len(first) < 50 {
		t.Errorf("200 messages have %d first waits, want them spread", len(first))
	}
}

// TestI08RecipientsOfADay: a mailbox whose recipients of a day are spent waits until enough of them are a day old.
func TestI08RecipientsOfADay(t *testing.T) {
	w := newWorld(t)
	w.limits.RecipientsPerDay = 4
	for range 3 {
		w.accept("alice@contoso.example", "bob@b.example", "eve@b.example")
		w.pass(time.Minute)
	}
	if got := w.try(); got != 2 {
		t.Fatalf("%d messages of two recipients each went, want 2", got)
	}
	_, wait, err := w.queue.Admit(t.Context(), copier)
	if err != nil || wait.Limit != store.RecipientLimit {
		t.Errorf("then: %+v, %v", wait, err)
	}
	w.pass(23 * time.Hour)
	if got := w.try(); got != 0 {
		t.Errorf("%d messages went within the day", got)
	}
	w.pass(2*time.Hour + time.Minute)
	if got := w.try(); got != 1 {
		t.Errorf("%d messages went a day later, want the last one", got)
	}
}

// TestI08RecipientsFitTogether: a message for more recipients than are left of the day waits as a whole, others go meanwhile, and
// one for more than a day has goes alone. Who waits too long for that hears of it.
func TestI08RecipientsFitTogether(t *testing.T) {
	w := newWorld(t)
	w.limits.RecipientsPerDay = 4
	crowd := []string{"a@b.example", "b@b.example", "c@b.example"}
	w.accept("alice@contoso.example", crowd...)
	w.pass(time.Second)
	large := w.accept("alice@contoso.example", crowd...)
	w.try()
	e := w.entry(large)
	if len(w.sent) != 1 || e == nil || e.Tries != 1 || !strings.Contains(e.Reason, "recipients of this day are spent, until 1") {
		t.Fatalf("sent %d; the second one: %+v", len(w.sent), e)
	}
	w.accept("alice@contoso.example", "a@b.example")
	if w.try(); len(w.sent) != 2 {
		t.Errorf("the one for a single recipient has not gone")
	}
	for range 27 {
		w.pass(time.Hour)
		w.try()
	}
	if w.entry(large) != nil {
		t.Errorf("a day later it has not gone: %+v", w.entry(large))
	}
	w.pass(26 * time.Hour)
	w.accept("alice@contoso.example", append(crowd, "d@b.example", "e@b.example")...)
	if got := w.try(); got != 1 {
		t.Errorf("the one for more than a day has not gone")
	}
}

// TestFullForOneLogin: a login that has 20,000 messages in the queue gets no more in, and others do.
func TestFullForOneLogin(t *testing.T) {
	w := newWorld(t)
	w.queue.depths.set(copier, maxDepth)
	spool := w.queue.NewSpool()
	defer spool.Close()
	m := &Message{Submitter: copier, Sender: "a@b.example", Recipients: []Recipient{{Address: "c@d.example"}}}
	if err := w.queue.Accept(t.Context(), m, spool, "a test", false); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want %v", err, ErrFull)
	}
	w.acceptFrom(device("copier-4", copier.Mailbox), "a@b.example", "c@d.example")
}
