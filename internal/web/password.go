package web

import (
	"slices"
	"time"

	"postern/auth/apppassword"
	"postern/internal/config"
)

// soon is how long before its end a page speaks of it.
const soon = 14 * 24 * time.Hour

// condition is how it stands with an app password: the last part of the key of a text.
type condition string

const (
	valid        condition = "valid"
	endsSoon     condition = "ends-soon"     // it expires, or its evidence does
	evidenceOld  condition = "evidence-old"  // suspended until its owner proves a second factor again
	evidenceNone condition = "evidence-none" // the policy does not accept what it stands on
	loginLocked  condition = "locked"
	signInNeeded condition = "sign-in-needed"
	blocked      condition = "blocked" // by the provider
	expired      condition = "expired"
	revoked      condition = "revoked"
)

// mood is the colour in which a page shows a condition.
func (c condition) mood() string {
	switch c {
	case valid:
		return "good"
	case expired, revoked:
		return "over"
	case endsSoon:
		return "warn"
	}
	return "bad"
}

// passwordView is an app password as pages show it.
type passwordView struct {
	apppassword.Record
	Condition condition
	Mood      string
	Use       use
	Over      bool      // revoked or expired: nothing brings it back
	Renewable bool      // new evidence makes it work again, or longer
	Ends      time.Time // when it stops by itself; the zero time means never
	Aged      time.Time // when its evidence no longer counts; the zero time means never
	Until     string    // what Ends is: the key of a text
}

// viewOf looks at an app password of a login.
func viewOf(r apppassword.Record, l Login, now time.Time) passwordView {
	v := passwordView{Record: r, Use: useOf(r.Protocols, r.ReadOnly), Over: !r.InForce(now), Ends: r.Expires, Until: "passwords.ends"}
	mfa := l.Policy.MFA
	if mfa.MaxAge > 0 {
		v.Aged = r.Evidence.At.Add(time.Duration(mfa.MaxAge))
		if v.Ends.IsZero() || v.Aged.Before(v.Ends) {
			v.Ends, v.Until = v.Aged, "passwords.confirm"
		}
	}
	switch {
	case !r.Revoked.IsZero():
		v.Condition = revoked
	case v.Over:
		v.Condition = expired
	case l.Locked:
		v.Condition = loginLocked
	case !mfa.Accepts(r.Evidence.Method):
		v.Condition = evidenceNone
	case mfa.Aged(r.Evidence.At, now):
		v.Condition, v.Until = evidenceOld, "passwords.paused"
	case l.NeedsSignIn:
		v.Condition = signInNeeded
	case l.Refused:
		v.Condition = blocked
	case !v.Ends.IsZero() && v.Ends.Before(now.Add(soon)):
		v.Condition = endsSoon
	default:
		v.Condition = valid
	}
	v.Mood = v.Condition.mood()
	v.Renewable = !v.Over && provable(mfa) && (v.Condition == evidenceNone || !v.Aged.IsZero() && v.Aged.Before(now.Add(soon)))
	return v
}

// provable reports whether a policy accepts any evidence that can be given in the portal.
func provable(m config.MFA) bool {
	return len(m.Evidence) == 0 || slices.ContainsFunc(m.Evidence, func(method string) bool { return method != config.CommandLine })
}

// use is what an app password is for, in the words of the pages: the last part of the key of a text.
type use string

const (
	everything use = "everything" // reads and sends
	sending    use = "sending"
	reading    use = "reading"
	looking    use = "looking" // reads, and changes nothing
)

// useOf gives the use that a password's protocols come to.
func useOf(protocols []string, readOnly bool) use {
	imap, smtp := slices.Contains(protocols, "imap"), slices.Contains(protocols, "smtp")
	switch {
	case readOnly:
		return looking
	case imap && smtp:
		return everything
	case smtp:
		return sending
	}
	return reading
}

// uses gives the uses that a policy allows, the one for a mail program first.
func uses(p *config.Policy) []use {
	imap, smtp := slices.Contains(p.Protocols, "imap"), slices.Contains(p.Protocols, "smtp")
	var all []use
	if imap && smtp {
		all = append(all, everything)
	}
	if smtp {
		all = append(all, sending)
	}
	if imap && !p.IMAP.ReadOnly {
		all = append(all, reading)
	}
	if imap {
		all = append(all, looking)
	}
	return all
}

// protocols gives the protocols of a use, and whether it is read-only.
func (u use) protocols() (protocols []string, readOnly bool) {
	switch u {
	case everything:
		return []string{"imap", "smtp"}, false
	case sending:
		return []string{"smtp"}, false
	case reading:
		return []string{"imap"}, false
	}
	return []string{"imap"}, true
}
