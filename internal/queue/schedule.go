package queue

import (
	"hash/fnv"
	"time"
)

// The schedule of tries (threat model I-07; RFC 5321 section 4.5.4.1).
const (
	firstDelay = 3 * time.Minute
	// longestDelay grows to 70 minutes at most by a message's own factor.
	longestDelay = 64 * time.Minute
	// furthest is further away than any next try can be. What is, was planned before the clock was set back.
	furthest = 75 * time.Minute
	// furthestLimit is the same for a login's own limit, which is that of a minute.
	furthestLimit = 2 * time.Minute
	// patience is how much waiting ends in a bounce. It is waiting between tries that counts, and not the clock on the wall:
	// one that jumps, or a gateway that was switched off, bounces nothing early (I-48).
	patience = 4*24*time.Hour + 12*time.Hour
	// warnAfter is how much waiting the sender is told of.
	warnAfter = 4 * time.Hour
)

// delay gives the time between a message's try of a number, from 1, and the next one. It doubles from 3 minutes on and is
// capped. Each message stretches it by a factor of its own between 0.91 and 1.09, which spreads those that failed together
// and never lets one message's tries come faster.
func delay(id string, try int) time.Duration {
	d := firstDelay
	for ; try > 1 && d < longestDelay; try-- {
		d *= 2
	}
	d = min(d, longestDelay)
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id))
	return d * time.Duration(910+sum.Sum32()%181) / 1000
}
