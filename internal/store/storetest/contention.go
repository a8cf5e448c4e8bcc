package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/store"
)

// What follows does at the same time what reads and then writes: of an engine with many writers, one that lets a change
// come between the two shows here.

// crowd runs do with the numbers from 0 to n-1, all at once.
func crowd(n int, do func(int)) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			do(i)
		})
	}
	close(begin)
	all.Wait()
}

// submissionOf gives the submission of the i-th message.
func submissionOf(i int) store.Submission {
	return store.Submission{ID: "s" + strconv.Itoa(i), Mailbox: "scans@contoso.example", Login: "copier-3", Node: "n", Recipients: 1}
}

// limitsHoldTogether: of many who begin at the same moment no more do than may, at once and in a minute (threat model I-08).
func limitsHoldTogether(t *testing.T, s *store.Store) {
	must(t, s.KeepAlive(t.Context(), store.Node{ID: "n", Host: "h", PID: 1, AliveUntil: start.Add(time.Hour)}))
	limits := store.SubmissionLimits{Connections: 3, PerMinute: 10}
	var begun, ended atomic.Int64
	for round := range 6 {
		crowd(8, func(i int) {
			v, err := s.BeginSubmission(t.Context(), submissionOf(round*8+i), limits, start)
			if err != nil {
				t.Error(err)
			}
			if err != nil || v.Limit != store.Unlimited {
				return
			}
			if n := begun.Add(1) - ended.Load(); n > 3 {
				t.Errorf("%d at once", n)
			}
			ended.Add(1) // before the end: who begins after it finds a place
			if err := s.EndSubmission(t.Context(), submissionOf(round*8+i), start); err != nil {
				t.Error(err)
			}
		})
	}
	if n := begun.Load(); n != 10 {
		t.Errorf("%d messages in a minute, want 10", n)
	}
	var admitted atomic.Int64
	crowd(12, func(int) {
		until, err := s.AdmitRecipients(t.Context(), "copier-3", 1, 5, start)
		if err != nil {
			t.Error(err)
		}
		if until.IsZero() {
			admitted.Add(1)
		}
	})
	if n := admitted.Load(); n != 5 {
		t.Errorf("%d recipients in a day, want 5", n)
	}
}

// placesHoldTogether: the connections of a mailbox that nobody gives back stay as many as there may be.
func placesHoldTogether(t *testing.T, s *store.Store) {
	must(t, s.KeepAlive(t.Context(), store.Node{ID: "n", Host: "h", PID: 1, AliveUntil: start.Add(time.Hour)}))
	var begun atomic.Int64
	crowd(12, func(i int) {
		v, err := s.BeginSubmission(t.Context(), submissionOf(i), store.SubmissionLimits{Connections: 3}, start)
		if err != nil {
			t.Error(err)
		}
		if v.Limit == store.Unlimited {
			begun.Add(1)
		}
	})
	if n := begun.Load(); n != 3 {
		t.Errorf("%d at once, want 3", n)
	}
}

// buriedOnce: those who bury a node at the same moment free its messages and count what it was sending once; and nobody
// buries one that lives, or begins anything for one that is buried.
func buriedOnce(t *testing.T, s *store.Store) {
	dead := store.Node{ID: "n", Host: "h", PID: 1, AliveUntil: kept(start)}
	must(t, s.KeepAlive(t.Context(), dead))
	if _, err := s.BeginSubmission(t.Context(), submissionOf(0), store.SubmissionLimits{Connections: 3}, start); err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "m")
	_, err := s.Claim(t.Context(), "scans@contoso.example", "copier-3", "n", start, time.Hour)
	must(t, err)

	early := dead
	early.AliveUntil = start.Add(-time.Minute)
	n, err := s.Bury(t.Context(), early, start)
	must(t, err)
	if all, err := s.Nodes(t.Context()); n != 0 || err != nil || len(all) != 1 {
		t.Errorf("a node that has given a sign of life since: %d messages freed, nodes %v, %v", n, all, err)
	}
	var freed atomic.Int64
	crowd(6, func(int) {
		n, err := s.Bury(t.Context(), dead, start)
		if err != nil {
			t.Error(err)
		}
		freed.Add(n)
	})
	if freed.Load() != 1 {
		t.Errorf("%d messages freed, want 1", freed.Load())
	}
	v, err := s.JudgeSubmission(t.Context(), submissionOf(1), store.SubmissionLimits{Connections: 3, PerMinute: 2}, start)
	if err != nil || v.Limit != store.Unlimited {
		t.Errorf("what it was sending counts more than once: %+v, %v", v, err)
	}
	v, err = s.JudgeSubmission(t.Context(), submissionOf(1), store.SubmissionLimits{Connections: 3, PerMinute: 1}, start)
	if err != nil || v.Limit != store.MessageLimit {
		t.Errorf("what it was sending does not count: %+v, %v", v, err)
	}
	if _, err := s.BeginSubmission(t.Context(), submissionOf(2), store.SubmissionLimits{}, start); !errors.Is(err, store.ErrBuried) {
		t.Errorf("a buried node begins: got %v, want ErrBuried", err)
	}
}

