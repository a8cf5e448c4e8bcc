package auth

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"time"

	"postern/internal/audit"
)

const (
	// diaryWindow is the time for which the number of lines about guesses is bounded.
	diaryWindow = time.Minute
	// guessLines and heldOffLines are how many of them there are in a window. A line has some 400 bytes, and 3,500 with the
	// longest names that a stranger can give, all of it escaped: so 200 MB a day, and less than 2 GB whatever comes.
	guessLines   = 300
	heldOffLines = 60
	// talliedNames is how many logins and addresses are counted in a window, to name the topNames most frequent.
	talliedNames = 1000
	topNames     = 10
)

// diary puts attempts into the audit log, so that a flood of guesses cannot fill the disk: each decision has its line,
// but of guesses, and of attempts that were held off, a window has so many; those beyond are counted, and the window's
// end sums them up in one line. Nothing else is ever left out. A crash loses the count of one window.
type diary struct {
	log Recorder
	now func() time.Time

	mu      sync.Mutex
	since   time.Time      // when the window began
	written map[Reason]int // lines of the window by reason; unknown-login and wrong-password together
	sum     *summary       // nil when nothing was left out
	timer   *time.Timer    // ends the window once there is a summary
}

// summary is what was left out of a window.
type summary struct {
	reasons         map[string]int
	logins, remotes map[string]int
}

// record records an attempt: in a line of its own, or in the window's summary.
func (d *diary) record(e audit.SignIn) error {
	class, limit := Reason(e.Reason), guessLines
	switch class {
	case UnknownLogin, UnknownAddress, WrongPassword:
		class = WrongPassword
	case HeldOff:
		limit = heldOffLines
	default:
		return d.log.Record(e)
	}
	whole, err := d.room(class, limit, e)
	if !whole || err != nil {
		return err
	}
	return d.log.Record(e)
}

// room reports whether the window has room for one more line of a class. If not, it adds the event to the summary.
func (d *diary) room(class Reason, limit int, e audit.SignIn) (whole bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); now.Sub(d.since) >= diaryWindow || now.Before(d.since) {
		if err := d.sumUp(); err != nil {
			return false, err
		}
		d.since, d.written = now, make(map[Reason]int)
	}
	if d.written[class] < limit {
		d.written[class]++
		return true, nil
	}
	if d.sum == nil {
		d.sum = &summary{make(map[string]int), make(map[string]int), make(map[string]int)}
		d.timer = time.AfterFunc(diaryWindow, d.endWindow)
	}
	d.sum.reasons[e.Reason]++
	tally(d.sum.logins, e.Login)
	host, _, _ := net.SplitHostPort(e.Remote)
	tally(d.sum.remotes, host)
	return false, nil
}

// tally counts a name, unless there are too many others.
func tally(names map[string]int, name string) {
	if _, known := names[name]; known || len(names) < talliedNames {
		names[name]++
	}
}

// endWindow sums a window up after which nobody came.
func (d *diary) endWindow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sum != nil && d.sumUp() != nil { // tried again; whoever is denied meanwhile is told that the gateway is not available
		d.timer = time.AfterFunc(diaryWindow, d.endWindow)
	}
}

// sumUp writes the summary, if there is one, and keeps it when that fails. The caller holds the lock.
func (d *diary) sumUp() error {
	if d.sum == nil {
		return nil
	}
	e := audit.SignInsRefused{Since: d.since.UTC(), Until: d.now().UTC(), Reasons: d.sum.reasons,
		Logins: top(d.sum.logins), Remotes: top(d.sum.remotes)}
	for _, n := range d.sum.reasons {
		e.Attempts += n
	}
	if err := d.log.Record(e); err != nil {
		return err
	}
	d.timer.Stop()
	d.sum = nil
	return nil
}

// close sums up what is left.
func (d *diary) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.sumUp()
	if d.sum != nil {
		d.timer.Stop()
		d.sum = nil
	}
	return err
}

// top gives the most frequent names.
func top(names map[string]int) []audit.Tally {
	all := make([]audit.Tally, 0, len(names))
	for name, n := range names {
		all = append(all, audit.Tally{Name: name, Attempts: n})
	}
	slices.SortFunc(all, func(a, b audit.Tally) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), topNames)]
}
