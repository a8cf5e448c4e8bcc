package factor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/secret"
)

func TestAnAuthenticatorIsEnrolledAndProves(t *testing.T) {
	w := newWorld(t)
	key, f, proof := w.enrolTOTP(w.alice("b1"), " telephone ")
	w.recordedAs("factor-enrolled")
	if f.Name != "telephone" || f.Method != TOTP || proof.Factor != f.ID || proof.Method != TOTP || !proof.At.Equal(w.now) {
		t.Errorf("got %+v and %+v", f, proof)
	}
	if len(strings.ReplaceAll(key, " ", "")) != 32 {
		t.Errorf("the key is %q, want 160 bits in base32", key)
	}
	w.now = w.now.Add(time.Hour)
	code := w.code(key).Reveal()
	proof, err := w.ProveTOTP(t.Context(), w.alice("b2"), secret.New(code[:3]+" "+code[3:]))
	w.must(err)
	w.recordedAs("factor-proven")
	if proof.Factor != f.ID || !proof.At.Equal(w.now) {
		t.Errorf("got %+v", proof)
	}
	factors, err := w.Factors(t.Context(), w.alice("b1").Person)
	w.must(err)
	if len(factors) != 1 || !factors[0].Used.Equal(w.now) {
		t.Errorf("got %+v, want one that was used now", factors)
	}
}

func TestACodeCountsOnce(t *testing.T) {
	w := newWorld(t)
	key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
	w.recorded()
	_, err := w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
	w.refuses("the code of the enrolment", err, CodeUsed)

	w.now = w.now.Add(30 * time.Second)
	code := w.code(key)
	_, err = w.ProveTOTP(t.Context(), w.alice("b1"), code)
	w.must(err)
	w.recorded()
	for _, later := range []time.Duration{0, 29 * time.Second, 30 * time.Second} {
		now := w.now
		w.now = now.Add(later)
		_, err = w.ProveTOTP(t.Context(), w.alice("b2"), code)
		w.refuses("once more, "+later.String()+" later", err, CodeUsed)
		w.now = now
	}

	// An older code than the last is gone as well, though it was never used.
	w.now = w.now.Add(time.Hour)
	older := w.code(key)
	w.now = w.now.Add(30 * time.Second)
	_, err = w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
	w.must(err)
	w.recorded()
	_, err = w.ProveTOTP(t.Context(), w.alice("b1"), older)
	w.refuses("an older one", err, CodeUsed)
}

func TestACodeThatIsUsedAtTheSameMomentCountsOnce(t *testing.T) {
	w := newWorld(t)
	key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
	w.now = w.now.Add(time.Hour)
	w.recorded()
	w.store.meanwhile = func() {
		_, err := w.ProveTOTP(t.Context(), w.alice("b2"), w.code(key))
		w.must(err)
		w.recordedAs("factor-proven")
	}
	_, err := w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
	w.refuses("the slower one", err, CodeUsed)
}

func TestCodesOfOneStepBeforeAndAfterCount(t *testing.T) {
	for offset, want := range map[time.Duration]bool{
		-60 * time.Second: false, -30 * time.Second: true, 0: true, 30 * time.Second: true, 60 * time.Second: false,
	} {
		w := newWorld(t)
		key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
		now := w.now.Add(time.Hour)
		w.now = now.Add(offset)
		code := w.code(key)
		w.now = now
		_, err := w.ProveTOTP(t.Context(), w.alice("b1"), code)
		if got := err == nil; got != want {
			t.Errorf("a clock that is off by %s: got %v, want accepted: %v", offset, err, want)
		}
	}
}

func TestI27GuessesOfCodesAreCountedByPerson(t *testing.T) {
	w := newWorld(t)
	w.enrolTOTP(w.alice("b1"), "telephone")
	w.recorded()
	for _, code := range []string{"000000", "", "12345", "1234567", "abcdef", strings.Repeat("1", 5000)} {
		_, err := w.ProveTOTP(t.Context(), w.alice("b1"), secret.New(code))
		w.refuses("code "+code[:min(len(code), 10)], err, WrongCode)
	}
	if want := "factor:contoso/alice 000000@59850360"; w.guesses.asked[0] != want {
		t.Errorf("counted as %q, want %q", w.guesses.asked[0], want)
	}
	w.now = w.now.Add(30 * time.Second)
	_, err := w.ProveTOTP(t.Context(), w.alice("b1"), secret.New("000000"))
	w.refuses("the same code later", err, WrongCode)
	if first, last := w.guesses.asked[0], w.guesses.asked[len(w.guesses.asked)-1]; first == last {
		t.Errorf("the same code in another step counts as the same guess, %q", last)
	}
}

