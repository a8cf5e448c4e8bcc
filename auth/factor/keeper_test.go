package factor

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/secret"
)

func TestTheFirstFactorNeedsAFreshSignIn(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	w.now = w.now.Add(Fresh + time.Second)
	w.refuses("a stale sign-in", w.BeginTOTP(t.Context(), a), SignInStale)
	_, err := w.BeginPasskey(t.Context(), a)
	w.refuses("a stale sign-in, for a passkey", err, SignInStale)
	a.Proof = Proof{Factor: "gone", Method: TOTP, At: w.now} // of nothing that the person has
	w.refuses("a proof instead", w.BeginTOTP(t.Context(), a), SignInStale)
	a.SignedIn = w.now.Add(time.Hour)
	w.refuses("a sign-in in the future", w.BeginTOTP(t.Context(), a), SignInStale)
	w.must(w.BeginTOTP(t.Context(), w.alice("b1")))
}

func TestAFurtherFactorNeedsAProof(t *testing.T) {
	w := newWorld(t)
	_, _, proof := w.enrolTOTP(w.alice("b1"), "telephone")
	w.recorded()
	a := w.alice("b1")
	w.refuses("no proof", w.BeginTOTP(t.Context(), a), ProofNeeded)
	_, err := w.BeginPasskey(t.Context(), a)
	w.refuses("no proof, for a passkey", err, ProofNeeded)
	a.Proof = proof
	w.must(w.BeginTOTP(t.Context(), a))
	w.now = w.now.Add(Fresh + time.Second)
	_, _, err = w.FinishTOTP(t.Context(), a, "tablet", secret.New("123456"))
	w.refuses("a proof that became stale on the way", err, ProofNeeded)
}

func TestAProofByARemovedFactorIsNone(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	_, first, proof := w.enrolTOTP(a, "telephone")
	a.Proof = proof
	_, _, second := w.enrolTOTP(a, "tablet")
	w.must(w.Remove(t.Context(), a, first.ID))
	w.recorded()
	w.refuses("by the removed one", w.BeginTOTP(t.Context(), a), ProofNeeded)
	a.Proof = second
	w.must(w.BeginTOTP(t.Context(), a))
}

// Somebody who has the person's password at the provider, and no more, begins a first factor before its owner does: the
// owner's comes first, and the other's is not kept.
func TestTwoFirstFactorsAreOne(t *testing.T) {
	w := newWorld(t)
	w.must(w.BeginTOTP(t.Context(), w.alice("thief")))
	stolen, err := w.PendingTOTP(t.Context(), w.alice("thief"))
	w.must(err)
	w.store.meanwhile = func() { // between the look at what there is and the change
		w.store.meanwhile = func() {
			w.enrolTOTP(w.alice("owner"), "telephone")
			w.recordedAs("factor-enrolled factor-enrolled")
		}
	}
	_, _, err = w.FinishTOTP(t.Context(), w.alice("thief"), "telephone", w.code(stolen.Key.Reveal()))
	w.refuses("the other one", err, ProofNeeded)
	if len(w.store.factors) != 1 {
		t.Errorf("there are %d factors, want 1", len(w.store.factors))
	}
}

func TestFactorsAreNamedAndRemoved(t *testing.T) {
	w := newWorld(t)
	_, first, proof := w.enrolTOTP(w.alice("b1"), "telephone")
	a := w.alice("b1")
	w.recorded()
	w.must(w.Rename(t.Context(), a, first.ID, "old telephone"))
	w.recordedAs("factor-renamed")
	for _, name := range []string{"", " ", "a\nb", strings.Repeat("x", maxName+1), "\xff"} {
		if err := w.Rename(t.Context(), a, first.ID, name); ReasonOf(err) != BadName {
			t.Errorf("name %q: got %v, want it refused", name, err)
		}
	}
	w.refuses("removing without a proof", w.Remove(t.Context(), a, first.ID), ProofNeeded)
	a.Proof = proof
	mallory := a
	mallory.Person.ObjectID = "mallory"
	for what, err := range map[string]error{
		"removing another's": w.Remove(t.Context(), mallory, first.ID), "renaming another's": w.Rename(t.Context(), mallory, first.ID, "mine"),
		"removing none": w.Remove(t.Context(), a, "absent"),
	} {
		if ReasonOf(err) != UnknownFactor {
			t.Errorf("%s: got %v, want no such factor", what, err)
		}
	}
	w.recordedAs("")
	if _, err := w.Factor(t.Context(), a.Person, first.ID); err != nil {
		t.Errorf("got %v; want it there", err)
	}
	w.must(w.Remove(t.Context(), a, first.ID))
	w.recordedAs("factor-removed")
	if _, err := w.Factor(t.Context(), a.Person, first.ID); ReasonOf(err) != UnknownFactor {
		t.Errorf("got %v; want it gone", err)
	}
}

