package throttle

import (
	"net/netip"
	"time"
)

// source is where attempts come from: an IPv4 address as IPv6 writes it, or the first half of an IPv6 address. It is a
// key without pointers.
type source [16]byte

// sourceBits is how much of an IPv6 address is one source.
const sourceBits = 64

func sourceOf(from netip.Addr) source {
	from = from.Unmap()
	if !from.Is6() {
		if !from.IsValid() {
			return source{}
		}
		return from.As16()
	}
	s := source(from.As16())
	clear(s[sourceBits/8:])
	return s
}

// prefix gives a source as people write it.
func (s source) prefix() netip.Prefix {
	if a := netip.AddrFrom16(s).Unmap(); a.Is4() {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.PrefixFrom(netip.AddrFrom16(s), sourceBits)
}

// sourceState is what is known of the guesses of one source. Times are milliseconds since 1970.
type sourceState struct {
	window  int64 // when the counting of guesses began
	guesses int   // since then
	last    int64 // the time of the last guess
	held    int64 // until when it is held off
	level   int   // how often it was held off already
	repeats int64 // of repeatPace
	turned  int   // how often it was turned away from a login lately
	away    int64 // the last time that it was
	tried   prints
}

// fresh reports whether there was no guess lately, and no hammering at logins that hold strangers off.
func (s *sourceState) fresh(now int64) bool {
	return now-s.last > quiet.Milliseconds() && (s.turned < freshTries || now-s.away > quiet.Milliseconds())
}

// turnAway counts an attempt that was held off by its login.
func (s *sourceState) turnAway(now int64) {
	if now-s.away > quiet.Milliseconds() {
		s.turned = 0
	}
	s.turned = min(s.turned+1, freshTries)
	s.away = now
}

// guess counts a wrong secret, unless it is one of the last. It reports whether it was counted.
func (s *sourceState) guess(now int64, print uint64) bool {
	if s.tried.has(print) {
		return false
	}
	s.tried.add(print, maxSourceGuesses)
	if now-s.last > quiet.Milliseconds() {
		s.level = 0
	}
	if now-s.window > sourceWindow.Milliseconds() || now < s.window {
		s.window, s.guesses = now, 0
	}
	s.guesses++
	s.last = now
	if s.guesses >= maxSourceGuesses {
		s.held = now + (sourceDelay << min(s.level, lastSourceLevel)).Milliseconds()
		s.level = min(s.level+1, lastSourceLevel)
		s.window, s.guesses = now, 0
	}
	return true
}

// count is what is kept over a restart, and what other gateways learn.
func (s *sourceState) count(key source) Count {
	return Count{Kind: SourceCount, Subject: key, Guesses: s.guesses, Level: s.level, Guessed: time.UnixMilli(s.last), Held: fromMillis(s.held),
		Began: fromMillis(s.window)}
}

// adopt is the opposite of count; the fingerprints, and what is no guess, stay. A count of an earlier version does not say
// when it began.
func (s *sourceState) adopt(c Count) {
	s.guesses, s.level, s.last, s.held = c.Guesses, c.Level, millis(c.Guessed), millis(c.Held)
	if s.window = millis(c.Began); s.window == 0 {
		s.window = s.last
	}
}
