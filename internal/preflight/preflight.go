// Package preflight tries everything that lies between this machine and a mailbox, as a gateway of a configuration would
// meet it, and says of each step what was seen and what mends it.
//
// It uses what a gateway uses: the same source of tokens, and the same dialogues with upstream. It alters nothing: no mailbox,
// no setting, and it sends no mail unless it is told to. What Exchange Online and Entra answer is explained by package
// diagnosis; what is concluded from several answers together is concluded here.
//
// What is opened first (the keys, the store, the audit log) is the caller's, package gateway's; who types the command and what it
// looks like is package cmd/postern's.
package preflight

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/auth"
	"postern/auth/token"
	"postern/imapproxy"
	"postern/internal/config"
	"postern/smtpproxy"
)

// Verdict is what became of a step.
type Verdict string

const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // it works, and will not for long, or not for everything
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped" // it was not tried, or cannot be told
)

// Line is what became of one step.
type Line struct {
	Subject string  `json:"subject"` // machine, provider NAME or login NAME
	Check   string  `json:"check"`   // the step
	Verdict Verdict `json:"verdict"`
	Seen    string  `json:"seen"`
	Fix     string  `json:"fix,omitempty"`
	Command string  `json:"command,omitempty"` // see [diagnosis.Diagnosis]
}

// Provider is a provider of the configuration with the ways to it.
type Provider struct {
	Name     string
	Settings *config.Provider
	IMAP     imapproxy.Upstream
	SMTP     smtpproxy.Upstream
}

// Plan is what is to be tried.
type Plan struct {
	Config    *config.Config
	Providers []Provider
	Logins    []auth.Mapping
	// Tokens gives upstream access tokens; see [token.Source.Use].
	Tokens interface {
		Use(ctx context.Context, account token.Account, do func(context.Context, token.Access) error) error
	}
	Running bool   // a gateway with this configuration is running
	Offline bool   // nothing is connected to
	SendTo  string // an address to which each login that may send sends one message; empty for none
	Now     func() time.Time
}

const (
	// stepTime bounds one connection of the steps that sign nobody in.
	stepTime = 15 * time.Second
	// subjectTime bounds all steps of a provider or of a login.
	subjectTime = 3 * time.Minute
	// together is how many logins are tried at once: fewer than one mailbox may have sessions, and few enough to be no load.
	together = 4
)

// Run tries all of it. told is given the lines of one subject after the other, in the order of the plan, as soon as they are
// there; it is not called twice at once. Run ends early only with ctx, and then what was not tried is marked so.
func Run(ctx context.Context, p Plan, told func([]Line)) {
	told(p.machine(ctx))
	reached := make(map[string]reach)
	for _, provider := range p.Providers {
		lines, r := p.provider(ctx, provider)
		reached[provider.Name] = r
		told(lines)
	}
	results := make([]chan []Line, len(p.Logins))
	for i := range results {
		results[i] = make(chan []Line, 1)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, together)
	wait.Go(func() {
		for i, login := range p.Logins {
			slots <- struct{}{}
			wait.Go(func() {
				results[i] <- p.login(ctx, login, reached[login.Account.Provider])
				<-slots
			})
		}
	})
	for _, result := range results {
		told(<-result)
	}
	wait.Wait()
}

// Worst gives the worst verdict of lines: failed, then warning, then ok.
func Worst(lines []Line) Verdict {
	worst := OK
	for _, l := range lines {
		if l.Verdict == Failed || l.Verdict == Warning && worst == OK {
			worst = l.Verdict
		}
	}
	return worst
}

// sheet collects the lines of one subject.
type sheet struct {
	subject string
	lines   []Line
}

func (s *sheet) add(check string, v Verdict, fix, command, format string, arguments ...any) {
	s.lines = append(s.lines, Line{s.subject, check, v, fmt.Sprintf(format, arguments...), fix, command})
}

func (s *sheet) ok(check, format string, arguments ...any) {
	s.add(check, OK, "", "", format, arguments...)
}

func (s *sheet) skip(check, format string, arguments ...any) {
	s.add(check, Skipped, "", "", format, arguments...)
}

// skipRest marks the checks that have no line yet.
func (s *sheet) skipRest(checks []string, why string) {
	for _, check := range checks {
		if !slices.ContainsFunc(s.lines, func(l Line) bool { return l.Check == check }) {
			s.skip(check, "%s", why)
		}
	}
}
