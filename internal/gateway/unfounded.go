package gateway

import (
	"time"

	"postern/auth"
	"postern/internal/session"
)

// cutUnfounded ends the sessions that have nothing to stand on in the next generation: their provider is another's, or the
// directory does not uphold what they were given. It gives their number.
func (g *Gateway) cutUnfounded(before, next *generation) int {
	moved := next.upstreams.moved(before.upstreams)
	cut := g.withdrawals.cut(causeReconfigured, func(i session.Info) bool { return moved[i.Grant.(*auth.Grant).Account.Provider] })
	cut += g.withdrawals.recheck(next.directory)
	g.withdrawals.directory.Store(&directoryUntil{next.directory, time.Now().Add(withdrawalMemory)})
	return cut
}

// directoryUntil is a directory that came into force not long ago, with when it is no longer news.
type directoryUntil struct {
	*auth.Directory
	until time.Time
}

// recheck holds every session against a directory. A session whose sign-in was decided just before the directory came into
// force gets into the register just after; so it is done again for as long as that may be. It gives the number of those it cut.
func (w *withdrawals) recheck(d *auth.Directory) int {
	now := w.now()
	judge := func(i session.Info) (time.Time, bool) {
		return d.Upholds(auth.Protocol(i.Protocol), i.Remote.Addr(), i.Grant.(*auth.Grant), now)
	}
	n := w.cut(causeReconfigured, func(i session.Info) bool {
		_, upheld := judge(i)
		return !upheld
	})
	w.sessions.Expire(func(i session.Info) time.Time {
		expires, upheld := judge(i)
		if !upheld {
			return i.Expires
		}
		return expires
	})
	return n
}