// takenOverOrKept: what a node says of a message that another takes over at that moment counts, or that is taken over: never
// both (threat model I-45).
func takenOverOrKept(t *testing.T, s *store.Store) {
	for round := range 10 {
		id := fmt.Sprint("m", round)
		enqueue(t, s, id)
		_, err := s.Claim(t.Context(), "scans@contoso.example", "copier-3", "a", start, time.Hour)
		must(t, err)
		report := store.QueuedMessage{ID: id + "-report", Mailbox: "m", Login: "l", State: store.Held, Parts: 1, Accepted: kept(start), NextTry: kept(start), Record: []byte("r")}
		var kept, taken atomic.Bool
		crowd(2, func(who int) {
			if who == 0 {
				err := s.Advance(t.Context(), id, "a", store.Progress{Done: true, Reports: []store.Report{{Message: report, Parts: []store.Part{{Content: []byte("x")}}}}})
				if err != nil && !errors.Is(err, store.ErrTaken) {
					t.Error(err)
				}
				kept.Store(err == nil)
				return
			}
			if err := s.Unclaim(t.Context(), id, "a"); err != nil {
				t.Error(err)
			}
			got, err := s.Claim(t.Context(), "scans@contoso.example", "copier-3", "b", start, time.Hour)
			if err != nil {
				t.Error(err)
			}
			taken.Store(got == id)
		})
		if kept.Load() && taken.Load() {
			t.Errorf("round %d: one node has reported on it, and another has it", round)
		}
		_, err = s.QueuedMessage(t.Context(), report.ID)
		if there := err == nil; there != kept.Load() {
			t.Errorf("round %d: the report is there: %v; want %v", round, there, kept.Load())
		}
	}
}

// paceChangesAll: changes of a pace at the same moment all count.
func paceChangesAll(t *testing.T, s *store.Store) {
	crowd(10, func(int) {
		err := s.ChangePace(t.Context(), "scans@contoso.example", func(p store.Pace) store.Pace {
			p.Connections++
			p.NotBefore, p.Changed = start, start
			return p
		})
		if err != nil {
			t.Error(err)
		}
	})
	p, err := s.Pace(t.Context(), "scans@contoso.example")
	must(t, err)
	if p.Connections != 10 {
		t.Errorf("%d changes are left of 10", p.Connections)
	}
}

// firstFactorIsOne: of first factors that are enrolled at the same moment, one is kept.
func firstFactorIsOne(t *testing.T, s *store.Store) {
	var added atomic.Int64
	crowd(8, func(i int) {
		f := totpFactor()
		f.ID = strconv.Itoa(i)
		is, err := s.AddFactor(t.Context(), f, true)
		if err != nil {
			t.Error(err)
		}
		if is {
			added.Add(1)
		}
	})
	if n := added.Load(); n != 1 {
		t.Errorf("%d first factors, want 1", n)
	}
}

// withdrawalsAreSeen: who reads on from the last number that was seen misses none, whoever writes meanwhile (threat model
// I-24).
func withdrawalsAreSeen(t *testing.T, s *store.Store) {
	const writers, each = 6, 10
	done := make(chan struct{})
	go func() {
		defer close(done)
		crowd(writers, func(w int) {
			for i := range each {
				if err := s.LockLogin(t.Context(), store.Lock{Login: fmt.Sprintf("%d-%d", w, i), Since: start}); err != nil {
					t.Error(err)
				}
			}
		})
	}()
	var last int64
	var seen []string
	for over := false; ; {
		news, err := s.Withdrawals(t.Context(), last)
		must(t, err)
		for _, n := range news {
			last = n.Number
			seen = append(seen, n.Subject)
		}
		if over {
			break
		}
		select {
		case <-done:
			over = true // and one more look
		default:
		}
	}
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n != writers*each || len(seen) != n {
		t.Errorf("%d withdrawals were seen, %d different ones; want %d", len(seen), n, writers*each)
	}
}

// nobodyWaitsInACircle: who writes the same rows in another order at the same moment waits and does not fail.
func nobodyWaitsInACircle(t *testing.T, s *store.Store) {
	var uses []store.Use
	for i := range 8 {
		p := sparse()
		p.ID = strconv.Itoa(i)
		must(t, s.AddPassword(t.Context(), p, hashOf(p.ID)))
		uses = append(uses, store.Use{ID: p.ID, At: start})
	}
	backwards := slices.Clone(uses)
	slices.Reverse(backwards)
	crowd(8, func(i int) {
		for range 5 {
			if err := s.StampUses(t.Context(), [][]store.Use{uses, backwards}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
}

// enrolmentsLeaveNoOrphan: accounts that change hands at the same moment leave tokens of those alone who have one.
func enrolmentsLeaveNoOrphan(t *testing.T, s *store.Store) {
	const people = 8
	person := func(i int) store.Account {
		a := account()
		a.ObjectID = fmt.Sprint("person ", i)
		return a
	}
	crowd(people, func(i int) {
		if err := s.SaveEnrolment(t.Context(), person(i), personKey(person(i)), []byte("tokens")); err != nil {
			t.Error(err)
		}
	})
	now, err := s.Account(t.Context(), account().Provider, account().Name)
	must(t, err)
	for i := range people {
		_, err := s.LoadTokenCache(t.Context(), personKey(person(i)))
		if there, want := err == nil, person(i).ObjectID == now.ObjectID; there != want {
			t.Errorf("tokens of %s are there: %v (%v); the account is %s's", person(i).ObjectID, there, err, now.ObjectID)
		}
	}
}