func TestI27AHeldOffCodeIsNotLookedAt(t *testing.T) {
	w := newWorld(t)
	key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
	w.now = w.now.Add(time.Hour)
	w.recorded()
	w.guesses.closed = true
	_, err := w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
	w.refuses("a right code, held off", err, HeldOff)
	w.guesses.closed = false
	_, err = w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
	w.must(err)
}

func TestAWrongFirstCodeEnrolsNothing(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	w.must(w.BeginTOTP(t.Context(), a))
	pending, err := w.PendingTOTP(t.Context(), a)
	w.must(err)
	_, _, err = w.FinishTOTP(t.Context(), a, "telephone", secret.New("000000"))
	w.refuses("a wrong code", err, WrongCode)
	if len(w.store.factors) != 0 {
		t.Fatal("it is enrolled all the same")
	}
	_, _, err = w.FinishTOTP(t.Context(), a, "telephone", w.code(pending.Key.Reveal()))
	w.must(err)
	_, err = w.PendingTOTP(t.Context(), a)
	if got := ReasonOf(err); got != NotBegun {
		t.Errorf("the key can be seen again: %v", err)
	}
}

func TestAnEnrolmentIsFinishedWhereItWasBegun(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	w.must(w.BeginTOTP(t.Context(), a))
	pending, err := w.PendingTOTP(t.Context(), a)
	w.must(err)
	finish := func(a Actor) error {
		_, _, err := w.FinishTOTP(t.Context(), a, "telephone", w.code(pending.Key.Reveal()))
		return err
	}
	mallory := a
	mallory.Person.ObjectID = "mallory"
	for what, actor := range map[string]Actor{"another browser": w.alice("b2"), "another person": mallory} {
		if err := finish(actor); ReasonOf(err) != NotBegun {
			t.Errorf("%s: got %v, want it not begun", what, err)
		}
		if _, err := w.PendingTOTP(t.Context(), actor); ReasonOf(err) != NotBegun {
			t.Errorf("%s sees the key: %v", what, err)
		}
	}
	w.now = w.now.Add(ceremonyTime + time.Second)
	if err := finish(w.alice("b1")); ReasonOf(err) != NotBegun {
		t.Errorf("too late: got %v, want it not begun", err)
	}
}

func TestTheURIIsWhatAuthenticatorsRead(t *testing.T) {
	w := newWorld(t)
	a := w.alice("b1")
	w.must(w.BeginTOTP(t.Context(), a))
	pending, err := w.PendingTOTP(t.Context(), a)
	w.must(err)
	uri := pending.URI.Reveal()
	for _, want := range []string{"otpauth://totp/Postern:alice@contoso.example?", "issuer=Postern", "period=30", "digits=6", "algorithm=SHA1",
		"secret=" + strings.ReplaceAll(pending.Key.Reveal(), " ", "")} {
		if !strings.Contains(uri, want) {
			t.Errorf("%q does not have %q", uri, want)
		}
	}
}

func FuzzProveTOTP(f *testing.F) {
	for _, seed := range []string{"123456", "123 456", "", "\x00", "１２３４５６"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, code string) {
		w := newWorld(t)
		key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
		w.now = w.now.Add(time.Hour)
		now, right := w.now, []string(nil)
		for _, offset := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
			w.now = now.Add(offset)
			right = append(right, w.code(key).Reveal())
		}
		w.now = now
		_, err := w.ProveTOTP(t.Context(), w.alice("b1"), secret.New(code))
		if err == nil && !slices.Contains(right, plain(secret.New(code))) {
			t.Errorf("%q was taken for one of %q", code, right)
		}
		if err != nil && ReasonOf(err) != WrongCode {
			t.Errorf("%q: got %v", code, err)
		}
	})
}
