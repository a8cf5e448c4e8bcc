package queue

import (
	"strings"
	"testing"
	"time"
)

// TestReturned: RET=FULL gives the whole message back, up to a bound and with what failed alone; else the header goes back
// (RFC 3461 section 4.3).
func TestReturned(t *testing.T) {
	const head, text = "Subject: scan\r\n", "\r\nbody\r\n.dot\r\n"
	for name, test := range map[string]struct{ ret, message, kind, want, body string }{
		"nothing asked": {"", head + text, "text/rfc822-headers", head, ""},
		"HDRS":          {"HDRS", head + text, "text/rfc822-headers", head, ""},
		"FULL":          {"full", head + text, "message/rfc822", head + text, ""},
		"8 bits":        {"FULL", head + "\r\nGr\u00fc\u00dfe\r\n", "message/rfc822", head + "\r\nGr\u00fc\u00dfe\r\n", "8BITMIME"},
		"UTF-8 header":  {"FULL", "Subject: \u00fc\r\n\r\nx\r\n", "message/global", "Subject: \u00fc\r\n\r\nx\r\n", "8BITMIME"},
		"too large":     {"FULL", head + "\r\n" + strings.Repeat("0123456789\r\n", maxReturned/12+1), "text/rfc822-headers", head, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.send = func(m *Message, _ []int, _ string) Result {
				if m.Report {
					return word250
				}
				return says(550, "550 5.1.10 no such mailbox")(m, nil, "")
			}
			w.acceptMessage(&Message{Submitter: copier, Sender: "alice@contoso.example", Ret: test.ret, Recipients: []Recipient{{Address: "b@b.example"}}},
				string(stuff([]byte(test.message))))
			w.try()
			reports := w.reports()
			if len(reports) != 1 {
				t.Fatalf("%d reports, want one", len(reports))
			}
			texts, kinds := parts(t, reports[0])
			if len(texts) != 3 || kinds[2] != test.kind || texts[2] != test.want || reports[0].message.Body != test.body {
				t.Errorf("got %v, BODY=%s, %.200q\nwant a third part %s of %q", kinds, reports[0].message.Body, texts[len(texts)-1], test.kind, test.want)
			}
		})
	}
}

// TestWarningReturnsTheHeader even with RET=FULL: nothing has failed yet (RFC 3461 section 4.3).
func TestWarningReturnsTheHeader(t *testing.T) {
	w := newWorld(t)
	w.send = func(m *Message, _ []int, _ string) Result {
		if m.Report {
			return word250
		}
		return says(451, "451 4.3.2 later")(m, nil, "")
	}
	w.acceptMessage(&Message{Submitter: copier, Sender: "alice@contoso.example", Ret: "FULL", Recipients: []Recipient{{Address: "b@b.example"}}}, scan)
	for len(w.reports()) == 0 && w.now().Sub(noon) < 6*time.Hour {
		w.try()
		w.pass(10 * time.Minute)
	}
	if _, kinds := parts(t, w.reports()[0]); len(kinds) != 3 || kinds[2] != "text/rfc822-headers" {
		t.Errorf("got parts %v, want the header alone", kinds)
	}
}

// TestNotify: who asked for FAILURE alone hears of no delay, who asked for DELAY or SUCCESS alone hears of no failure.
func TestNotify(t *testing.T) {
	for _, test := range []struct {
		notify         string
		delay, failure bool
	}{{"", true, true}, {"FAILURE", false, true}, {"delay,failure", true, true}, {"DELAY", true, false}, {"SUCCESS", false, false}, {"NEVER", false, false}} {
		t.Run(test.notify, func(t *testing.T) {
			w := newWorld(t)
			word := says(451, "451 4.3.2 later")
			w.send = func(m *Message, _ []int, _ string) Result {
				if m.Report {
					return word250
				}
				return word(m, nil, "")
			}
			id := w.acceptMessage(&Message{Submitter: copier, Sender: "alice@contoso.example", Recipients: []Recipient{{Address: "b@b.example", Notify: test.notify}}}, scan)
			for w.now().Sub(noon) < 6*time.Hour {
				w.try()
				w.pass(10 * time.Minute)
			}
			if got := len(w.reports()) == 1; got != test.delay {
				t.Errorf("told of the delay: %v, want %v", got, test.delay)
			}
			before := len(w.reports())
			word = says(550, "550 5.1.10 no")
			for w.entry(id) != nil && w.now().Sub(noon) < 9*time.Hour {
				w.try()
				w.pass(10 * time.Minute)
			}
			w.try()
			if got := len(w.reports()) > before; got != test.failure {
				t.Errorf("told of the failure: %v, want %v", got, test.failure)
			}
			if w.entry(id) != nil {
				t.Error("it is in the queue still")
			}
		})
	}
}

func TestDecodeXtext(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a+2Bb": "a+b", "+3D+3d": "==", "+": "+", "+2": "+2", "+zz+2B": "+zz+"} {
		if got := decodeXtext(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
