package auth

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/audit"

	"github.com/google/go-cmp/cmp"
)

// journal is an audit log in memory.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	fail   error
}

// set makes it fail with err from now on; nil mends it.
func (j *journal) set(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

func (j *journal) Record(e audit.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail == nil {
		j.events = append(j.events, e)
	}
	return j.fail
}

// summaries gives the summaries, and how many other lines there are.
func (j *journal) summaries() (all []audit.SignInsRefused, others int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if s, ok := e.(audit.SignInsRefused); ok {
			all = append(all, s)
		} else {
			others++
		}
	}
	return all, others
}

func refusedSignIn(reason Reason, login string, host int) audit.SignIn {
	return audit.SignIn{Outcome: audit.Refused, Reason: string(reason), Login: login, Remote: fmt.Sprintf("[2001:db8::%x]:%d", host, 1+host)}
}

func TestDiarySumsAFloodUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		d := &diary{log: log, now: time.Now}
		record := func(e audit.SignIn) {
			t.Helper()
			if err := d.record(e); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for n := range guessLines {
			record(refusedSignIn([]Reason{WrongPassword, UnknownLogin}[n%2], "early", 1))
		}
		for range heldOffLines {
			record(refusedSignIn(HeldOff, "early", 1))
		}
		for n := range 30 {
			record(refusedSignIn(WrongPassword, "alice", n%15))
			record(refusedSignIn(HeldOff, fmt.Sprint("login ", n), 0))
		}
		// Nothing else is ever left out.
		record(audit.SignIn{Outcome: audit.Allowed, Login: "alice"})
		record(refusedSignIn(PasswordRevoked, "alice", 1))
		if sums, lines := log.summaries(); len(sums) != 0 || lines != guessLines+heldOffLines+2 {
			t.Fatalf("%d summaries and %d lines within the window", len(sums), lines)
		}

		time.Sleep(2 * diaryWindow) // nobody comes any more
		synctest.Wait()
		sums, lines := log.summaries()
		if len(sums) != 1 || lines != guessLines+heldOffLines+2 {
			t.Fatalf("%d summaries and %d lines after the window", len(sums), lines)
		}
		got := sums[0]
		if !got.Since.Equal(began) || got.Until.Sub(began) != diaryWindow || got.Attempts != 60 {
			t.Errorf("got %d attempts from %v to %v, want 60 in the minute from %v", got.Attempts, got.Since, got.Until, began)
		}
		if diff := cmp.Diff(map[string]int{"wrong-password": 30, "held-off": 30}, got.Reasons); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		if len(got.Logins) != topNames || got.Logins[0] != (audit.Tally{Name: "alice", Attempts: 30}) {
			t.Errorf("got logins %v, want alice first of ten", got.Logins)
		}
		if len(got.Remotes) != topNames || got.Remotes[0] != (audit.Tally{Name: "2001:db8::0", Attempts: 32}) {
			t.Errorf("got remotes %v, want 2001:db8::0 first of ten", got.Remotes)
		}

		record(refusedSignIn(WrongPassword, "late", 1))
		if _, after := log.summaries(); after != lines+1 {
			t.Error("a new window has no room")
		}
	})
}

func TestDiaryKeepsWhatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &journal{}
		d := &diary{log: log, now: time.Now}
		for range heldOffLines + 5 {
			if err := d.record(refusedSignIn(HeldOff, "alice", 1)); err != nil {
				t.Fatal(err)
			}
		}
		full := errors.New("disk full")
		log.set(full)
		time.Sleep(3 * diaryWindow)
		if err := d.record(refusedSignIn(HeldOff, "alice", 1)); !errors.Is(err, full) {
			t.Errorf("got %v, want the log's error", err)
		}
		log.set(nil)
		time.Sleep(2 * diaryWindow)
		synctest.Wait()
		if sums, _ := log.summaries(); len(sums) != 1 || sums[0].Attempts != 5 {
			t.Errorf("got %+v, want one of 5 attempts", sums)
		}
		for range heldOffLines + 3 {
			_ = d.record(refusedSignIn(HeldOff, "alice", 1))
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
		if sums, _ := log.summaries(); len(sums) != 2 || sums[1].Attempts != 3 {
			t.Errorf("after close: got %+v, want 3 attempts more", sums)
		}
	})
}

func TestDiaryBoundsItsMemory(t *testing.T) {
	d := &diary{log: &journal{}, now: time.Now}
	for n := range 10 * talliedNames {
		_ = d.record(refusedSignIn(HeldOff, fmt.Sprint("login ", n), n))
	}
	if n := len(d.sum.logins); n != talliedNames {
		t.Errorf("%d names are kept, want %d", n, talliedNames)
	}
	_ = d.close()
}
