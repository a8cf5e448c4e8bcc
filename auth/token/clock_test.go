package token

import (
	"testing"
	"time"
)

// TestI48TokenLife: however far the clock was set between a token's coming and now, it has the life left that it has. What tells the
// time that passed is the monotonic clock, which such times carry and that of the wall alone does not.
func TestI48TokenLife(t *testing.T) {
	obtained := time.Now()
	for name, expires := range map[string]time.Time{
		"with a monotonic reading": obtained.Add(time.Hour),
		"of the wall":              obtained.Add(time.Hour).Round(0),
	} {
		a := granted("token", obtained, expires)
		if a.Expires == a.Expires.Round(0) || a.Obtained == a.Obtained.Round(0) {
			t.Errorf("%s: its times go by the clock on the wall", name)
		}
		if got := a.life(); got != time.Hour {
			t.Errorf("%s: a life of %v, want an hour", name, got)
		}
	}
}
