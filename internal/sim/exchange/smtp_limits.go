package exchange

import (
	"cmp"
	"sync"
	"time"
)

// submissions counts what each mailbox sends, against Exchange's limits (reference C).
type submissions struct {
	limits Limits

	mu      sync.Mutex
	byBox   map[string]*sending
	highest int // the most connections that one mailbox had in the middle of a message
}

// sending is one mailbox's count.
type sending struct {
	active     int         // connections in the middle of a message
	times      []time.Time // of the last minute's messages
	recipients []recipientCount
}

// recipientCount is how many recipients a message had, and when.
type recipientCount struct {
	at time.Time
	n  int
}

func newSubmissions(l Limits) *submissions {
	l.Connections, l.PerMinute = cmp.Or(l.Connections, 3), cmp.Or(l.PerMinute, 30)
	l.RecipientsPerDay = cmp.Or(l.RecipientsPerDay, 10000)
	return &submissions{limits: l, byBox: make(map[string]*sending)}
}

// begin counts a connection that begins a message; the function that it gives ends that. crowded says that the mailbox
// has too many: it is told at the end of the message, as Exchange does.
func (s *submissions) begin(mailbox string) (crowded bool, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.of(mailbox)
	box.active++
	s.highest = max(s.highest, box.active)
	return s.limits.Connections >= 0 && box.active > s.limits.Connections, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		box.active--
	}
}

func (s *submissions) of(mailbox string) *sending {
	box := s.byBox[mailbox]
	if box == nil {
		box = &sending{}
		s.byBox[mailbox] = box
	}
	return box
}

// admit counts a message, or gives the reply that refuses it.
func (s *submissions) admit(mailbox string, recipients int, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.of(mailbox)
	for len(box.times) > 0 && now.Sub(box.times[0]) >= time.Minute {
		box.times = box.times[1:]
	}
	for len(box.recipients) > 0 && now.Sub(box.recipients[0].at) >= 24*time.Hour {
		box.recipients = box.recipients[1:]
	}
	today := recipients
	for _, count := range box.recipients {
		today += count.n
	}
	switch {
	case s.limits.PerMinute >= 0 && len(box.times) >= s.limits.PerMinute:
		return "421 4.4.2 Message submission rate for this client has exceeded the configured limit"
	case s.limits.RecipientsPerDay >= 0 && today > s.limits.RecipientsPerDay:
		return "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can't be submitted because the sender's submission quota was exceeded."
	}
	box.times = append(box.times, now)
	box.recipients = append(box.recipients, recipientCount{now, recipients})
	return ""
}

// HighestConcurrency gives the most connections that any one mailbox had in the middle of a message at once.
func (s *Server) HighestConcurrency() int {
	s.submission.mu.Lock()
	defer s.submission.mu.Unlock()
	return s.submission.highest
}