func TestAfterAResetTheNextFactorIsTheFirst(t *testing.T) {
	w := newWorld(t)
	_, _, proof := w.enrolTOTP(w.alice("b1"), "telephone")
	w.recorded()
	n, err := Reset(t.Context(), w.store, w, w.alice("b1").Person, "alice@contoso.example", "root")
	w.must(err)
	w.recordedAs("factors-reset")
	if n != 1 || len(w.store.factors) != 0 {
		t.Errorf("removed %d, left %d; want 1 and 0", n, len(w.store.factors))
	}
	w.now = w.now.Add(time.Minute)
	old := w.alice("b1")
	old.Proof, old.SignedIn = proof, w.now.Add(-time.Hour)
	w.refuses("the proof of before", w.BeginTOTP(t.Context(), old), SignInStale)
	w.must(w.BeginTOTP(t.Context(), w.alice("b1")))
}

func TestFactorsHaveALimit(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	for i := range maxFactors {
		_, _, proof := w.enrolTOTP(a, fmt.Sprint("number ", i))
		a.Proof = proof
	}
	w.recorded()
	w.refuses("one more", w.BeginTOTP(t.Context(), a), TooMany)
}

func TestI43WhatCannotBeRecordedIsNotDone(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	key, f, proof := w.enrolTOTP(a, "telephone")
	a.Proof = proof
	w.must(w.BeginTOTP(t.Context(), a))
	pending, err := w.PendingTOTP(t.Context(), a)
	w.must(err)
	w.now = w.now.Add(time.Minute)
	w.hushed = errors.New("the disk is full")
	if _, _, err := w.FinishTOTP(t.Context(), a, "tablet", w.code(pending.Key.Reveal())); !errors.Is(err, w.hushed) {
		t.Errorf("enrolling: got %v", err)
	}
	if _, err := w.ProveTOTP(t.Context(), a, w.code(key)); !errors.Is(err, w.hushed) {
		t.Errorf("proving: got %v", err)
	}
	if err := w.Rename(t.Context(), a, f.ID, "other"); !errors.Is(err, w.hushed) {
		t.Errorf("renaming: got %v", err)
	}
	if err := w.Remove(t.Context(), a, f.ID); !errors.Is(err, w.hushed) {
		t.Errorf("removing: got %v", err)
	}
	if _, err := Reset(t.Context(), w.store, w, a.Person, "alice", "root"); !errors.Is(err, w.hushed) {
		t.Errorf("resetting: got %v", err)
	}
	if len(w.store.factors) != 1 || w.store.factors[0].Name != "telephone" {
		t.Errorf("got %+v, want the one from before", w.store.factors)
	}
}

func TestAStoreThatFailsRefusesNothing(t *testing.T) {
	w := newWorld(t)
	w.enrolTOTP(w.alice("b1"), "telephone")
	w.recorded()
	w.store.fail = errDown
	_, err := w.ProveTOTP(t.Context(), w.alice("b1"), secret.New("123456"))
	if !errors.Is(err, errDown) || ReasonOf(err) != "" {
		t.Errorf("got %v, want the store's error and no refusal", err)
	}
	w.recordedAs("")
}

func TestI41AKeyIsInNoError(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	w.must(w.BeginTOTP(t.Context(), a))
	pending, err := w.PendingTOTP(t.Context(), a)
	w.must(err)
	key := strings.ReplaceAll(pending.Key.Reveal(), " ", "")
	_, _, err = w.FinishTOTP(t.Context(), a, "telephone", secret.New("000000"))
	shown := fmt.Sprintf("%v %+v %#v %v %v", err, pending, pending, w.events, w.store.ceremonies)
	if strings.Contains(shown, key) {
		t.Errorf("the key is in %s", shown)
	}
}

func TestPasskeysNeedAHostName(t *testing.T) {
	for portal, want := range map[string]bool{"https://mail.contoso.example": true, "https://10.0.8.2:8443": false, "https://[::1]:8443": false} {
		u, err := url.Parse(portal)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t)
		if w.Keeper, err = New(Config{Store: w.store, Guesses: &w.guesses, Audit: w, Portal: u, Issuer: "Postern", Now: func() time.Time { return w.now }}); err != nil {
			t.Fatal(err)
		}
		if got := w.Passkeys(); got != want {
			t.Errorf("%s: passkeys are possible: got %v, want %v", portal, got, want)
		}
		if _, err := w.BeginPasskey(t.Context(), w.alice("b1")); (err == nil) != want {
			t.Errorf("%s: got %v, want a beginning: %v", portal, err, want)
		}
	}
}
