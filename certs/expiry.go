package certs

import "time"

// thresholds are how many days before its end a certificate is warned of, the last one first.
var thresholds = []int{1, 7, 30}

// Expiry remembers which certificates were warned of. The zero value has warned of none. It is not safe for concurrent use.
type Expiry struct {
	warned map[string]int // fingerprint → the lowest threshold, in days, that was told
}

// Warning is a certificate that ends soon.
type Warning struct {
	Info
	Days int // it has this many days at most, or has ended with 0
}

// Due gives the certificates that have come below 30, 7 or 1 days, or have ended, since they were asked for last. One that
// is close to its end from the start is told once, and not for every threshold that it is below.
func (e *Expiry) Due(shown []Info, now time.Time) []Warning {
	fresh := make(map[string]int)
	var due []Warning
	for _, c := range shown {
		days, near := threshold(c.NotAfter.Sub(now))
		if !near {
			continue
		}
		if before, told := e.warned[c.SHA256]; !told || days < before {
			due = append(due, Warning{c, days})
		}
		fresh[c.SHA256] = days
	}
	e.warned = fresh
	return due
}

// threshold gives the lowest threshold that what is left of a life is below; 0 where nothing is left.
func threshold(left time.Duration) (days int, near bool) {
	if left <= 0 {
		return 0, true
	}
	for _, days := range thresholds {
		if left <= time.Duration(days)*24*time.Hour {
			return days, true
		}
	}
	return 0, false
}
