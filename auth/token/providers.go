package token

import (
	"maps"
)

// provider gives the provider of a name.
func (s *Source) provider(name string) (*Microsoft, bool) {
	provider, known := (*s.providers.Load())[name]
	return provider, known
}

// noProvider is the failure of an account whose provider there is not.
func noProvider(account Account) *Error {
	return &Error{Account: account, Class: Misconfigured, Advice: "there is no provider " + account.Provider + " in the configuration"}
}

// SetProviders puts providers, by their names, in the place of those that there were. A name with the same *Microsoft as
// before goes on undisturbed. Of a name whose provider asks another tenant or for another application, and of one that is
// gone, no token is handed out any more; requests that are under way for it end, and nobody gets what they bring. Where
// it asks the same with another credential, tokens stay good and a refusal is forgotten: the new credential may have
// mended it.
func (s *Source) SetProviders(next map[string]*Microsoft) {
	next = maps.Clone(next)
	s.mu.Lock()
	before := *s.providers.Swap(&next)
	for account, e := range s.entries {
		was, is := before[account.Provider], next[account.Provider]
		switch {
		case was == is:
		case was == nil || is == nil || !was.sameApplication(is):
			delete(s.entries, account) // a flight settles the entry that it began with, which nobody looks at any more
		case e.refusal != nil && !e.refusal.RetryAt.IsZero():
			e.refusal, e.failures, e.refusals = nil, 0, 0
		}
	}
	s.mu.Unlock()
	for name, was := range before {
		if next[name] != was {
			was.client.CloseIdleConnections()
		}
	}
}

// sameApplication reports whether the tokens of one provider are as good as the other's.
func (m *Microsoft) sameApplication(n *Microsoft) bool {
	return m.authority == n.authority && m.clientID == n.clientID && m.applicationScope == n.applicationScope
}
