package gateway

import (
	"context"
	"errors"
	"fmt"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/queue"
	"postern/internal/store"
)

// lockdownBars is why a message is barred whose login is within a lockdown.
const lockdownBars = "a lockdown is on; postern lockdown status shows it"

// openQueue opens the queue of the configuration. It delivers nothing yet.
func (g *Gateway) openQueue(ctx context.Context) (*queue.Queue, error) {
	c := g.generation().config
	return queue.Open(ctx, queue.Config{
		Domain: c.Domain, Store: g.state.Store, Files: queue.TemporaryFiles(c.Spool),
		Identities: submitters{generation: g.generation, store: g.state.Store},
		Audit:      g.state.Audit, Log: g.log,
	})
}

// submitters says who may send, as the configuration and the store have it at the moment.
type submitters struct {
	generation func() *generation
	store      *store.Store
}

// Barred gives in words why a submitter may not send any more; empty when it may. The login has to be mapped to what it
// was mapped to when the message was accepted: what another identity was told is not this one's to send (threat model
// I-09).
func (s submitters) Barred(ctx context.Context, submitter queue.Submitter, released bool) (string, error) {
	mapping, known := s.generation().directory.Lookup(submitter.Login)
	account := token.Account{Provider: submitter.Provider, Grant: token.Grant(submitter.Grant), Name: submitter.Account}
	switch {
	case !known:
		return "the configuration does not have the login any more", nil
	case mapping.Account != account || mapping.Mailbox != submitter.Mailbox || mapping.User(auth.SMTP) != submitter.User:
		return "the configuration maps the login to another mailbox or account now", nil
	}
	locked, lockdown, err := s.store.Locked(ctx, mapping.Login, mapping.Policy.Name)
	switch {
	case err != nil:
		return "", err
	case lockdown:
		return lockdownBars, nil
	case locked:
		return "the login is locked", nil
	case released || submitter.Password == "":
		return "", nil
	}
	password, err := s.store.Password(ctx, submitter.Password)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "the app password that submitted it is gone", nil
	case err != nil:
		return "", err
	case !password.Revoked.IsZero():
		return fmt.Sprintf("the app password %s that submitted it is revoked", password.ID), nil
	}
	return "", nil
}

// Limits gives the limits of a login: those of its provider for the mailbox, and those of its policy for itself.
func (s submitters) Limits(login string) queue.Limits {
	g := s.generation()
	mapping, known := g.directory.Lookup(login)
	if !known {
		return queue.Limits{Connections: 1}
	}
	l := queue.Limits{LoginPerMinute: mapping.Policy.Limits.MessagesPerMinute}
	if provider := g.config.Providers[mapping.Account.Provider]; provider != nil {
		l.Connections, l.PerMinute, l.RecipientsPerDay = provider.SMTPConnections, provider.SMTPMessages, provider.SMTPRecipients
	}
	return l
}

// limits gives the limits of a login of the configuration.
func (a *Admin) limits(login string) queue.Limits {
	g := &generation{config: a.config, directory: a.directory}
	return submitters{generation: func() *generation { return g }, store: a.state.Store}.Limits(login)
}
