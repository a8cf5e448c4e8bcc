package factor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"postern/internal/secret"
	"postern/internal/throttle"
)

// forgetful keeps no counts over a restart.
type forgetful struct{}

func (forgetful) Guesses(context.Context) ([]throttle.Count, []throttle.Known, error) {
	return nil, nil, nil
}

func (forgetful) SaveGuesses(context.Context, []throttle.Count, []throttle.Known) error { return nil }

func (forgetful) PruneGuesses(context.Context, time.Time, time.Time, int) error { return nil }

// countGuesses gives a world the counts of guesses as the gateway has them.
func (w *world) countGuesses() {
	w.t.Helper()
	g, err := throttle.Open(w.t.Context(), throttle.Config{
		Store: forgetful{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
		Hash: func(input []byte) []byte { sum := sha256.Sum256(input); return sum[:] },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { g.Close() })
	w.Keeper.guesses = g
}

// TestI27AtMostTwentyCodesAMinute: whoever has somebody's sign-in at the provider, and guesses codes as fast as can be, from
// where the person proves theirs, gets no more than twenty looked at in any minute.
func TestI27AtMostTwentyCodesAMinute(t *testing.T) {
	w := newWorld(t)
	key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
	w.countGuesses()
	w.now = w.now.Add(time.Hour)
	if _, err := w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key)); err != nil {
		t.Fatal(err)
	}
	var looked []time.Time
	for n := range 1500 { // five minutes, five a second
		w.now = w.now.Add(200 * time.Millisecond)
		a := w.alice("thief")
		if n%2 == 0 { // in turn from there and from all over the world
			a.Remote = netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)})
		}
		_, err := w.ProveTOTP(t.Context(), a, secret.New(fmt.Sprintf("x%05d", n))) // never right
		switch ReasonOf(err) {
		case WrongCode:
			looked = append(looked, w.now)
		case HeldOff:
		default:
			t.Fatalf("got %v", err)
		}
	}
	if len(looked) < 50 {
		t.Errorf("%d guesses were looked at in five minutes: the count does more than it should", len(looked))
	}
	for i := range looked {
		if i >= 20 && looked[i].Sub(looked[i-20]) < time.Minute {
			t.Fatalf("21 codes were looked at within %v", looked[i].Sub(looked[i-20]))
		}
	}
}

// TestTypingErrorsHoldNobodyOff: a person who mistypes a few times, and waits for the next code, gets in.
func TestTypingErrorsHoldNobodyOff(t *testing.T) {
	w := newWorld(t)
	key, _, _ := w.enrolTOTP(w.alice("b1"), "telephone")
	w.countGuesses()
	for range 30 {
		w.now = w.now.Add(time.Hour)
		for n := range 4 {
			_, err := w.ProveTOTP(t.Context(), w.alice("b1"), secret.New(fmt.Sprintf("x0000%d", n)))
			if ReasonOf(err) != WrongCode {
				t.Fatalf("typing error %d: got %v, want a wrong code", n, err)
			}
			w.now = w.now.Add(10 * time.Second)
		}
		_, err := w.ProveTOTP(t.Context(), w.alice("b1"), w.code(key))
		w.must(err)
	}
}
