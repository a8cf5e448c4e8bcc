package throttle

import "time"

// loginPrints is how many fingerprints are kept of a login: who takes turns with more secrets is counted again.
const loginPrints = 64

// loginState is what is known of the guesses of strangers at one login. Times are milliseconds since 1970.
type loginState struct {
	due     int64 // of guessPace
	guesses int   // since a stranger's last success
	last    int64 // the time of the last guess
	held    int64 // until when sources that have guessed are held off
	lane    int64 // until when sources that have not guessed are held off
	tried   prints
}

// answer is what becomes of an attempt at a login.
type answer int

const (
	heldOff answer = iota // do not check it
	repeated
	charged // check it; it counts as a guess until it turns out to be none
)

// admit decides about the attempt of a stranger. A guess is counted before it is checked, so that no number of attempts
// at the same moment gets more than its share.
func (s *loginState) admit(now int64, print uint64, fresh bool) answer {
	if now-s.last > quiet.Milliseconds() {
		s.guesses, s.held, s.lane = 0, 0, 0
	}
	if s.guesses >= maxGuesses && holds(s.until(fresh), now, lastDelay) {
		return heldOff
	}
	if s.tried.has(print) {
		return repeated
	}
	if !guessPace.take(&s.due, now) {
		return heldOff
	}
	s.tried.add(print, loginPrints)
	s.guesses++
	s.last = now
	if over := s.guesses - maxGuesses; over >= 0 {
		s.held = now + min(firstDelay<<min(over, 10), lastDelay).Milliseconds()
		if fresh {
			s.lane = now + freshEvery.Milliseconds()
		}
	}
	return charged
}

func (s *loginState) until(fresh bool) int64 {
	if fresh {
		return s.lane
	}
	return s.held
}

// takeBack undoes the charge for an attempt whose secret was right.
func (s *loginState) takeBack(print uint64) {
	s.tried.remove(print)
	guessPace.giveBack(&s.due)
	if s.guesses--; s.guesses < maxGuesses {
		s.guesses, s.held, s.lane = max(s.guesses, 0), 0, 0
	}
}

// begin begins to count anew: a stranger has signed in.
func (s *loginState) begin() { s.guesses, s.held, s.lane = 0, 0, 0 }

// count is what is kept over a restart, and what other gateways learn.
func (s *loginState) count(id loginID) Count {
	return Count{Kind: LoginCount, Subject: id, Guesses: s.guesses, Guessed: time.UnixMilli(s.last), Held: fromMillis(s.held),
		Due: fromMillis(s.due), Lane: fromMillis(s.lane)}
}

// adopt is the opposite of count; the fingerprints stay.
func (s *loginState) adopt(c Count) {
	s.guesses, s.last, s.held, s.due, s.lane = c.Guesses, millis(c.Guessed), millis(c.Held), millis(c.Due), millis(c.Lane)
}

// fromMillis gives the zero time for 0.
func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// millis is the opposite of fromMillis.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
