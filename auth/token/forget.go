package token

// Forget drops the tokens that are in memory for the accounts that match picks, and gives their number. What is in the
// store stays: the next use begins with that. A request that is under way is not stopped.
func (s *Source) Forget(match func(Account) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for account, e := range s.entries {
		if !e.access.Token.IsZero() && match(account) {
			e.access = Access{}
			n++
		}
	}
	return n
}
