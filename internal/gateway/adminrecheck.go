package gateway

import (
	"context"
	"fmt"
	"log/slog"

	"postern/auth"
	"postern/auth/token"
)

// Recheck has the provider asked again for the persons behind logins, or, where none is named, for everybody whom it
// refuses. told is given each login with what came of it, and ends the matter with an error of its own. An account that
// several logins are for is asked about once.
func (a *Admin) Recheck(ctx context.Context, logins []string, log *slog.Logger, told func(login string, err error) error) error {
	mappings, err := a.toRecheck(ctx, logins)
	if err != nil {
		return err
	}
	up, err := newUpstreams(a.config.Providers, nil)
	if err != nil {
		return err
	}
	source := token.NewSource(token.Config{Providers: up.tokens(), Store: tokenStore{a.state.Store}, Audit: a.state.Audit, Log: log})
	defer source.Close()
	asked := make(map[token.Account]bool)
	for _, mapping := range mappings {
		if asked[mapping.Account] {
			continue
		}
		asked[mapping.Account] = true
		if err := told(mapping.Login, source.Recheck(ctx, mapping.Account, a.by)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// toRecheck gives what the configuration makes of logins, or of all that are refused.
func (a *Admin) toRecheck(ctx context.Context, logins []string) ([]auth.Mapping, error) {
	var mappings []auth.Mapping
	for _, login := range logins {
		mapping, err := a.mapping(login)
		if err != nil {
			return nil, err
		}
		if mapping.Account.Grant == token.Application {
			return nil, fmt.Errorf("%s has grant: application: the gateway asks by itself, at least every hour", mapping.Login)
		}
		mappings = append(mappings, mapping)
	}
	if len(logins) > 0 {
		return mappings, nil
	}
	users, err := a.Users(ctx)
	for _, u := range users {
		if u.State == Refused {
			mappings = append(mappings, u.Mapping)
		}
	}
	return mappings, err
}
