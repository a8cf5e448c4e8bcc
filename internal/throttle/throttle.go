// Package throttle limits by login and by address. [Guesses] holds off those who guess app passwords: it counts
// distinct wrong secrets for each login and for each source, whatever the protocol, and keeps its counts over a restart.
//
// It decides about attempts and not about people: whether a secret is right is package apppassword's to say, and what
// a held-off client hears is package auth's. It knows nothing of protocols, and of the store only what [Store] says.
//
// # What is counted
//
// A guess is a wrong secret that is new: to the login, and to the source. A printer that repeats one wrong password for
// ever is one event. What tells secrets apart is a keyed fingerprint of 64 bits, in memory alone; no secret is kept.
//
// A source is one IPv4 address, or one IPv6 network of 64 bits. More of an IPv4 network is not one party's: behind a
// hosting provider's /24 are a hundred customers, and one of them could hold off the rest. Less of an IPv6 network is no
// limit: every host has the last 64 bits to itself. Who has a /48 has 65,536 sources, as who has a botnet has; against
// both there are the limits on each login.
//
// # Who is held off
//
// A source from which somebody signed in for a login within the last 30 days is known for that login, and always served
// for it. All others are strangers to the login:
//
//   - At most 20 guesses a minute are checked for one login, however many strangers there are.
//   - After 100 guesses without a stranger's success between them, strangers are checked one at a time, with a delay
//     between that grows from one minute to fifteen. A source that has not guessed at all lately has a lane of its own,
//     one check a minute: a sustained attack does not keep the owner out who is somewhere new.
//   - A source with 20 guesses in 10 minutes, for any logins, is held off from all to which it is a stranger: 10 minutes,
//     then longer, up to 80.
//
// Codes of second factors are short enough to be guessed from anywhere: with [Check.Proved] in the place of [Check.Passed] no
// source becomes known for the person that they are of, so that all of these limits hold for everybody.
//
// No limit shuts out a known source, and none lasts beyond the attack by more than its own delay.
package throttle

import "time"

const (
	// guessPace: ten at once and then one every six seconds are at most twenty in any minute (threat model I-27).
	guessBurst = 10
	guessEvery = 6 * time.Second

	// maxGuesses is how many guesses in a row strangers have at one login before they have to wait (NIST SP 800-63B 3.2.2).
	maxGuesses = 100
	// firstDelay is doubled with each guess after that, up to lastDelay.
	firstDelay = time.Minute
	lastDelay  = 15 * time.Minute
	// freshEvery is the pace of the lane for sources that have not guessed. Who was turned away freshTries times is not one
	// of them any more: an attacker's addresses would stand in the lane for ever.
	freshEvery = time.Minute
	freshTries = 5

	// maxSourceGuesses within sourceWindow hold a source off for sourceDelay, which is doubled each time, lastSourceLevel
	// times at most.
	maxSourceGuesses = 20
	sourceWindow     = 10 * time.Minute
	sourceDelay      = 10 * time.Minute
	lastSourceLevel  = 3

	// repeatBurst and repeatEvery pace a source that repeats wrong secrets: they are no guesses, and cost a look-up and a
	// line in the audit log each.
	repeatBurst = 30
	repeatEvery = 2 * time.Second

	// quiet is how long counts are kept without a new guess.
	quiet = 24 * time.Hour
	// knownFor is how long a source is known for a login after a sign-in.
	knownFor = 30 * 24 * time.Hour
	// knownStep is how old the record of a sign-in has to be before the next one renews it: nobody needs it finer.
	knownStep = time.Hour

	// The most that is remembered, in entries. When there is more, the entry that was not touched for longest goes.
	maxLogins  = 16 << 10
	maxSources = 64 << 10
	maxKnown   = 64 << 10
)

// pace allows burst events at once and then one every so many milliseconds (GCRA). Its state is one number: when the
// next event would be due if events came evenly.
type pace struct{ burst, every int64 }

var (
	guessPace  = pace{guessBurst, guessEvery.Milliseconds()}
	repeatPace = pace{repeatBurst, repeatEvery.Milliseconds()}
)

// take takes one event if there is one to be had.
func (p pace) take(due *int64, now int64) bool {
	if *due > now+2*p.burst*p.every { // from before the clock was set back (threat model I-48); other gateways' clocks differ by less
		*due = now
	}
	next := max(*due, now)
	if next-now > (p.burst-1)*p.every {
		return false
	}
	*due = next + p.every
	return true
}

// holds reports whether somebody is held off until a time, of which most is the longest that there is. One that is twice as far away
// is from before the clock was set back, and does not count: a clock that is set locks nobody out (threat model I-48).
func holds(until, now int64, most time.Duration) bool {
	return now < until && until <= now+2*most.Milliseconds()
}

// giveBack undoes take.
func (p pace) giveBack(due *int64) { *due -= p.every }
