// Package storetest says what a store has to do, whatever its engine. A test of an engine calls [Run].
package storetest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"postern/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Run tests stores as open gives them: each one new and empty. open closes them at the end of its test.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *store.Store)
	}{
		{"passwords are found again", passwordsFound},
		{"passwords are listed by login and age", passwordsListed},
		{"passwords are unique", passwordsUnique},
		{"a password is found under any of its hashes", passwordByAnyHash},
		{"a revoked password stays and keeps its time", passwordRevoked},
		{"the last use of a password is kept", usesStamped},
		{"text of strangers is stored safely", strangeText},
		{"logins are locked and unlocked", locks},
		{"lockdowns keep out those within their scope", lockdowns},
		{"tokens are forgotten account by account", tokensForgotten},
		{"withdrawals are told in their order", withdrawals},
		{"sessions of the portal are found, changed and ended", portalSessions},
		{"a sign-in to the portal comes back once", portalStates},
		{"token caches are kept apart", tokenCaches},
		{"a token cache is what was saved last", tokenCacheReplaced},
		{"accounts are found and listed", accounts},
		{"the standing of an account changes", accountStanding},
		{"accounts that nobody uses are found", idleAccounts},
		{"an account that changes hands leaves no tokens", anotherPerson},
		{"a lease has one holder", leases},
		{"an enrolment is kept whole or not at all", enrolment},
		{"counts of guesses are kept", guessesKept},
		{"old counts of guesses are removed", guessesPruned},
		{"new evidence takes the place of old", evidenceRenewed},
		{"a token cache has the time of its saving", tokenCacheAge},
		{"factors are kept apart", factorsKept},
		{"a factor is used once", factorUsedOnce},
		{"a person's factors are reset", factorsReset},
		{"a ceremony is taken once", ceremonies},
		{"a message of the queue is claimed by one", claimedOnce},
		{"guesses count together", guessesCountTogether},
		{"limits hold for all together", limitsHoldTogether},
		{"places hold for all together", placesHoldTogether},
		{"a node is buried once, and never alive", buriedOnce},
		{"a message is taken over or kept", takenOverOrKept},
		{"changes of a pace all count", paceChangesAll},
		{"the first factor is one", firstFactorIsOne},
		{"withdrawals are seen by all", withdrawalsAreSeen},
		{"nobody waits in a circle", nobodyWaitsInACircle},
		{"enrolments leave no orphan", enrolmentsLeaveNoOrphan},
		{"certificate items are paths", certificateItems},
		{"a lease of a certificate has one holder", certificateLeases},
		{"an ended context ends a call", endedContext},
		{"concurrent use loses nothing", concurrentUse},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// start is when the tests' rows were made; with a fraction, to see what becomes of it.
var start = time.Date(2026, 11, 24, 9, 0, 0, 123456789, time.UTC)

// kept is a time as a store gives it back.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, addresses); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func notFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: got %v, want an error that wraps ErrNotFound", what, err)
	}
}
