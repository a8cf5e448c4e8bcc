package gateway

import (
	"context"
	"slices"

	"postern/auth"
	"postern/auth/token"
	"postern/internal/config"
	"postern/internal/store"
)

// policyOf gives the policy that the configuration has for a login; empty for a login that it does not know.
func (g *Gateway) policyOf(login string) string { return policyOf(g.generation().directory, login) }

func policyOf(directory *auth.Directory, login string) string {
	if mapping, known := directory.Lookup(login); known {
		return mapping.Policy.Name
	}
	return ""
}

// forgetTokens drops the tokens in memory of those within a scope.
func (g *Gateway) forgetTokens(scope store.Scope) {
	current := g.generation()
	n := g.tokens.Forget(func(account token.Account) bool { return opensFor(current.config, current.directory, account, scope) })
	g.log.Info("tokens forgotten", "scope", scope.String(), "count", n)
}

// opensFor reports whether an account's token opens a mailbox for somebody within a scope.
func opensFor(c *config.Config, directory *auth.Directory, account token.Account, scope store.Scope) bool {
	if scope.Kind == store.ScopeAll {
		return true
	}
	if account.Grant == token.Application { // match rules may have it as well, and they have no logins to ask for
		return slices.ContainsFunc(c.Users, func(u config.User) bool {
			return u.Provider == account.Provider && token.Grant(u.Grant) == token.Application && scope.Has(auth.Canonical(u.Login), u.Policy)
		})
	}
	return slices.ContainsFunc(directory.LoginsOf(account), func(m auth.Mapping) bool { return scope.Has(m.Login, m.Policy.Name) })
}

// lockdownsByScope counts the lockdowns that are on, for the figures. A kind of scope without any has a zero.
func (g *Gateway) lockdownsByScope(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{string(store.ScopeLogin): 0, string(store.ScopePolicy): 0, string(store.ScopeAll): 0}
	all, err := g.state.Store.Lockdowns(ctx)
	for _, l := range all {
		counts[string(l.Kind)]++
	}
	return counts, err
}
