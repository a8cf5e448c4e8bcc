package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as the file writes it: Go's form, and d and w for days and weeks, as in 90d.
type Duration time.Duration

// ParseDuration reads a duration: a number of days or weeks, or what time.ParseDuration takes. It is not negative.
func ParseDuration(s string) (Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			if err != nil {
				return 0, fmt.Errorf("%q is not a duration; write it like 90d, 12h or 30m", s)
			}
			return Duration(time.Duration(n) * length), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write it like 90d, 12h or 30m", s)
	}
	return Duration(d), nil
}

// String gives the duration in the file's form.
func (d Duration) String() string {
	const day = 24 * time.Hour
	if t := time.Duration(d); t >= day && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	return time.Duration(d).String()
}
